// A gateway thread's end of the bus: what a session sees. One per thread, shared by its protocols.

import { Arena, spareSlabs } from './arena.ts'
import { BytesAhead } from './bytes-ahead.ts'
import type { ControlOp, ControlReply, PeerError, ShardEvent } from './control.ts'
import { pack, unpack } from './control.ts'
import { Doorbell } from './doorbell.ts'
import { HeldConfirms } from './held-confirms.ts'
import { ControlAssembler, Lane } from './lane.ts'
import type { LinkMemory } from './link.ts'
import type { GatewayStart } from './mail.ts'
import { RingReader, RingWriter } from './ring.ts'
import { SlabWriter } from './slab-writer.ts'
import { SlotTable } from './slot-table.ts'
import {
  deliverEntryAt,
  entryWords,
  extentWords,
  linkCreditWords,
  publishEntryAt,
  publishWords,
  Record,
  settleWords,
  streamPublishEntryAt,
} from './wire.ts'

/** Takes the deliveries of one consumer. `at` indexes `link.words` at the record's first entry word. */
export interface DeliverySink {
  onDeliver(link: GatewayLink, at: number, deliveryId: number, flags: number): void
  /** The shard ended the consumer (its queue went). */
  onCancelled(): void
  /** Of a stream subscription alone: its turn has come, or goes (see StreamOp). */
  onActive?(active: boolean): void
  /** A credited consumer only: see Record.linkState. */
  onLinkState?(deliveryCount: number, credit: number, available: number, flags: number): void
}

/** Takes what a shard says to one channel. */
export interface ChannelSink {
  /** The next `count` publishes of the channel are acknowledged, or refused. */
  onConfirm(count: number, nack: boolean): void
  /** A mandatory publish found no queue; `at` as in `DeliverySink`, `sequence` as in the record. */
  onReturn(link: GatewayLink, at: number, code: number, sequence: number): void
  /** A lenient publish was refused: see ShardEvent publishRefused. */
  onRefused?(event: Extract<ShardEvent, { event: 'publishRefused' }>): void
  /** A publish was refused: see ShardEvent channelError. */
  onError(event: Extract<ShardEvent, { event: 'channelError' }>): void
  /** A delivery was held for longer than `timeoutMs`; a channel that consumes nothing need not care. */
  onTimeout?(timeoutMs: number): void
  /** The stream is gone that the channel publishes to. */
  onPublisherEnded?(): void
  /** Global prefetch: the shard has messages but no token. */
  onWant(link: GatewayLink): void
  /** Global prefetch: tokens come back. */
  onUnused(count: number): void
}

/** Takes how far one stream is committed. */
export interface StreamSink {
  onAdvanced(next: number, lastChunk: number, base: number, position: number): void
}

/** Takes what a shard says to one connection. */
export interface ConnectionSink {
  onClosed(event: Extract<ShardEvent, { event: 'connectionClosed' }>): void
  /** It publishes too fast: nothing more of it is to be read for `ms`. */
  onHeld?(ms: number): void
  /** Another connection wants the name that this one claims. */
  onClaimWanted?(): void
}

/** `onGot` only for the op `get`: `ready` messages are left; with EntryFlag.empty there is no entry. */
export interface RequestSink {
  onReply(reply: ControlReply): void
  onGot?(link: GatewayLink, at: number, deliveryId: number, flags: number, ready: number): void
}

/**
 * Bytes of messages that a gateway sends ahead of a shard that does not take them (its log is behind):
 * enough for a turn of both, and not the 400 MB that a ring of 64 KiB messages could refer to.
 */
const bytesAheadMax: number = 16 * 1024 * 1024

/** One link of the port: the way to and from one shard. */
export class GatewayLink {
  readonly shard: number
  readonly out: Lane
  readonly in: RingReader
  /** The words of the ring that deliveries come in. */
  readonly words: Int32Array
  readonly slabs: SlabWriter
  readonly assembler: ControlAssembler
  readonly toSeal: number[]
  /** Of published messages that the shard has not taken. */
  private readonly ahead: BytesAhead
  /**
   * While true, no publish is taken whatever the ring says; who ends that rings this side's bell. For
   * a reader that is behind: a ring bounds records, not the bytes in slabs that they refer to.
   */
  held: boolean
  /** Undefined where the shard holds confirms itself. */
  readonly confirms: HeldConfirms | undefined
  private readonly pins: Int32Array

