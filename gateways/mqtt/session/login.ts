// From CONNECT to CONNACK: who it is, where to, and what is left of an earlier session.
//
//   check -> authenticate -> vhost -> open on the bus -> claim the client id -> session -> accepted

import { randomUUID } from 'node:crypto'
import type { ControlReply, PeerError } from '../../../shared/bus/control.ts'
import { connectionWindow } from '../../../shared/bus/wire.ts'
import { placeQueue } from '../../../shared/placement.ts'
import type { Version } from '../codec/constants.ts'
import { Reason, Version as Versions } from '../codec/constants.ts'
import type { Connect } from '../codec/packets.ts'
import { publisherHash } from '../mapping/native-form.ts'
import { fitsQueueName, receivedQueue, sessionQueue } from '../mapping/topic.ts'
import type { Client } from './client.ts'
import { ask, forEver, registryShard } from './ops.ts'
import type { SessionRecord } from './session-rows.ts'
import { hasExpired, SessionRows } from './session-rows.ts'
import { vhostAndUser } from './vhost-choice.ts'
import type { Will } from './will.ts'

/** What login reports. */
export interface LoginOwner {
  /** Whether anybody still waits for it. */
  readonly wanted: boolean
  /** `reason` as in MQTT 5; `code` before. `slow`: answer after a pause, it may be a guess. */
  onLoginRefused(reason: number, text: string, slow: boolean): void
  onClaimWanted(): void
  onForced(error: PeerError): void
  /** The session that ends has left a will that was not due yet. */
  onOldWill(will: Will): void
  /** `resumed`: the session that there was, undefined for a new one. */
  onAccepted(rows: SessionRows, resumed: SessionRecord | undefined): void
}

export class Login {
  private readonly client: Client
  private readonly owner: LoginOwner
  private readonly connect: Connect
  private clean: boolean

  constructor(client: Client, owner: LoginOwner, connect: Connect) {
    this.client = client
    this.owner = owner
    this.connect = connect
    this.clean = connect.packet.clean === true
  }

  start(): void {
    const { client, connect, owner } = this
    const { packet, version } = connect
    const { properties } = packet
    client.version = version
    if (properties?.authenticationMethod !== undefined) {
      return owner.onLoginRefused(
        Reason.badAuthenticationMethod,
        'no enhanced authentication',
        false,
      )
    }
    if (packet.clientId === '' && !this.clean && version !== Versions.mqtt5) {
      return owner.onLoginRefused(
        Reason.clientIdNotValid,
        'an empty client id for a session',
        false,
      )
    }
    client.clientId = packet.clientId === '' ? `auto-${randomUUID()}` : packet.clientId
    if (!fitsQueueName(client.clientId)) {
      return owner.onLoginRefused(Reason.clientIdNotValid, 'the client id is too long', false)
    }
    if (!this.isOfCertificate()) {
      return owner.onLoginRefused(
        Reason.notAuthorized,
        'the client id is not the certificate’s',
        false,
      )
    }
    client.publisher = publisherHash(client.clientId)
    client.packetSizeMax = properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY
    client.receiveMaximum = properties?.receiveMaximum ?? 65535
    client.aliasMax = Math.min(
      properties?.topicAliasMaximum ?? 0,
      client.settings.topicAliasMaximum,
    )
    client.wantsProblems = properties?.requestProblemInformation !== false
    client.expirySeconds = this.expiry(version)
    this.authenticate()
  }

  /** Whether the client id is the one that a certificate must have, if it must. */
  private isOfCertificate(): boolean {
    const { clientId, host, settings } = this.client
    const names = host.peer.certificateNames
    switch (settings.clientIdFrom) {
      case 'distinguished_name':
        return names?.distinguishedName === clientId
      case 'subject_alternative_name':
        return names?.alternativeName === clientId
      default:
        return true
    }
  }

  /** Seconds that the session may outlive the connection. */
  private expiry(version: Version): number {
    const { sessionExpirySecondsMax: max } = this.client.settings
    const cap = Math.min(max, forEver)
    if (version !== Versions.mqtt5) return this.clean ? 0 : cap
    return Math.min(this.connect.packet.properties?.sessionExpiryInterval ?? 0, cap)
  }

