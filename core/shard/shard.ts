// A shard: records in, records out. One `turn` drains what is visible, applies it, and publishes the
// effects; the caller brings sleep and wake (worker.ts, or a simulator).

import { assert } from '../../shared/assert.ts'
import type { ArenaMemory } from '../../shared/bus/arena.ts'
import type { LinkMemory } from '../../shared/bus/link.ts'
import {
  confirmAtWords,
  confirmWords,
  EntryFlag,
  entryWords,
  extentWords,
  Record,
} from '../../shared/bus/wire.ts'
import { Compactor } from '../message/compactor.ts'
import { Block } from '../queue/consumer.ts'
import type { Queue } from '../queue/queue.ts'
import type { MetadataStore } from '../store/metadata-store.ts'
import type { RegistrySettings } from '../topology/decision.ts'
import type { ShardChannel } from './channel.ts'
import { ControlDesk } from './control-desk.ts'
import type { Gate } from './deduplication.ts'
import { GatewayEnd } from './gateway-end.ts'
import { forwardEntryAt, PeerLink } from './peer-link.ts'
import { Publisher } from './publisher.ts'
import { credit, grant, linkCredit, release, settle } from './settlement.ts'
import type { ShardReport } from './shard-state.ts'
import { ShardState } from './shard-state.ts'
import type { ShardStorage } from './storage.ts'

export interface ShardOptions {
  readonly shard: number
  readonly shards: number
  readonly arena: ArenaMemory
  readonly registry: RegistrySettings
  readonly storage: ShardStorage
  /** Where shard 0 keeps what the registry decides. */
  readonly metadata: MetadataStore
  /** The next random number, 0 to 2^32 - 1. */
  readonly random: () => number
  /** See createRateMemory; without it, rates hold for this shard alone. */
  readonly rates?: SharedArrayBuffer
  /** How long a consumer may hold a delivery where its queue says nothing; 0 or undefined: any time. */
  readonly deliveryTimeoutMs?: number
  /** Without it nobody is told. */
  readonly report?: ShardReport
}

/** Records of one source between two publications of what came of them, so that readers start early. */
const recordsPerFlush = 512
/** Messages that timers may deal with in one turn: half a millisecond or so. */
const timerBudget = 1000

export class Shard {
  readonly state: ShardState
  readonly control: ControlDesk
  private readonly publisher: Publisher
  private readonly compactor: Compactor
  /** Channels whose confirms wait for the log. */
  private waitingForLog: ShardChannel[]
  private lastCommitted: number
  /** A message from another shard found no slab: nobody rings when there is one. */
  private starved: boolean
  /** Slabs wait for their readers, of which the log is one. */
  private slabsWait: boolean
  /** Deduplicating exchanges that confirm what has just arrived by themselves. */
  private readonly gated: Gate[]

  constructor(options: ShardOptions) {
    const { shard, shards, arena, random } = options
    this.state = new ShardState(
      shard,
      shards,
      arena,
      options.storage,
      random,
      options.report ?? (() => {}),
      options.deliveryTimeoutMs,
      options.rates,
    )
    this.control = new ControlDesk(this.state, options.registry, options.storage, options.metadata)
    this.publisher = new Publisher(
      this.state,
      (key) => this.control.replies.target(key),
      this.control.sinks,
    )
    const { reclaimer, messages, slabs } = this.state
    this.compactor = new Compactor(this.state.arena, messages, reclaimer, slabs)
    this.waitingForLog = []
    this.lastCommitted = 0
    this.gated = []
    this.starved = false
    this.slabsWait = false
  }

  /** Joins the rings to and from another shard. */
  addPeer(
    shard: number,
    toPeer: SharedArrayBuffer,
    fromPeer: SharedArrayBuffer,
    bell: SharedArrayBuffer,
  ): void {
    const { arena, reclaimer } = this.state
    this.state.peers[shard] = new PeerLink(shard, toPeer, fromPeer, bell, arena, reclaimer)
  }