  constructor(shard: number, memory: LinkMemory, arena: Arena, shardBell: Doorbell) {
    this.shard = shard
    this.out = new Lane(new RingWriter(memory.toShard), shardBell)
    this.in = new RingReader(memory.toGateway)
    this.words = this.in.words
    this.toSeal = []
    this.ahead = new BytesAhead()
    this.held = false
    this.slabs = new SlabWriter(arena, memory.id, spareSlabs, (slab) => this.toSeal.push(slab))
    this.assembler = new ControlAssembler()
    this.pins = new Int32Array(memory.pins)
    this.confirms = memory.confirms === undefined ? undefined : new HeldConfirms(memory.confirms)
  }

  /** Keeps a slab from reuse after the record that named it is released; undo with `unpin`. */
  pin(slab: number): void {
    Atomics.add(this.pins, slab, 1)
  }

  unpin(slab: number): void {
    Atomics.sub(this.pins, slab, 1)
  }

  // HOT: once per publish
  /**
   * Announces a message whose entry lies whole at (slab, at). The room must come from `slabs` and is
   * closed by this. False when the ring is full: nothing happened, try again after a ring of the bell.
   */
  publish(
    channel: number,
    flags: number,
    slab: number,
    at: number,
    exrkSize: number,
    extraSize: number,
    propsSize: number,
    bodySize: number,
  ): boolean {
    if (this.held || (this.ahead.bytes > bytesAheadMax && this.isFarAhead())) return false
    const index = this.out.reserve(publishWords)
    if (index < 0) return false
    const words = this.out.ring.words
    words[index] = (publishWords << 8) | Record.publish
    words[index + 1] = channel
    words[index + 2] = flags
    words[index + 3] = slab
    words[index + 4] = at
    words[index + 5] = exrkSize
    words[index + 6] = extraSize
    words[index + 7] = propsSize
    words[index + 8] = bodySize
    words[index + 9] = 0
    this.out.ring.commit(publishWords)
    this.ahead.add(exrkSize + propsSize + bodySize, this.out.ring.total)
    this.slabs.close(slab)
    return true
  }

  // HOT: once per batch of a stream client
  /**
   * As `publish`, of entries for the stream that the channel publishes to (see Record.streamPublish):
   * [head][entries] at (slab, at), with the rest of the entries in `extents`, as `publishExtents`.
   */
  publishStream(
    channel: number,
    entries: number,
    messages: number,
    slab: number,
    at: number,
    headSize: number,
    bodySize: number,
    extents: readonly number[],
  ): boolean {
    if (this.held || (this.ahead.bytes > bytesAheadMax && this.isFarAhead())) return false
    const count = extents.length / extentWords
    const size = streamPublishEntryAt + entryWords + extents.length
    const index = this.out.reserve(size)
    if (index < 0) return false
    const words = this.out.ring.words
    words[index] = (size << 8) | Record.streamPublish
    words[index + 1] = channel
    words[index + 2] = entries
    words[index + 3] = messages
    words[index + 4] = slab
    words[index + 5] = at
    words[index + 6] = 0
    words[index + 7] = 0
    words[index + 8] = headSize
    words[index + 9] = bodySize
    words[index + 10] = count
    for (let i = 0; i < extents.length; i++) words[index + 11 + i] = extents[i] as number
    this.out.ring.commit(size)
    this.ahead.add(headSize + bodySize, this.out.ring.total)
    this.slabs.close(slab)
    for (let i = 0; i < count; i++) this.slabs.close(extents[i * extentWords] as number)
    return true
  }