  private authenticate(): void {
    const { client } = this
    const { peer } = client.host
    const { packet } = this.connect
    const { settings } = client
    const asked = packet.username ?? peer.web?.login?.user
    const secret = packet.password?.toString('utf8') ?? peer.web?.login?.password
    if (asked === undefined && settings.certificateLogin && peer.certificateUser !== undefined) {
      this.login('EXTERNAL', peer.certificateUser, undefined)
    } else if (asked !== undefined) {
      this.login('PLAIN', asked, secret ?? '')
    } else if (settings.allowAnonymous && settings.anonymousUser !== 'none') {
      this.login('ANONYMOUS', settings.anonymousUser, undefined)
    } else {
      this.owner.onLoginRefused(Reason.badUserOrPassword, 'no credentials', true)
    }
  }

  private login(mechanism: string, name: string, password: string | undefined): void {
    const { client, owner } = this
    const byCertificate = mechanism === 'EXTERNAL'
    vhostAndUser(client, name, byCertificate, (vhost, user) => {
      if (!owner.wanted) return
      client.vhost = vhost
      const { loopback } = client.host.peer
      const op = { op: 'authenticate', mechanism, user, password, loopback } as const
      ask(client.port, registryShard, op, (reply) => {
        if (!owner.wanted) return
        if (reply.error !== undefined) {
          owner.onLoginRefused(Reason.badUserOrPassword, `login refused: user '${user}'`, true)
          return
        }
        client.user = typeof reply['user'] === 'string' ? reply['user'] : user
        this.open()
      })
    })
  }

  private open(): void {
    const { client, owner } = this
    const { port } = client
    client.slot = port.connections.add({
      onClosed: ({ error }) => owner.onForced(error),
      onHeld: (ms) => client.holdFor(ms),
      onClaimWanted: () => owner.onClaimWanted(),
    })
    const op = {
      op: 'openConnection',
      connection: client.slot,
      owner: `${client.host.peer.name} ${randomUUID()}`,
      user: client.user,
      vhost: client.vhost,
      clientId: client.clientId,
      window: connectionWindow,
    } as const
    const claim = { op: 'claim', connection: client.slot, name: client.clientId } as const
    ask(port, registryShard, op, (reply) => {
      if (!owner.wanted) return
      if (reply.error !== undefined) return this.refuse(reply)
      const id = reply['vhostId']
      client.vhostId = typeof id === 'number' ? id : 0
      for (let shard = 0; shard < port.shardCount; shard++) {
        if (shard !== registryShard) port.notify(shard, op)
      }
    })
    // Behind it in the same ring. Of a connection that is refused, the claim means nothing.
    ask(port, registryShard, claim, () => {
      if (owner.wanted && client.slot !== 0) this.findSession()
    })
  }

  private refuse(reply: ControlReply): void {
    const { client, owner } = this
    const text = reply.error?.text ?? ''
    client.port.connections.remove(client.slot)
    client.slot = 0
    if (text.includes('limit')) owner.onLoginRefused(Reason.quotaExceeded, text, false)
    else if (text.includes('not found')) owner.onLoginRefused(Reason.badUserOrPassword, text, true)
    else owner.onLoginRefused(Reason.notAuthorized, text, false)
  }

  private findSession(): void {
    const { client, owner } = this
    if (client.durable) {
      const { port } = client
      const received = receivedQueue(client.clientId)
      // A publish of QoS 2 and its id are then in one log: see inbound.ts.
      client.ingressShard = placeQueue(client.vhost, received, port.shardCount)
    }
    const rows = new SessionRows(client)
    rows.load((record) => {
      if (!owner.wanted) return
      if (record === undefined) return owner.onAccepted(rows, undefined)
      if (this.clean || hasExpired(record, client.hub.clock.wall()))
        return this.discard(rows, record)
      if (!record.queue) return owner.onAccepted(rows, record)
      const queue = sessionQueue(client.clientId)
      const shard = placeQueue(client.vhost, queue, client.port.shardCount)
      const op = { op: 'describeQueue', connection: client.slot, queue } as const
      ask(client.port, shard, op, (reply) => {
        if (!owner.wanted) return
        // The queue has expired, or was deleted: so is the session.
        if (reply.error === undefined) owner.onAccepted(rows, record)
        else this.discard(rows, record)
      })
    })
  }

  /** Ends the session that there was; its will can wait no longer. */
  private discard(rows: SessionRows, record: SessionRecord): void {
    const { client, owner } = this
    const { departures } = client.hub
    if (record.willAt > 0) {
      departures.takeWill(client, record.willAt, (will) => {
        if (will !== undefined && owner.wanted) owner.onOldWill(will)
      })
    }
    departures.cancel(client, 0, record.endAt)
    rows.discard(() => {
      if (!owner.wanted) return
      client.hub.deleteQueues(client, record, () => {
        if (owner.wanted) owner.onAccepted(rows, undefined)
      })
    })
  }
}
