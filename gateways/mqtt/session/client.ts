// What the parts of one MQTT connection share: who the client is, what it takes, and the way out.

import type { GatewayLink, GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { SettleBacklog } from '../../../shared/bus/settle-backlog.ts'
import { Window } from '../../../shared/bus/window.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import { mixHash } from '../../../shared/placement.ts'
import type { Outbox, SessionHost } from '../../host/protocol.ts'
import { Reason, Version } from '../codec/constants.ts'
import { ackSizeMax, writeAck } from '../codec/encoder.ts'
import type { ServerPacket } from '../codec/packets.ts'
import { generatePacket } from '../codec/packets.ts'
import type { MqttSettings } from '../mapping/settings.ts'
import type { Hub } from './hub.ts'
import type { MessageView } from './message-view.ts'
import type { PublishForm } from './publish-writer.ts'
import { SubscriptionSet } from './subscription.ts'

/** Reasons, as bits, why a connection takes no more bytes. */
export const Wait = {
  /** Something was asked that has no answer yet. */
  reply: 1,
  /** A ring is full, or the arena, or the way to the disk. */
  bus: 2,
  /** Memory or disk alarm, and this client publishes. */
  alarm: 4,
  /** It publishes faster than it may. */
  rate: 8,
} as const

/** What ends a connection. */
export interface ClientOwner {
  /** Ends it with this reason; the client is told where its version allows. */
  disconnect(reason: number, text: string): void
}

export class Client {
  readonly host: SessionHost
  readonly hub: Hub
  readonly port: GatewayPort
  readonly out: Outbox
  readonly settings: MqttSettings
  readonly owner: ClientOwner
  readonly subscriptions: SubscriptionSet
  /** Bits of `Wait`. */
  waits: number
  version: Version
  clientId: string
  /** What stands for it in what it publishes. */
  publisher: Uint8Array
  user: string
  vhost: string
  vhostId: number
  /** The connection's slot on the bus; 0: none. */
  slot: number
  /** Its channel's, 0: not opened yet. */
  channel: number
  /** The shard that it publishes through; -1 before the first publish. */
  ingressShard: number
  /** Seconds that the session outlives the connection. */
  expirySeconds: number
  /** Largest packet that the client takes. */
  packetSizeMax: number
  /** Messages of QoS 1 and 2 that it takes before it acknowledges some. */
  receiveMaximum: number
  /** Topic aliases that it takes. */
  aliasMax: number
  wantsProblems: boolean
  /** It has its CONNACK, and nothing has ended the connection yet. */
  live: boolean
  /** Messages that were dropped since it reads too slowly, or are too large for it. */
  dropped: number
  private aliases: Map<string, number> | undefined
  /** Bytes of QoS 0 since its outbox was last with the socket. */
  private pending: number
  private congested: boolean
  private heldUntil: number
  private readonly settled: (() => void)[]
  private owned: { readonly window: Window; readonly settles: SettleBacklog } | undefined
  private readonly openChannel: () => number

  constructor(host: SessionHost, hub: Hub, owner: ClientOwner, openChannel: () => number) {
    this.host = host
    this.hub = hub
    this.port = host.port
    this.out = host.out
    this.settings = hub.settings
    this.owner = owner
    this.openChannel = openChannel
    this.subscriptions = new SubscriptionSet()
    this.waits = 0
    this.version = Version.mqtt311
    this.clientId = ''
    this.publisher = noBytes
    this.user = ''
    this.vhost = ''
    this.vhostId = 0
    this.slot = 0
    this.channel = 0
    this.ingressShard = -1
    this.expirySeconds = 0
    this.packetSizeMax = Number.POSITIVE_INFINITY
    this.receiveMaximum = 65535
    this.aliasMax = 0
    this.wantsProblems = true
    this.live = false
    this.dropped = 0
    this.aliases = undefined
    this.pending = 0
    this.congested = false
    this.heldUntil = 0
    this.settled = []
    this.owned = undefined
  }

  get isV5(): boolean {
    return this.version === Version.mqtt5
  }

  /** The session outlives the connection. */
  get durable(): boolean {
    return this.expirySeconds > 0
  }

  /** The way to its consumers' shards and back; made when it first consumes. */
  get window(): Window {
    return this.consuming().window
  }

  get settles(): SettleBacklog {
    return this.consuming().settles
  }

  /** The channel's slot; it is opened when it is first needed. */
  channelSlot(): number {
    if (this.channel === 0) this.channel = this.openChannel()
    return this.channel
  }

  /** The link that the client publishes through: one, so that its messages keep their order. */
  ingress(): GatewayLink {
    if (this.ingressShard < 0) {
      this.ingressShard = mixHash(this.channelSlot()) % this.port.shardCount
    }
    return this.port.link(this.ingressShard)
  }

  /** Writes an acknowledgement. */
  ack(type: number, packetId: number, reason: number): void {
    const { out } = this
    out.reserve(ackSizeMax)
    out.at = writeAck(out.bytes, out.at, type, packetId, this.isV5 ? reason : 0)
    out.touch()
  }

  /** Writes a rare packet. */
  send(packet: ServerPacket): void {
    const bytes = generatePacket(packet, this.version)
    if (bytes.length > this.packetSizeMax) return
    const { out } = this
    for (let from = 0; from < bytes.length; from += pieceMax) {
      const size = Math.min(pieceMax, bytes.length - from)
      out.reserve(size)
      copyBytes(bytes, from, out.bytes, out.at, size)
      out.at += size
    }
    out.touch()
  }

  // HOT: once per message of QoS 0
  /** Whether the client is sent a QoS 0 packet of this size: not if it is too large, or too many wait. */
  takesDirect(size: number): boolean {
    if (!this.live) return false
    if (size > this.packetSizeMax) {
      this.dropped++
      this.hub.counters.dropped++
      return false
    }
    this.pending += size
    if (this.pending <= this.settings.slowConsumerBytes) {
      this.hub.counters.sent++
      return true
    }
    this.pending -= size
    this.overflow()
    return false
  }

  /** Everything written so far is with the socket. */
  onFlushed(): void {
    this.pending = 0
    this.congested = false
  }

  /** Gives the message's topic its alias, or a new one, in `form`. */
  chooseAlias(view: MessageView, form: PublishForm): void {
    form.alias = 0
    form.aliasKnown = false
    if (this.aliasMax === 0) return
    this.aliases ??= new Map()
    const topic = view.topicBytes.toString('latin1', view.topicAt, view.topicAt + view.topicSize)
    const known = this.aliases.get(topic)
    if (known !== undefined) {
      form.alias = known
      form.aliasKnown = true
    } else if (this.aliases.size < this.aliasMax) {
      form.alias = this.aliases.size + 1
      this.aliases.set(topic, form.alias)
    }
  }

  /** The packet that `chooseAlias` was asked for is not sent: a new alias is not known to the client. */
  dropAlias(form: PublishForm): void {
    if (form.alias === 0 || form.aliasKnown || this.aliases === undefined) return
    for (const [topic, alias] of this.aliases) {
      if (alias === form.alias) this.aliases.delete(topic)
    }
  }

  /** It has published too fast: no more is read for `ms`. */
  holdFor(ms: number): void {
    this.heldUntil = Math.max(this.heldUntil, this.host.now() + ms)
    this.waits |= Wait.rate
    this.host.wakeAt(this.heldUntil)
  }

  /** Lets it go on if it has been held for long enough. True when it was held until now. */
  endHold(): boolean {
    if ((this.waits & Wait.rate) === 0 || this.host.now() < this.heldUntil) return false
    this.waits &= ~Wait.rate
    return true
  }

  /** Settles a delivery; if it has to wait, so does the client. */
  settle(shard: number, deliveryId: number, outcome: number): void {
    if (!this.settles.settle(shard, this.channel, deliveryId, outcome, false)) {
      this.waits |= Wait.bus
    }
  }

  /** Calls `next` once all settlements so far are in the rings. */
  afterSettles(next: () => void): void {
    if (this.settles.flush()) {
      next()
      return
    }
    this.waits |= Wait.bus
    this.settled.push(next)
  }

  /** Sends what found no room; true when nothing is left. */
  retry(): boolean {
    if (this.owned === undefined) return true
    if (!this.owned.settles.flush()) return false
    for (const next of this.settled.splice(0)) next()
    return this.owned.window.giveBack(this.slot)
  }

  giveWindowBack(): boolean {
    return this.owned === undefined || this.owned.window.giveBack(this.slot)
  }

  private consuming(): { readonly window: Window; readonly settles: SettleBacklog } {
    this.owned ??= { window: new Window(this.port), settles: new SettleBacklog(this.port) }
    return this.owned
  }

  private overflow(): void {
    this.dropped++
    this.hub.counters.dropped++
    if (this.settings.slowConsumerPolicy === 'disconnect') {
      this.owner.disconnect(Reason.quotaExceeded, 'the client reads too slowly')
      return
    }
    if (this.congested) return
    this.congested = true
    const { log, peer } = this.host
    log.warn(`MQTT client reads too slowly: messages of QoS 0 are dropped`, {
      peer: peer.name,
      client_id: this.clientId,
    })
  }
}

const noBytes = new Uint8Array(0)
const pieceMax = 64 * 1024