  /** As `publish` for a body in several extents: `extents` holds (slab, offset, size) of the further ones. */
  publishExtents(
    channel: number,
    flags: number,
    slab: number,
    at: number,
    exrkSize: number,
    extraSize: number,
    propsSize: number,
    bodySize: number,
    extents: readonly number[],
  ): boolean {
    if (this.held || (this.ahead.bytes > bytesAheadMax && this.isFarAhead())) return false
    const count = extents.length / extentWords
    const size = publishWords + extents.length
    const index = this.out.reserve(size)
    if (index < 0) return false
    const words = this.out.ring.words
    words[index] = (size << 8) | Record.publish
    words[index + 1] = channel
    words[index + 2] = flags
    words[index + 3] = slab
    words[index + 4] = at
    words[index + 5] = exrkSize
    words[index + 6] = extraSize
    words[index + 7] = propsSize
    words[index + 8] = bodySize
    words[index + 9] = count
    words.set(extents, index + publishEntryAt + entryWords)
    this.out.ring.commit(size)
    this.ahead.add(exrkSize + propsSize + bodySize, this.out.ring.total)
    this.slabs.close(slab)
    for (let i = 0; i < count; i++) this.slabs.close(extents[i * extentWords] as number)
    return true
  }

  // HOT: once per acknowledgement
  /** Settles one delivery, or all of the channel's from this shard up to it. False when the ring is full. */
  settle(channel: number, deliveryId: number, outcome: number, upTo: boolean): boolean {
    const index = this.out.reserve(settleWords)
    if (index < 0) return false
    const words = this.out.ring.words
    words[index] = (settleWords << 8) | Record.settle
    words[index + 1] = channel
    words[index + 2] = deliveryId
    words[index + 3] = outcome
    words[index + 4] = upTo ? 1 : 0
    this.out.ring.commit(settleWords)
    return true
  }

  /** Gives window back: `bytes` of deliveries of `connection` left the socket. False when the ring is full. */
  credit(connection: number, bytes: number): boolean {
    return this.pair(Record.credit, connection, bytes)
  }

  /** Grants global-prefetch tokens. False when the ring is full. */
  grant(channel: number, count: number): boolean {
    return this.pair(Record.grant, channel, count)
  }

  /**
   * Grants credit to a credited consumer (see Record.linkCredit): `credit` from `deliveryCount` on.
   * False when the ring is full.
   */
  linkCredit(consumer: number, deliveryCount: number, credit: number, flags: number): boolean {
    const index = this.out.reserve(linkCreditWords)
    if (index < 0) return false
    const words = this.out.ring.words
    words[index] = (linkCreditWords << 8) | Record.linkCredit
    words[index + 1] = consumer
    words[index + 2] = deliveryCount
    words[index + 3] = credit
    words[index + 4] = flags
    this.out.ring.commit(linkCreditWords)
    return true
  }

  /** Seals what can be sealed and shows the ring (see `Lane.show`). */
  show(): boolean {
    while (this.toSeal.length > 0) {
      const index = this.out.reserve(2)
      if (index < 0) break
      this.out.ring.words[index] = (2 << 8) | Record.seal
      this.out.ring.words[index + 1] = this.toSeal.pop() as number
      this.out.ring.commit(2)
    }
    return this.out.show()
  }

  /** Whether the shard has still to take too many bytes. It will ring when it has taken some. */
  private isFarAhead(): boolean {
    const { ring } = this.out
    this.ahead.release(ring.releasedTotal())
    if (this.ahead.bytes <= bytesAheadMax) return false
    ring.awaitRoom()
    // The shard may have released between the two looks.
    this.ahead.release(ring.releasedTotal())
    return this.ahead.bytes > bytesAheadMax
  }

  private pair(record: number, id: number, count: number): boolean {
    const index = this.out.reserve(3)
    if (index < 0) return false
    const words = this.out.ring.words
    words[index] = (3 << 8) | record
    words[index + 1] = id
    words[index + 2] = count
    this.out.ring.commit(3)
    return true
  }
}

/** The channels of a gateway: what is held for one that goes is nobody's. */
class ChannelSlots extends SlotTable<ChannelSink> {
  private readonly links: readonly GatewayLink[]

  constructor(links: readonly GatewayLink[]) {
    super()
    this.links = links
  }

