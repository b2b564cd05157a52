// A bridge carries the links of one gateway over a socket, so that the gateway can be a process of
// its own and can't tell:
//
//   gateway's process                                core
//   session -> GatewayPort -> rings -> Bridge ==socket== Bridge -> rings -> shards
//
// The half in the core is to the shards what a gateway thread is; the half in the gateway's process
// has memory of its own and is to the GatewayPort what the shards are. Each half reads rings as far
// as the socket takes it, and the socket as far as rings and slabs take it.

import { Arena } from './arena.ts'
import type { BridgeTarget } from './bridge-receiver.ts'
import { BridgeReceiver } from './bridge-receiver.ts'
import type { BridgeSocket, BridgeSource } from './bridge-sender.ts'
import { BridgeSender } from './bridge-sender.ts'
import type { BridgeMeta } from './bridge-wire.ts'
import { Doorbell } from './doorbell.ts'
import { GatewayLink } from './gateway-port.ts'
import { Lane } from './lane.ts'
import { NodeWord } from './link.ts'
import type { GatewayStart } from './mail.ts'
import { RingReader, RingWriter } from './ring.ts'
import { SlabReclaimer } from './slab-reclaimer.ts'
import { SlabWriter } from './slab-writer.ts'

/** The links of one half, seen from its bridge. */
interface BridgeEnds {
  readonly arena: Arena
  readonly bell: Doorbell
  readonly sources: readonly BridgeSource[]
  readonly targets: readonly BridgeTarget[]
  onSeal(source: number, slab: number): void
  /** Shows what was written to the rings, and frees slabs. True while slabs wait to be freed. */
  flush(): boolean
  /** Core only: the words whose alarms the other half must know. */
  readonly nodeWords: Int32Array | undefined
}

/** How soon to look again for slabs whose readers ring no bell, milliseconds. */
const retryMs = 20

/** One half of a bridge, on the event loop of the thread that makes it. */
export class Bridge {
  private readonly socket: BridgeSocket
  private readonly ends: BridgeEnds
  private readonly sender: BridgeSender
  private readonly receiver: BridgeReceiver
  private paused: boolean
  private closed: boolean
  private alarms: number
  private retry: NodeJS.Timeout | undefined

  private constructor(
    socket: BridgeSocket,
    ends: BridgeEnds,
    onMeta: (meta: BridgeMeta) => void,
    onStall: (stalled: boolean) => void,
  ) {
    this.socket = socket
    this.ends = ends
    this.sender = new BridgeSender(
      socket,
      ends.arena,
      ends.sources,
      (source, slab) => ends.onSeal(source, slab),
      (stalled) => {
        onStall(stalled)
        if (!stalled) this.turn()
      },
    )
    this.receiver = new BridgeReceiver(ends.arena, ends.targets, onMeta)
    this.paused = false
    this.closed = false
    this.alarms = 0
    this.retry = undefined
  }

  /** The half beside the shards: `start` is what a gateway thread would get. */
  static forCore(
    socket: BridgeSocket,
    start: GatewayStart,
    onMeta: (meta: BridgeMeta) => void,
  ): Bridge {
    return new Bridge(socket, coreEnds(start), onMeta, () => {})
  }

  /**
   * The half beside a `GatewayPort` made from the same `start`, which is local to the process. While
   * `onStall` has said true, the port should take no publishes (`GatewayPort.hold`).
   */
  static forGateway(
    socket: BridgeSocket,
    start: GatewayStart,
    onMeta: (meta: BridgeMeta) => void,
    onStall: (stalled: boolean) => void,
  ): Bridge {
    return new Bridge(socket, gatewayEnds(start), onMeta, onStall)
  }

  /** Starts to serve the rings. */
  start(): void {
    this.pump()
  }

  /** The socket is gone. */
  close(): void {
    this.closed = true
    clearTimeout(this.retry)
  }

  /** A chunk from the socket. */
  onBytes(chunk: Buffer): void {
    if (!this.receiver.push(chunk) && !this.paused) {
      this.paused = true
      this.socket.pause()
    }
    this.flush()
  }

  /** Tells the other half something. */
  send(meta: BridgeMeta): void {
    this.sender.meta(meta)
  }

  /** Tries again what waited for room, as when a slab became free. */
  turn(): void {
    if (this.closed) return
    if (this.paused && this.receiver.proceed()) {
      this.paused = false
      this.socket.resume()
    }
    this.sendAlarms()
    this.sender.pump()
    this.flush()
  }

  private flush(): void {
    if (!this.ends.flush() && !this.paused) return
    this.retry ??= setTimeout(() => {
      this.retry = undefined
      this.turn()
    }, retryMs)
  }

  private sendAlarms(): void {
    const { nodeWords } = this.ends
    if (nodeWords === undefined) return
    const alarms = Atomics.load(nodeWords, NodeWord.alarms)
    if (alarms === this.alarms) return
    this.alarms = alarms
    this.sender.meta({ meta: 'alarms', alarms })
  }

  private readonly pump = (): void => {
    if (this.closed) return
    const seen = this.ends.bell.seen()
    this.turn()
    // Rung meanwhile: the socket gets its turn first.
    if (this.ends.bell.sleepAsync(seen, this.pump)) setImmediate(this.pump)
  }
}

function coreEnds(start: GatewayStart): BridgeEnds {
  const arena = new Arena(start.arena)
  const bells = start.shardBells.map((memory) => new Doorbell(memory))
  const links = start.links.map(
    (memory, shard) => new GatewayLink(shard, memory, arena, bells[shard] as Doorbell),
  )
  return {
    arena,
    bell: new Doorbell(start.bell),
    sources: links.map((link, shard) => ({ reader: link.in, bell: bells[shard] as Doorbell })),
    targets: links.map((link) => ({ lane: link.out, slabs: link.slabs, onReference: () => {} })),
    // Shards own their slabs.
    onSeal: () => {},
    flush: () => {
      for (const link of links) {
        link.show()
        link.out.wake()
      }
      return false
    },
    nodeWords: new Int32Array(start.nodeWords),
  }
}

function gatewayEnds(start: GatewayStart): BridgeEnds {
  const arena = new Arena(start.arena)
  const gatewayBell = new Doorbell(start.bell)
  const sides = start.links.map((memory) => {
    const reclaimer = new SlabReclaimer(arena)
    const ring = new RingWriter(memory.toGateway)
    const last = reclaimer.watch(memory.id, ring, new Int32Array(memory.pins))
    const target: BridgeTarget = {
      lane: new Lane(ring, gatewayBell),
      // The links' ids tag what sessions write; these tag what the bridge writes.
      slabs: new SlabWriter(arena, memory.id + start.links.length, 0, (slab) =>
        reclaimer.seal(slab),
      ),
      onReference: (slab) => {
        last[slab] = ring.total
      },
    }
    return { reclaimer, target, reader: new RingReader(memory.toShard) }
  })
  return {
    arena,
    // All shards of this half are the bridge: they share one bell.
    bell: new Doorbell(start.shardBells[0] as SharedArrayBuffer),
    sources: sides.map(({ reader }) => ({ reader, bell: gatewayBell })),
    targets: sides.map(({ target }) => target),
    onSeal: (source, slab) => sides[source]?.reclaimer.seal(slab),
    flush: () => {
      let waiting = 0
      for (const { target, reclaimer } of sides) {
        target.lane.flush()
        waiting += reclaimer.sweep()
      }
      if (arena.takeWaiting()) gatewayBell.ring()
      return waiting > 0
    },
    nodeWords: undefined,
  }
}