  addGateway(link: LinkMemory, bell: SharedArrayBuffer, name: string): void {
    this.state.ends.push(new GatewayEnd(link, bell, name, this.state.reclaimer))
  }

  /** The gateway died: everything it had open ends, and its slabs are counted down. */
  loseGateway(link: number): void {
    const { ends, reclaimer, arena } = this.state
    const index = ends.findIndex((end) => end.id === link)
    const end = ends[index]
    if (end === undefined) return
    end.lost = true
    ends.splice(index, 1)
    for (const connection of end.connections) {
      if (connection !== undefined) this.control.dropConnection(end, connection)
    }
    this.control.sinks.dropEnd(end)
    reclaimer.unwatch(link)
    for (let slab = 0; slab < arena.slabCount; slab++) {
      if (arena.owner(slab) === link && !reclaimer.isSealed(slab)) reclaimer.seal(slab)
    }
  }

  /**
   * Handles everything that is visible, and what is due. `now`: milliseconds of a clock that never goes
   * back; `wall`: milliseconds since 1970. True when there was anything to do, so that another turn
   * may find more.
   */
  turn(now: number, wall: number): boolean {
    const { state } = this
    state.clock.set(now, wall)
    if (state.restored) {
      state.restored = false
      for (const queue of state.queues.values()) queue.used()
    }
    // First what is due: it is not to be delivered in this turn.
    let any = state.timers.advance(now, timerBudget)
    // Peers' heads first, then gateways to their heads: a change that another shard sends on behalf
    // of a client is not applied before what that client has sent here earlier.
    for (const peer of state.peers) peer?.in.look()
    for (const end of state.ends) {
      if (end.in.look() && this.drainGateway(end)) any = true
    }
    for (const peer of state.peers) if (peer !== undefined && this.drainPeer(peer)) any = true
    if (state.log.poll()) any = true
    if (this.control.turn(this.publisher)) any = true
    if (state.deaths.turn()) any = true
    if (state.delays.turn()) any = true
    if (state.gates.turn()) any = true
    this.serve()
    this.flush()
    return state.log.rest(this.awaitsLog()) || any
  }

  /** What time it is, for what happens between turns; as in `turn`. */
  setTime(now: number, wall: number): void {
    this.state.clock.set(now, wall)
  }

  /** When a turn is due even if nobody rings, in the time of `now`; `Infinity`: never. */
  deadline(): number {
    return this.state.timers.deadline()
  }

  /** Slabs that wait for a reader to pass them: look again soon. */
  sweep(): boolean {
    const { reclaimer, arena, ends } = this.state
    const used = arena.used()
    const waiting = reclaimer.sweep()
    const moving = this.compactor.step()
    this.slabsWait = waiting > 0
    if (arena.used() < used && arena.takeWaiting()) for (const end of ends) end.bell.ring()
    return (
      moving ||
      waiting > 0 ||
      this.starved ||
      this.state.deaths.starved ||
      this.state.delays.starved
    )
  }

  // HOT: the loop over a gateway's records
  /** False when the first record already had to wait for room. */
  private drainGateway(end: GatewayEnd): boolean {
    const { state } = this
    const { words } = end.in
    let count = 0
    for (let i = end.in.next(); i >= 0; i = end.in.next()) {
      const type = (words[i] as number) & 255
      let done = true
      if (type === Record.publish) done = this.publisher.publish(end, i)
      else if (type === Record.streamPublish) done = state.streamClients.publish(end, i)
      else if (type === Record.settle) settle(state, end, i)
      else if (type === Record.credit) credit(end, i)
      else if (type === Record.seal) state.reclaimer.seal(words[i + 1] as number)
      else if (type === Record.linkCredit) linkCredit(end, i)
      else if (type === Record.grant) grant(state, end, i)
      else done = this.onControl(end, i)
      if (!done) {
        end.in.unread(i)
        break
      }
      if (++count % recordsPerFlush === 0) {
        this.serve()
        this.flush()
        if (end.in.release()) end.bell.ring()
      }
    }
    if (end.in.release()) end.bell.ring()
    return count > 0
  }

