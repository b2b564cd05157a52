// A shard's end of the rings to and from another shard: forwarded publishes and their answers.

import type { Arena } from '../../shared/bus/arena.ts'
import { Doorbell } from '../../shared/bus/doorbell.ts'
import { ControlAssembler, Lane } from '../../shared/bus/lane.ts'
import { RingReader, RingWriter } from '../../shared/bus/ring.ts'
import type { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import { entryWords, extentWords, Record } from '../../shared/bus/wire.ts'
import { ConfirmTracker } from '../confirm/confirm-tracker.ts'

export const forwardEntryAt = 3

/** Whoever forwards messages and waits for the answers. */
export interface Forwarder {
  /** One shard has what was forwarded with number `sequence`, or a queue there refuses it. */
  onForwarded(sequence: number, refused: boolean): void
}

/** `id` (negative, unlike a gateway link's) names the link to the reclaimer. */
export class PeerLink {
  readonly shard: number
  readonly lane: Lane
  readonly in: RingReader
  readonly bell: Doorbell
  readonly assembler: ControlAssembler
  /** What forwarded publishes from the peer wait for here. */
  readonly arrivals: ConfirmTracker
  /** Answers for one of `arrivals` that waits for more than the log. */
  readonly arrivalSource: Forwarder
  private readonly lastReference: Float64Array
  /** Publishes forwarded to the peer that want an answer, in order. */
  private readonly waitingSources: Forwarder[]
  private readonly waitingSequences: number[]
  private waitingFrom: number

  constructor(
    shard: number,
    toPeer: SharedArrayBuffer,
    fromPeer: SharedArrayBuffer,
    bell: SharedArrayBuffer,
    arena: Arena,
    reclaimer: SlabReclaimer,
  ) {
    const writer = new RingWriter(toPeer)
    this.shard = shard
    this.bell = new Doorbell(bell)
    this.lane = new Lane(writer, this.bell)
    this.in = new RingReader(fromPeer)
    this.assembler = new ControlAssembler()
    this.arrivals = new ConfirmTracker()
    this.arrivalSource = {
      onForwarded: (sequence, refused) => this.arrivals.answer(sequence, refused),
    }
    // A shard copies what it is sent before it releases the record: no pins.
    const noPins = new Int32Array(new SharedArrayBuffer(arena.slabCount * 4))
    this.lastReference = reclaimer.watch(-1 - shard, writer, noPins)
    this.waitingSources = []
    this.waitingSequences = []
    this.waitingFrom = 0
  }

  // HOT: once per forwarded publish
  /** Words that `forward` needs. */
  forwardWords(words: Int32Array, e: number, queues: number): number {
    return forwardEntryAt + entryWords + (words[e + 6] as number) * extentWords + 1 + queues
  }

  // HOT: once per forwarded publish
  /** Sends the message at `words[e..]` for `queues` (room was checked); the answer goes to `source` unless undefined. */
  forward(
    words: Int32Array,
    e: number,
    flags: number,
    queues: readonly number[],
    source: Forwarder | undefined,
    sequence: number,
  ): void {
    const size = this.forwardWords(words, e, queues.length)
    const index = this.lane.reserve(size)
    const to = this.lane.ring.words
    const entrySize = entryWords + (words[e + 6] as number) * extentWords
    to[index] = (size << 8) | Record.forward
    to[index + 1] = source === undefined ? 0 : 1
    to[index + 2] = flags
    for (let i = 0; i < entrySize; i++) to[index + forwardEntryAt + i] = words[e + i] as number
    let at = index + forwardEntryAt + entrySize
    to[at++] = queues.length
    for (let i = 0; i < queues.length; i++) to[at++] = queues[i] as number
    this.lane.ring.commit(size)
    const { total } = this.lane.ring
    this.lastReference[words[e] as number] = total
    for (let i = entryWords; i < entrySize; i += extentWords) {
      this.lastReference[words[e + i] as number] = total
    }
    if (source === undefined) return
    this.waitingSources.push(source)
    this.waitingSequences.push(sequence)
  }

  /** The peer has answered for the next `count` forwarded publishes. */
  answered(count: number, nack: boolean): void {
    for (let i = 0; i < count; i++) {
      const from = this.waitingFrom++
      const source = this.waitingSources[from]
      if (source === undefined) break
      source.onForwarded(this.waitingSequences[from] as number, nack)
    }
    // Amortised: the front is cut off once it is most of the arrays.
    if (this.waitingFrom > 1024 && this.waitingFrom * 2 > this.waitingSources.length) {
      this.waitingSources.splice(0, this.waitingFrom)
      this.waitingSequences.splice(0, this.waitingFrom)
      this.waitingFrom = 0
    }
  }
}