  override remove(slot: number): ChannelSink | undefined {
    for (const link of this.links) link.confirms?.forget(slot)
    return super.remove(slot)
  }
}

/** The bus as a gateway thread sees it. */
export class GatewayPort {
  readonly arena: Arena
  readonly links: readonly GatewayLink[]
  readonly shardCount: number
  readonly connections: SlotTable<ConnectionSink>
  /** By id: streams that this thread has subscriptions to. */
  readonly streams: Map<number, StreamSink>
  readonly channels: ChannelSlots
  readonly consumers: SlotTable<DeliverySink>
  readonly nodeWords: Int32Array
  private readonly bell: Doorbell
  private readonly shardBells: readonly Doorbell[]
  private readonly requests: SlotTable<RequestSink>

  constructor(start: GatewayStart) {
    this.arena = new Arena(start.arena)
    this.bell = new Doorbell(start.bell)
    this.shardBells = start.shardBells.map((memory) => new Doorbell(memory))
    this.links = start.links.map(
      (memory, shard) =>
        new GatewayLink(shard, memory, this.arena, this.shardBells[shard] as Doorbell),
    )
    this.shardCount = this.links.length
    this.nodeWords = new Int32Array(start.nodeWords)
    this.connections = new SlotTable()
    this.streams = new Map()
    this.channels = new ChannelSlots(this.links)
    this.consumers = new SlotTable()
    this.requests = new SlotTable()
  }

  /** Sends `op` to a shard; `sink` gets the one answer. Never refuses: control ops wait for room in order. */
  request(shard: number, op: ControlOp, sink: RequestSink): void {
    const request = this.requests.add(sink)
    this.link(shard).out.control(Record.control, request, pack(op))
  }

  /** Sends `op` to every shard; `next` gets the first refusal, if there is one, once all have answered. */
  requestAll(op: ControlOp, next: (error: PeerError | undefined) => void): void {
    let left = this.shardCount
    let error: PeerError | undefined
    const onReply = (reply: ControlReply): void => {
      left--
      error ??= reply.error
      if (left === 0) next(error)
    }
    for (let shard = 0; shard < this.shardCount; shard++) this.request(shard, op, { onReply })
  }

  /** Sends `op` to every shard, without an answer. */
  notifyAll(op: ControlOp): void {
    for (let shard = 0; shard < this.shardCount; shard++) this.notify(shard, op)
  }

  /** Sends `op` without an answer. */
  notify(shard: number, op: ControlOp): void {
    this.link(shard).out.control(Record.control, 0, pack(op))
  }

  link(shard: number): GatewayLink {
    return this.links[shard] as GatewayLink
  }

  /** Shows the shards everything written since the last time, and wakes them. */
  flush(): void {
    this.show()
    this.wake()
  }

  /** As `flush`, but true when shards that sleep are still to be woken (see `Lane.show`). */
  show(): boolean {
    let owed = false
    for (const link of this.links) if (link.show()) owed = true
    return owed
  }

  wake(): void {
    for (const link of this.links) link.out.wake()
  }

  /** See `GatewayLink.held`, for every shard. */
  hold(held: boolean): void {
    for (const link of this.links) link.held = held
  }

  /** Handles every record that is visible now. True when there was any. */
  drain(): boolean {
    let any = false
    for (const link of this.links) {
      const { confirms } = link
      if (confirms !== undefined && !confirms.isEmpty() && confirms.release(this.onConfirm)) {
        any = true
      }
      if (!link.in.look()) continue
      any = true
      this.drainLink(link)
      if (link.in.release()) (this.shardBells[link.shard] as Doorbell).ring()
      if (confirms !== undefined && !confirms.isEmpty()) confirms.release(this.onConfirm)
    }
    return any
  }

  private readonly onConfirm = (channel: number, count: number, nack: boolean): void => {
    this.channels.get(channel)?.onConfirm(count, nack)
  }

  /**
   * Calls `onRing` once, as soon as a shard has something for this thread (or has made room). `seen`
   * comes from `mark()`, read before the last `drain`. True when that is the case already.
   */
  sleep(seen: number, onRing: () => void): boolean {
    return this.bell.sleepAsync(seen, onRing)
  }