  private onControl(end: GatewayEnd, i: number): boolean {
    const request = end.in.words[i + 1] as number
    const payload = end.assembler.take(end.in, i)
    if (payload !== undefined) this.control.onGateway(end, request, payload)
    return true
  }

  private drainPeer(peer: PeerLink): boolean {
    const { words } = peer.in
    let count = 0
    for (let i = peer.in.next(); i >= 0; i = peer.in.next()) {
      const type = (words[i] as number) & 255
      if (type === Record.forward) {
        if (!this.arrive(peer, i)) {
          peer.in.unread(i)
          break
        }
      } else if (type === Record.forwarded) {
        peer.answered(words[i + 1] as number, words[i + 2] === 1)
      } else {
        const request = words[i + 1] as number
        const payload = peer.assembler.take(peer.in, i)
        if (payload !== undefined) this.control.onPeer(peer, type, request, payload)
      }
      if (++count % recordsPerFlush === 0) {
        this.serve()
        this.flush()
      }
    }
    if (peer.in.release()) peer.bell.ring()
    return count > 0
  }

  // HOT: once per message from another shard
  /** False when there is no slab to copy the message to. */
  private arrive(peer: PeerLink, i: number): boolean {
    const { words } = peer.in
    const e = i + forwardEntryAt
    const flags = words[i + 2] as number
    const extents = words[e + 6] as number
    const idsAt = e + entryWords + extents * extentWords
    const count = words[idsAt] as number
    const isLogged = (flags & EntryFlag.persistent) !== 0 || this.goesToStream(words, idsAt, count)
    if (isLogged && !this.state.log.hasRoom(extents + 1, count)) return false
    this.starved = !this.state.copier.copy(words, e)
    if (this.starved) return false
    let row = -1
    let position = 0
    let refused = false
    const { gated } = this
    gated.length = 0
    for (let k = 1; k <= count; k++) {
      const id = words[idsAt + k] as number
      const queue = this.state.queues.get(id)
      if (queue === undefined) {
        const gate = this.state.gates.find(id)
        if (gate === undefined) continue
        row = gate.accept(this.state.copier.words, 0, flags, row)
        if (gate.awaits) gated.push(gate)
        continue
      }
      if (id < 0 && !this.isReply(words, e)) continue
      row = queue.accept(this.state.copier.words, 0, flags, row)
      if (queue.logPosition > position) position = queue.logPosition
      if (queue.refused) refused = true
    }
    this.state.copier.close()
    if (words[i + 1] === 1) {
      const sequence = peer.arrivals.push(gated.length, position)
      for (let k = 0; k < gated.length; k++) gated[k]?.await(peer.arrivalSource, sequence)
      if (refused) peer.arrivals.refuse(sequence)
    }
    return true
  }

  private goesToStream(words: Int32Array, idsAt: number, count: number): boolean {
    for (let k = 1; k <= count; k++) {
      if (this.state.queues.get(words[idsAt + k] as number)?.logsAll === true) return true
    }
    return false
  }

  // The shard that a reply came from knows no more than its key says, which may be guessed.
  private isReply(words: Int32Array, e: number): boolean {
    const bytes = this.state.arena.slab(words[e] as number)
    const keyAt = (words[e + 1] as number) + 1 + (bytes[words[e + 1] as number] as number)
    const end = keyAt + 1 + (bytes[keyAt] as number)
    return this.control.replies.isOpen(bytes.toString('utf8', keyAt + 1, end))
  }

