// From the first frame to the answer of open, and authentication again on an open connection.

import type { Buffer } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { connectionWindow } from '../../../shared/bus/wire.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import { offeredMechanisms, readCredentials } from '../../../shared/login/sasl.ts'
import { Code, Key, responseBit } from '../codec/commands.ts'
import type { StreamConnection } from './connection.ts'

/** The shard that decides on users and vhosts. */
const registryShard = 0

export class Handshake {
  private readonly connection: StreamConnection
  private mechanism: string

  constructor(connection: StreamConnection) {
    this.connection = connection
    this.mechanism = ''
  }

  /** A frame before open. False when it may not come now: the socket is to be closed. */
  onFrame(key: number): boolean {
    const { connection } = this
    const { fields, phase } = connection
    // The Go client sends it as a response, the others as a request; RabbitMQ takes both.
    if (key === Key.tune || key === (Key.tune | responseBit)) {
      if (phase !== 'tuning') return false
      this.onTune(fields.u32(), fields.u32())
      return true
    }
    const correlation = fields.u32()
    if (phase === 'greeting') return this.onGreeting(key, correlation)
    if (phase === 'tuned' && key === Key.open) {
      this.onOpen(correlation, fields.string())
      return true
    }
    return false
  }

  /** A frame of the handshake that may come later too. False: it is none. */
  onLateFrame(key: number, correlation: number): boolean {
    if (key === Key.peerProperties) this.sayProperties(correlation)
    else if (key === Key.saslHandshake) this.sayMechanisms(correlation)
    else if (key === Key.saslAuthenticate) this.onAuthenticate(correlation)
    else return false
    return true
  }

  private onGreeting(key: number, correlation: number): boolean {
    return this.onLateFrame(key, correlation)
  }

  private sayProperties(correlation: number): void {
    const { connection } = this
    const { settings } = connection
    connection.fields.pairs()
    connection
      .respond(Key.peerProperties, correlation, Code.ok)
      .pairs([
        ['product', settings.product],
        ['version', settings.version],
        ['platform', `Node.js ${process.versions.node}`],
        ['cluster_name', settings.clusterName],
        ['copyright', 'Copyright the authors of Warren'],
        ['information', 'Licensed under the Apache License 2.0'],
      ])
      .send()
  }

  private sayMechanisms(correlation: number): void {
    const { connection } = this
    const { certificateUser } = connection.host.peer
    connection
      .respond(Key.saslHandshake, correlation, Code.ok)
      .strings(offeredMechanisms(connection.settings, certificateUser))
      .send()
  }

  private onAuthenticate(correlation: number): void {
    const { connection } = this
    const { host, settings, fields } = connection
    const mechanism = fields.string()
    const response: Buffer = fields.binary()
    const isAgain = connection.phase === 'open'
    const { certificateUser, loopback } = host.peer
    if (isAgain && mechanism !== this.mechanism) {
      return this.refuse(correlation, Code.otherMechanism)
    }
    if (!offeredMechanisms(settings, certificateUser).includes(mechanism)) {
      return this.refuse(correlation, Code.noMechanism)
    }
    const credentials = readCredentials(mechanism, response, settings, certificateUser)
    if (credentials === undefined) return this.refuse(correlation, Code.saslError)
    const op = { op: 'authenticate', mechanism, loopback, ...credentials } as const
    connection.await()
    host.port.request(registryShard, op, {
      onReply: (reply) => {
        if (!connection.answered()) return
        if (reply.error !== undefined) {
          const code = /can only connect via localhost/.test(reply.error.text)
            ? Code.loopbackOnly
            : Code.authenticationFailure
          return this.refuse(correlation, code)
        }
        const user = typeof reply['user'] === 'string' ? reply['user'] : credentials.user
        if (isAgain && user !== connection.user) return this.refuse(correlation, Code.otherUser)
        connection.user = user
        this.mechanism = mechanism
        connection.respond(Key.saslAuthenticate, correlation, Code.ok).send()
        if (isAgain) this.recheckAccess()
        else this.tune()
      },
    })
  }

  /** What the user may do can have changed: every shard looks at what the connection has open. */
  private recheckAccess(): void {
    const { connection } = this
    connection.await()
    const op = { op: 'recheckAccess', connection: connection.slot } as const
    connection.host.port.requestAll(op, (error) => {
      if (!connection.answered() || error === undefined) return
      connection.close(Code.vhostAccessFailure, error.text)
    })
  }

  private refuse(correlation: number, code: number): void {
    const { connection } = this
    connection.host.log.error(`stream connection ${connection.host.peer.name}: login refused`, {
      code,
    })
    connection.respond(Key.saslAuthenticate, correlation, code).send()
    connection.drop()
  }

  private tune(): void {
    const { connection } = this
    const { frameMax, heartbeatSeconds } = connection.settings
    connection.phase = 'tuning'
    connection.writer.begin(Key.tune).u32(frameMax).u32(heartbeatSeconds).send()
  }

  private onTune(frameMax: number, heartbeat: number): void {
    const { connection } = this
    const { settings } = connection
    connection.onTuned(lower(frameMax, settings.frameMax), heartbeat)
  }

  private onOpen(correlation: number, vhost: string): void {
    const { connection } = this
    const { host } = connection
    const { port, peer } = host
    const slot = port.connections.add({
      onClosed: (event) => {
        host.log.info(`closing stream connection ${peer.name}: ${event.error.text}`)
        connection.drop()
      },
      onHeld: (ms) => connection.holdFor(ms),
    })
    const op = {
      op: 'openConnection',
      connection: slot,
      owner: `${peer.name} ${randomUUID()}`,
      user: connection.user,
      vhost,
      window: connectionWindow,
    } as const
    connection.await()
    port.request(registryShard, op, {
      onReply: (reply) => {
        const isWanted = connection.answered()
        if (reply.error !== undefined) {
          port.connections.remove(slot)
          if (!isWanted) return
          const gone = reply.error.code === ReplyCode.NOT_FOUND ? 'there is no such vhost' : ''
          host.log.error(`stream connection ${peer.name}: ${reply.error.text} ${gone}`)
          connection.respond(Key.open, correlation, Code.vhostAccessFailure).send()
          connection.drop()
          return
        }
        for (let shard = 1; shard < port.shardCount; shard++) port.notify(shard, op)
        if (!isWanted) {
          port.notifyAll({ op: 'closeConnection', connection: slot })
          port.connections.remove(slot)
          return
        }
        connection.slot = slot
        connection.vhost = vhost
        connection.onOpened()
        const { host: name, port: number } = advertisedAddress(connection)
        connection
          .respond(Key.open, correlation, Code.ok)
          .pairs([
            ['advertised_host', name],
            ['advertised_port', String(number)],
          ])
          .send()
      },
    })
  }
}

/** Where clients are told to connect: as configured, else where this one did. */
export function advertisedAddress({ host, settings }: StreamConnection): {
  readonly host: string
  readonly port: number
} {
  const { peer } = host
  const name = peer.tls ? settings.advertisedTlsHost : settings.advertisedHost
  const number = peer.tls ? settings.advertisedTlsPort : settings.advertisedPort
  return { host: name || peer.localAddress, port: number || peer.localPort }
}

/** 0 means no limit. */
function lower(asked: number, offered: number): number {
  if (asked === 0 || offered === 0) return Math.max(asked, offered)
  return Math.min(asked, offered)
}