  /** See `sleep`. */
  mark(): number {
    return this.bell.seen()
  }

  // HOT: the loop over deliveries
  private drainLink(link: GatewayLink): void {
    const words = link.words
    for (let i = link.in.next(); i >= 0; i = link.in.next()) {
      const type = (words[i] as number) & 255
      if (type === Record.deliver) {
        const consumer = this.consumers.get(words[i + 1] as number)
        // A consumer may have gone while its last deliveries were on their way.
        consumer?.onDeliver(
          link,
          i + deliverEntryAt,
          words[i + 2] as number,
          words[i + 3] as number,
        )
      } else if (type === Record.confirm) {
        const channel = words[i + 1] as number
        if (link.confirms?.holdsFor(channel) !== true) {
          this.onConfirm(channel, words[i + 2] as number, words[i + 3] === 1)
        } else link.confirms.holdBehind(channel, words[i + 2] as number, words[i + 3] as number)
      } else if (type === Record.confirmAt) {
        link.confirms?.hold(
          words[i + 1] as number,
          words[i + 2] as number,
          words[i + 3] as number,
          words[i + 4] as number,
        )
      } else {
        this.onRare(link, type, i)
      }
    }
  }

  private onRare(link: GatewayLink, type: number, i: number): void {
    const words = link.words
    const first = words[i + 1] as number
    if (type === Record.returned) {
      this.channels
        .get(first)
        ?.onReturn(link, i + deliverEntryAt, words[i + 2] as number, words[i + 3] as number)
    } else if (type === Record.got) {
      const size = (words[i] as number) >>> 8
      const sink = this.requests.remove(first)
      sink?.onGot?.(
        link,
        i + deliverEntryAt,
        words[i + 2] as number,
        words[i + 3] as number,
        words[i + size - 1] as number,
      )
    } else if (type === Record.linkState) {
      this.consumers
        .get(first)
        ?.onLinkState?.(
          words[i + 2] as number,
          words[i + 3] as number,
          words[i + 4] as number,
          words[i + 5] as number,
        )
    } else if (type === Record.streamAdvanced) {
      this.streams
        .get(first)
        ?.onAdvanced(
          numberAt(words, i + 2),
          numberAt(words, i + 4),
          numberAt(words, i + 6),
          numberAt(words, i + 8),
        )
    } else if (type === Record.want) {
      this.channels.get(first)?.onWant(link)
    } else if (type === Record.unused) {
      this.channels.get(first)?.onUnused(words[i + 2] as number)
    } else {
      const payload = link.assembler.take(link.in, i)
      if (payload === undefined) return
      if (type === Record.reply) this.requests.remove(first)?.onReply(unpack<ControlReply>(payload))
      else this.onEvent(unpack<ShardEvent>(payload))
    }
  }

  private onEvent(event: ShardEvent): void {
    if (event.event === 'channelError') this.channels.get(event.channel)?.onError(event)
    else if (event.event === 'deliveryTimeout')
      this.channels.get(event.channel)?.onTimeout?.(event.timeoutMs)
    else if (event.event === 'publishRefused') this.channels.get(event.channel)?.onRefused?.(event)
    else if (event.event === 'consumerActive') {
      this.consumers.get(event.consumer)?.onActive?.(event.active)
    } else if (event.event === 'publisherEnded') {
      this.channels.get(event.channel)?.onPublisherEnded?.()
    } else if (event.event === 'consumerCancelled')
      this.consumers.get(event.consumer)?.onCancelled()
    else if (event.event === 'connectionHeld')
      this.connections.get(event.connection)?.onHeld?.(event.ms)
    else if (event.event === 'claimWanted')
      this.connections.get(event.connection)?.onClaimWanted?.()
    else this.connections.get(event.connection)?.onClosed(event)
  }
}

/** Two words, low first; -1 -1: minus one. */
function numberAt(words: Int32Array, at: number): number {
  return ((words[at] as number) >>> 0) + (words[at + 1] as number) * 0x100000000
}