  /** Serves the queues that were woken and the consumers that a ring had stopped. */
  private serve(): void {
    const { state } = this
    for (const end of state.ends) {
      // A quarter of the ring: not one delivery per freed slot.
      if (end.stalled.length > 0 && end.lane.hasRoom(end.lane.ring.words.length >> 3)) {
        release(end.stalled, Block.ring)
      }
    }
    for (let i = 0; i < state.woken.length; i++) {
      const queue = state.woken[i] as Queue
      queue.woken = false
      if (!queue.deleted) queue.pump()
    }
    state.woken.length = 0
    for (const channel of state.granted) {
      if (channel.tokens === 0 || channel.closed) continue
      channel.outlet.lane.short(Record.unused, channel.id, channel.tokens)
      channel.tokens = 0
    }
    state.granted.length = 0
  }

  /** Whether anything here goes on only when the log has come further. */
  private awaitsLog(): boolean {
    const { state } = this
    if (this.waitingForLog.length > 0 || this.slabsWait || this.control.awaitsLog) return true
    if (state.gates.awaitsLog) return true
    for (const peer of state.peers) {
      if (peer !== undefined && peer.arrivals.outstanding() > 0) return true
    }
    return false
  }

  /** Commits, confirms, publishes the rings. */
  private flush(): void {
    const { state } = this
    state.log.flush()
    if (state.log.committedUpTo !== this.lastCommitted) {
      this.lastCommitted = state.log.committedUpTo
      for (const channel of this.waitingForLog) {
        channel.waitsForLog = false
        state.confirmed(channel)
      }
      this.waitingForLog = []
      this.control.answerSyncs()
    }
    if (state.dirtyChannels.length > 0) this.confirmChannels()
    state.streamClients.announce()
    for (const peer of state.peers) {
      if (peer === undefined) continue
      this.answerPeer(peer)
      peer.lane.flush()
    }
    for (const end of state.ends) end.lane.flush()
  }

  private confirmChannels(): void {
    const { state } = this
    const dirty = state.dirtyChannels
    state.dirtyChannels = []
    for (const channel of dirty) {
      channel.confirmsDirty = false
      if (!this.confirm(channel)) state.confirmed(channel)
      else if (channel.confirms.outstanding() > 0 && !channel.waitsForLog) {
        channel.waitsForLog = true
        this.waitingForLog.push(channel)
      }
    }
  }

  // HOT: once per batch and channel
  /** False when the gateway's ring is full. */
  private confirm(channel: ShardChannel): boolean {
    const { confirms } = channel
    const { committedUpTo } = this.state.log
    const ahead = channel.outlet.holdsConfirms && channel.commitRequest === 0
    while (confirms.advance(committedUpTo, ahead)) {
      const count = confirms.runCount
      if (channel.commitRequest !== 0) {
        this.control.committed(channel, count, confirms.runRefused)
      } else if (!channel.closed && !channel.outlet.lost) {
        const { lane } = channel.outlet
        const isDue = confirms.runPosition <= committedUpTo
        const size = isDue ? confirmWords : confirmAtWords
        const index = lane.reserve(size)
        if (index < 0) return false
        const { words } = lane.ring
        words[index] = (size << 8) | (isDue ? Record.confirm : Record.confirmAt)
        words[index + 1] = channel.id
        words[index + 2] = count
        words[index + 3] = confirms.runRefused ? 1 : 0
        // The log counts in the same words, from 0 mod 2^32.
        if (!isDue) words[index + 4] = (confirms.runPosition % 2 ** 32) | 0
        lane.ring.commit(size)
      }
      confirms.takeRun()
    }
    return true
  }

  private answerPeer(peer: PeerLink): void {
    const { arrivals } = peer
    while (arrivals.advance(this.state.log.committedUpTo)) {
      assert(arrivals.runCount > 0, 'a run has publishes')
      peer.lane.short(Record.forwarded, arrivals.runCount, arrivals.runRefused ? 1 : 0)
      arrivals.takeRun()
    }
  }
}
