// One MQTT connection: its phases, and what the host, the client and the shards tell it.
//
//   connect -> login -> open -> ended
//                  \-> refused (CONNACK sent, or to be sent after a pause) -> ended
//
// Reading stops while any bit of `client.waits` is set and goes on in `resume`.

import type { PeerError } from '../../../shared/bus/control.ts'
import type { ChannelSink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { NodeWord } from '../../../shared/bus/link.ts'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { deliveryTimedOut } from '../../../shared/errors.ts'
import type { Session, SessionHost } from '../../host/protocol.ts'
import { PacketType, Reason } from '../codec/constants.ts'
import { PacketDecoder } from '../codec/decoder.ts'
import type { Connect } from '../codec/packets.ts'
import { parseConnect, parsePacket } from '../codec/packets.ts'
import { connackFor, connectRefusal } from '../mapping/connack.ts'
import { Awaited } from './awaited-confirms.ts'
import { Client, Wait } from './client.ts'
import { Handover } from './handover.ts'
import type { Hub } from './hub.ts'
import { Inbound } from './inbound.ts'
import { Leave } from './leave.ts'
import type { LoginOwner } from './login.ts'
import { Login } from './login.ts'
import { forEver } from './ops.ts'
import { Outbound } from './outbound.ts'
import { Received } from './received.ts'
import { RetainedFeed } from './retained-feed.ts'
import type { Mark, SentRetained, SessionRecord, SessionRows } from './session-rows.ts'
import { Subscribing } from './subscribing.ts'
import type { Will } from './will.ts'
import { willOf } from './will.ts'
import { publishWill } from './will-publish.ts'

type Phase = 'connect' | 'login' | 'open' | 'refused' | 'ended'

/** A client that may be guessing passwords waits this long for its answer. */
const guessPauseMs = 3000

/** What an open session is made of. */
interface Parts {
  readonly rows: SessionRows
  readonly received: Received
  readonly inbound: Inbound
  readonly outbound: Outbound
  readonly handover: Handover
  readonly retained: RetainedFeed
  readonly subscribing: Subscribing
}

export class MqttConnection implements Session, LoginOwner, ChannelSink {
  private readonly host: SessionHost
  private readonly hub: Hub
  private readonly client: Client
  private readonly decoder: PacketDecoder
  private phase: Phase
  private connect: Connect | undefined
  private parts: Parts | undefined
  private record: SessionRecord | undefined
  private will: Will | undefined
  private bridge: boolean
  private sawBytes: boolean
  /** When to give up, or (refused) to answer. */
  private giveUpAt: number
  private refusal: number
  private keepAliveMs: number
  private heardAt: number

  constructor(host: SessionHost, hub: Hub) {
    this.host = host
    this.hub = hub
    this.client = new Client(host, hub, this, () => this.openChannel())
    this.decoder = new PacketDecoder(hub.settings.packetSizeUnauthenticated)
    this.phase = 'connect'
    this.connect = undefined
    this.parts = undefined
    this.record = undefined
    this.will = undefined
    this.bridge = false
    this.sawBytes = false
    this.giveUpAt = host.now() + hub.settings.loginTimeoutMs
    this.refusal = 0
    this.keepAliveMs = 0
    this.heardAt = host.now()
    if (hub.bans.isBanned(host.peer.address, host.now())) this.refuseBanned()
  }

  /** Session: also true when a wait has ended but not all bytes are read, since `resume` goes on. */
  get blocked(): boolean {
    if (this.phase !== 'open') return this.phase === 'login'
    return this.client.waits !== 0 || this.decoder.unfinished()
  }

  /** LoginOwner. */
  get wanted(): boolean {
    return this.phase === 'login'
  }

  onBytes(chunk: Buffer): void {
    this.heardAt = this.host.now()
    this.sawBytes = true
    this.hub.counters.bytesReceived += chunk.length
    if (this.phase !== 'connect' && this.phase !== 'open') return
    this.decoder.push(chunk)
    this.read()
  }

  keep(): void {
    this.decoder.keep()
  }

  resume(): void {
    const { client } = this
    if ((client.waits & Wait.bus) !== 0) {
      if (!client.retry() || this.hub.keyed.isBusy()) return
      client.waits &= ~Wait.bus
    }
    if ((client.waits & Wait.alarm) !== 0 && this.host.port.nodeWords[NodeWord.alarms] === 0) {
      client.waits &= ~Wait.alarm
      // Nothing was to be heard while nobody listened.
      this.heardAt = this.host.now()
    }
    // Nothing was to be heard while nobody listened.
    if (client.endHold()) this.heardAt = this.host.now()
    if (this.phase === 'open') this.read()
  }

  onFlushed(): void {
    this.client.onFlushed()
    if (!this.client.giveWindowBack()) this.client.waits |= Wait.bus
    this.parts?.retained.onFlushed()
  }

  deadline(): number {
    const { waits } = this.client
    // The end of an alarm, and slabs becoming free, ring no bell.
    if ((waits & (Wait.alarm | Wait.bus)) !== 0) return this.host.now()
    const silence = this.keepAliveMs === 0 ? forEverMs : this.heardAt + this.keepAliveMs
    return Math.min(this.giveUpAt, silence)
  }

  onDeadline(now: number): void {
    if (now >= this.giveUpAt) return this.giveUp()
    if (this.phase !== 'open') return
    if (this.client.waits !== 0) {
      this.heardAt = now
      this.resume()
    } else if (this.keepAliveMs > 0 && now >= this.heardAt + this.keepAliveMs) {
      this.disconnect(Reason.keepAliveTimeout, 'keep-alive timeout')
    }
  }

  onShutdown(reason: string): void {
    if (this.phase === 'open') this.disconnect(Reason.serverShuttingDown, reason)
    else {
      this.enter('ended')
      this.host.end()
    }
  }

  onClosed(error: Error | undefined): void {
    const { phase } = this
    if (phase === 'open') {
      this.host.log.warn(`closing MQTT connection ${this.host.peer.name}: closed by the client`, {
        client_id: this.client.clientId,
        error: error?.message,
      })
      this.leave(true)
    } else if (phase === 'login') this.abandon()
    this.enter('ended')
  }

  /** ClientOwner: see there. Also the answer to what breaks the protocol. */
  disconnect(reason: number, text: string): void {
    const { client } = this
    if (this.phase !== 'open') return
    const { log, peer } = this.host
    log.error(`closing MQTT connection ${peer.name}: ${text}`, {
      client_id: client.clientId,
      user: client.user,
      vhost: client.vhost,
      reason_code: reason,
    })
    if (client.isV5) {
      const properties = client.wantsProblems ? { properties: { reasonString: text } } : {}
      client.send({ cmd: 'disconnect', reasonCode: reason, ...properties })
    }
    this.leave(true)
    this.enter('ended')
    this.host.end()
  }

  /** LoginOwner. */
  onLoginRefused(reason: number, text: string, slow: boolean): void {
    const { log, peer } = this.host
    log.error(`MQTT connection ${peer.name} refused: ${text}`, { client_id: this.client.clientId })
    if (slow) this.onFault()
    this.abandon()
    this.refusal = reason
    this.enter('refused')
    this.giveUpAt = this.host.now() + (slow ? guessPauseMs : 0)
    if (!slow) this.giveUp()
  }

  /** LoginOwner. */
  onClaimWanted(): void {
    if (this.phase === 'open') this.disconnect(Reason.sessionTakenOver, 'the session is taken over')
    else if (this.phase === 'login') {
      this.abandon()
      this.enter('ended')
      this.host.end()
    }
  }

  /** LoginOwner. */
  onForced({ text }: PeerError): void {
    if (this.phase === 'open') this.disconnect(Reason.administrativeAction, text)
    else if (this.phase === 'login') this.onLoginRefused(Reason.administrativeAction, text, false)
  }

  /** LoginOwner. */
  onOldWill(will: Will): void {
    const { client } = this
    const received = new Received(client, (done) => done())
    const inbound = new Inbound(client, received)
    this.hub.untilDone(() => client.slot === 0 || publishWill(client, inbound, will))
  }

  /** LoginOwner. */
  onAccepted(rows: SessionRows, resumed: SessionRecord | undefined): void {
    const { will } = this
    if (will === undefined) return this.open(rows, resumed)
    this.hub.mayPublish(this.client, will.topic, (allowed) => {
      if (!this.wanted) return
      if (allowed) this.open(rows, resumed)
      else this.onLoginRefused(Reason.notAuthorized, 'may not publish its will', false)
    })
  }

  // HOT: once per batch of confirms
  onConfirm(count: number, nack: boolean): void {
    if (this.phase === 'open') this.parts?.inbound.onConfirm(count, nack)
  }

  onReturn(_link: GatewayLink, _at: number, _code: number, sequence: number): void {
    if (this.phase === 'open') this.parts?.inbound.mark(sequence, Awaited.unrouted)
  }

  onRefused({ sequence }: { readonly sequence: number }): void {
    if (this.phase === 'open' && sequence >= 0) {
      this.parts?.inbound.mark(sequence, Awaited.refused)
    }
  }

  onError({ error }: { readonly error: PeerError }): void {
    this.disconnect(Reason.notAuthorized, error.text)
  }

  /** What it has not acknowledged goes back to its queue. */
  onTimeout(timeoutMs: number): void {
    this.disconnect(Reason.implementationSpecific, deliveryTimedOut(timeoutMs).text)
  }

  onWant(): void {
    // There is no global prefetch.
  }

  onUnused(): void {
    // There is no global prefetch.
  }

  // HOT: the loop over packets
  private read(): void {
    try {
      const { client, decoder } = this
      while (client.waits === 0) {
        const type = decoder.next()
        if (type === 0) return
        if (type === PacketType.publish && this.phase === 'open') this.onPublish()
        else this.onPacket(type)
        if (this.phase !== 'open') return
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.onMalformed(error)
    }
  }

  // HOT: once per PUBLISH
  private onPublish(): void {
    const { inbound } = this.parts as Parts
    if (!inbound.publish(this.decoder)) {
      this.decoder.unread()
      return
    }
    // A plain read: an alarm need not stop this very message.
    if (this.host.port.nodeWords[NodeWord.alarms] !== 0) this.client.waits |= Wait.alarm
  }

  private onPacket(type: number): void {
    const { decoder, parts, phase } = this
    if (phase === 'connect') {
      if (type !== PacketType.connect) throw new DecodeError(Reason.protocolError, 'no CONNECT')
      return this.onConnect(parseConnect(decoder))
    }
    if (phase !== 'open' || parts === undefined) return
    const { packetId, reason } = decoder
    switch (type) {
      case PacketType.puback:
        return parts.outbound.onPuback(packetId, reason)
      case PacketType.pubrec:
        return parts.outbound.onPubrec(packetId, reason)
      case PacketType.pubrel:
        return parts.inbound.release(packetId)
      case PacketType.pubcomp:
        return parts.outbound.onPubcomp(packetId)
      default:
        this.onRare(parts)
    }
  }

  private onRare(parts: Parts): void {
    const packet = parsePacket(this.decoder)
    switch (packet.cmd) {
      case 'pingreq':
        return this.client.send({ cmd: 'pingresp' })
      case 'subscribe':
        return parts.subscribing.subscribe(packet, this.bridge)
      case 'unsubscribe':
        return parts.subscribing.unsubscribe(packet)
      case 'disconnect':
        return this.onDisconnect(
          packet.reasonCode ?? Reason.success,
          packet.properties?.sessionExpiryInterval,
        )
      default:
        throw new DecodeError(Reason.protocolError, `${packet.cmd} from a client`)
    }
  }

  private onConnect(connect: Connect): void {
    const { client, decoder } = this
    const { packet, version } = connect
    decoder.version = version
    client.version = version
    this.connect = connect
    this.bridge = packet.bridgeMode === true
    const will = willOf(connect)
    this.enter('login')
    this.giveUpAt = forEverMs
    if (will === 'malformed') {
      return this.onLoginRefused(Reason.topicNameInvalid, 'a will topic that is none', false)
    }
    this.will = will
    new Login(client, this, connect).start()
  }

  private open(rows: SessionRows, resumed: SessionRecord | undefined): void {
    const { client } = this
    const received = new Received(client, (done) => this.note({ received: true }, done))
    const inbound = new Inbound(client, received)
    const outbound = new Outbound(client, rows)
    const retained = new RetainedFeed(client, outbound, rows)
    const subscribing = new Subscribing(client, outbound, retained, rows, {
      onQueue: (done) => this.note({ queue: true }, done),
    })
    const handover = new Handover(client, {
      consumeGiven: (queue, shard, done) => outbound.consume(queue, undefined, done, shard),
      onGiven: (shard, done) => this.noteGiven(shard, done),
    })
    outbound.handover = handover
    outbound.onRoom = () => retained.goOn()
    this.parts = { rows, received, inbound, outbound, handover, retained, subscribing }
    if (resumed !== undefined && resumed.sentTo > 0) {
      outbound.sentTo = resumed.sentTo
      outbound.sentBefore = resumed.sentTo
    }
    const { departures } = this.hub
    if (resumed !== undefined) departures.cancel(client, resumed.willAt, resumed.endAt)
    this.record = {
      user: client.user,
      vhost: client.vhost,
      expirySeconds: client.expirySeconds,
      leftAt: 0,
      willAt: 0,
      endAt: 0,
      sentTo: 0,
      queue: resumed?.queue === true,
      received: resumed?.received === true,
      given: resumed?.given ?? [],
    }
    if (resumed === undefined) {
      if (!client.durable) return this.accept(this.parts, false)
      return rows.save(this.record, () => {
        if (this.wanted && this.parts !== undefined) this.accept(this.parts, false)
      })
    }
    rows.save(this.record)
    rows.loadSubscriptions((subscriptions) => {
      if (!this.wanted) return
      subscribing.resume(subscriptions, resumed.queue, () => {
        if (!this.wanted) return
        if (resumed.received) received.resume(() => this.resumeMarks(this.parts as Parts))
        else this.resumeMarks(this.parts as Parts)
      })
    })
  }

  private resumeMarks(parts: Parts): void {
    parts.rows.loadMarks((marks) => {
      parts.rows.loadSent((sent) => this.goOn(parts, marks, sent))
    })
  }

  /** A session is resumed: what is half done comes first. */
  private goOn(parts: Parts, marks: readonly Mark[], sent: readonly SentRetained[]): void {
    if (!this.wanted) return
    this.accept(parts, true)
    parts.outbound.resume(marks)
    parts.retained.resume(sent)
    for (const shard of this.record?.given ?? []) parts.handover.prepare(shard, () => undefined)
    parts.subscribing.consume()
  }

  private accept(parts: Parts, present: boolean): void {
    const { client, connect, decoder, host } = this
    if (connect === undefined) return
    const { settings } = this.hub
    const keepAlive = Math.min(
      connect.packet.keepalive === undefined || connect.packet.keepalive === 0
        ? Number.POSITIVE_INFINITY
        : connect.packet.keepalive,
      client.isV5 ? settings.keepAliveSecondsMax : Number.POSITIVE_INFINITY,
    )
    this.keepAliveMs = Number.isFinite(keepAlive) ? keepAlive * 1500 : 0
    this.heardAt = host.now()
    decoder.sizeMax = settings.packetSizeAuthenticated
    this.enter('open')
    this.hub.onConnected()
    client.live = true
    client.send(
      connackFor(settings, connect.packet, {
        version: client.version,
        present,
        clientId: client.clientId,
        expirySeconds: client.expirySeconds,
        keepAlive: Number.isFinite(keepAlive) ? keepAlive : 0,
      }),
    )
    this.connect = undefined
    host.log.info(
      `MQTT connection ${host.peer.name}: user '${client.user}' authenticated and granted ` +
        `access to vhost '${client.vhost}'`,
      { client_id: client.clientId, session_present: present },
    )
    if (!present) parts.subscribing.consume()
  }

  /** What changes of a session that outlives its connection; `done` when that is on disk. */
  private note(change: Partial<SessionRecord>, done: () => void): void {
    const { client, parts, record } = this
    if (record === undefined || parts === undefined) return done()
    this.record = { ...record, ...change }
    if (client.durable) parts.rows.save(this.record, done)
    else done()
  }

  private noteGiven(shard: number, done: () => void): void {
    const given = this.record?.given ?? []
    if (given.includes(shard)) done()
    else this.note({ given: [...given, shard] }, done)
  }

  private onDisconnect(reason: number, expiry: number | undefined): void {
    const { client } = this
    if (client.isV5 && expiry !== undefined) {
      // [MQTT-3.14.2-2]
      if (client.expirySeconds === 0 && expiry > 0) {
        throw new DecodeError(Reason.protocolError, 'a session expiry that begins at the end')
      }
      client.expirySeconds = Math.min(expiry, this.hub.settings.sessionExpirySecondsMax, forEver)
    }
    this.host.log.info(`closing MQTT connection ${this.host.peer.name}: by the client`, {
      client_id: client.clientId,
    })
    this.leave(client.isV5 && reason === Reason.disconnectWithWill)
    this.enter('ended')
    this.host.end()
  }

  private onMalformed({ code, text }: DecodeError): void {
    const { client, host } = this
    this.onFault()
    if (this.phase === 'open') return this.disconnect(code, text)
    host.log.error(`closing MQTT connection ${host.peer.name}: ${text}`)
    if (this.phase === 'connect' && code === Reason.unsupportedVersion) {
      // As MQTT 3.1.1 where nothing better is known [MQTT-3.1.2-2].
      client.send({ cmd: 'connack', returnCode: 1, sessionPresent: false })
    }
    this.enter('ended')
    host.end()
  }

  private onFault(): void {
    const { bans } = this.hub
    const { log, now, peer } = this.host
    if (bans.onFault(peer.address, now.call(this.host))) {
      log.warn('MQTT: an address is refused for a while', { address: peer.address })
    }
  }

  private refuseBanned(): void {
    this.enter('ended')
    this.giveUpAt = 0
  }

  /** The pause is over, or the client was too slow. */
  private giveUp(): void {
    const { client, host, phase } = this
    this.giveUpAt = forEverMs
    if (phase === 'refused') {
      client.send(connectRefusal(client.version, this.refusal))
      this.enter('ended')
      host.end()
      return
    }
    if (phase === 'connect' && this.sawBytes) {
      host.log.error(`closing MQTT connection ${host.peer.name}: no CONNECT in time`)
    }
    this.enter('ended')
    host.destroy()
  }

  /** Nothing was opened for the client, or it is undone. */
  private abandon(): void {
    const { client } = this
    const parts = this.parts
    this.parts = undefined
    parts?.subscribing.close(false)
    parts?.outbound.close(false)
    parts?.received.close()
    if (client.slot !== 0) new Leave(client).start(() => undefined)
  }

  /** The connection ends; `badly`: not as the client has asked for. */
  private leave(badly: boolean): void {
    const { client, parts, record } = this
    if (parts === undefined) return
    this.parts = undefined
    client.live = false
    client.waits = 0
    this.hub.onGone()
    const over = !client.durable
    parts.subscribing.close(over)
    parts.outbound.close(over)
    parts.received.close()
    const will = badly ? this.will : undefined
    const delayed = will !== undefined && will.delaySeconds > 0 && !over ? will : undefined
    if (!over && record !== undefined) this.saveLeft(parts, record, delayed)
    else if (over && record !== undefined) this.endSession(parts, record)
    const leave = new Leave(client)
    if (will === undefined || delayed !== undefined) leave.start(() => undefined)
    else {
      this.hub.untilDone(() => {
        if (!publishWill(client, parts.inbound, will)) return false
        leave.start(() => undefined)
        return true
      })
    }
  }

  private saveLeft(parts: Parts, record: SessionRecord, will: Will | undefined): void {
    const { client, hub } = this
    const now = this.host.wall()
    const { expirySeconds } = client
    // Where nothing was ever sent, nothing can come twice.
    const sentTo = Math.max(1, parts.outbound.sentTo)
    const endAt = expirySeconds >= forEver ? 0 : now + expirySeconds * 1000
    const willAt = will === undefined ? 0 : now + Math.min(will.delaySeconds, expirySeconds) * 1000
    parts.rows.save({ ...record, expirySeconds, leftAt: now, willAt, endAt, sentTo })
    if (endAt > 0) hub.departures.addEnd(client, endAt)
    if (will !== undefined) hub.departures.addWill(client, willAt, will)
  }

  /** A session that was to outlive the connection, until its client said otherwise. */
  private endSession(parts: Parts, record: SessionRecord): void {
    if (record.expirySeconds === 0) return
    parts.rows.discard()
    this.hub.deleteQueues(this.client, record, () => undefined)
  }

  private openChannel(): number {
    const { client } = this
    const { port } = this.host
    const channel = port.channels.add(this)
    port.notifyAll({ op: 'openChannel', connection: client.slot, channel })
    return channel
  }

  private enter(phase: Phase): void {
    this.phase = phase
    if (phase === 'ended') this.giveUpAt = this.giveUpAt === 0 ? 0 : forEverMs
  }
}

const forEverMs = Number.POSITIVE_INFINITY
