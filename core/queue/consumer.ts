// A consumer as its queue's shard knows it, and the order in which a queue's consumers are served.

import type { Lane } from '../../shared/bus/lane.ts'
import type { Holder, QueueEnd } from './holder.ts'
import { LinkCredit } from './link-credit.ts'
import type { Unacked } from './unacked.ts'

/** Why a consumer can't be served now; bits of `Consumer.blocked`. */
export const Block = {
  /** As many unacknowledged deliveries as its prefetch allows. */
  prefetch: 1,
  /** Its connection's socket has not taken what was sent. */
  window: 2,
  /** No room in the ring to its gateway. */
  ring: 4,
  /** Its channel has global prefetch and no token. */
  token: 8,
  /** Another consumer of a single-active-consumer queue is the active one. */
  waiting: 16,
  /** Its link has no credit. */
  credit: 32,
} as const

/** The way to a gateway. */
export interface Outlet {
  readonly lane: Lane
  /** Per slab: the ring's total behind the last record that refers to it (see SlabReclaimer). */
  readonly lastReference: Float64Array
  /** Consumers with Block.ring. */
  readonly stalled: Consumer[]
}

/** What a connection's socket may still be sent. */
export interface Window {
  bytes: number
  /** Consumers with Block.window. */
  readonly stalled: Consumer[]
}

/** What a queue needs to know of the channel of a consumer. */
export interface ConsumerChannel {
  /** Its slot at the gateway. */
  readonly id: number
  readonly outlet: Outlet
  readonly window: Window
  readonly unacked: Unacked
  /** Global prefetch: each delivery takes one of `tokens`. */
  tokenMode: boolean
  tokens: number
  /** Consumers with Block.token. */
  readonly starved: Consumer[]
}

export interface ConsumerOptions {
  readonly tag: string
  readonly noAck: boolean
  readonly exclusive: boolean
  /** 0: any number. */
  readonly prefetch: number
  readonly priority: number
  /** Served by link credit, which begins at none. */
  readonly credited?: boolean
  /** Its deliveries say the place in the queue. */
  readonly positions?: boolean
  readonly timeoutMs?: number | undefined
}

export class Consumer implements Holder {
  /** Its slot at the gateway. */
  readonly id: number
  readonly channel: ConsumerChannel
  readonly queue: QueueEnd
  readonly tag: string
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly prefetch: number
  readonly priority: number
  /** How long it may hold a delivery; 0: any time, undefined: as its queue says. */
  readonly timeoutMs: number | undefined
  /** The credit of a credited consumer. */
  readonly link: LinkCredit | undefined
  readonly positions: boolean
  slot: number
  unacked: number
  ended: boolean
  blocked: number
  /** Neighbours in the ring of consumers of its priority that can be served. */
  previous: Consumer | undefined
  following: Consumer | undefined

  constructor(id: number, channel: ConsumerChannel, queue: QueueEnd, options: ConsumerOptions) {
    this.id = id
    this.channel = channel
    this.queue = queue
    this.tag = options.tag
    this.noAck = options.noAck
    this.exclusive = options.exclusive
    this.prefetch = options.noAck ? 0 : options.prefetch
    this.priority = options.priority
    this.timeoutMs = options.timeoutMs
    this.link = options.credited === true ? new LinkCredit() : undefined
    this.positions = options.positions === true
    this.slot = 0
    this.unacked = 0
    this.ended = false
    this.blocked = this.link === undefined ? 0 : Block.credit
    this.previous = undefined
    this.following = undefined
  }
}

/** The servable consumers of one priority; `first` is next in turn. */
interface Level {
  readonly priority: number
  first: Consumer | undefined
}

/** The consumers of one queue: all of them in order of registration, and who is next in turn. */
export class ConsumerRing {
  readonly all: Set<Consumer>
  /** Nobody is served. */
  paused: boolean
  /** Nobody is served but by `pickAny`. */
  aside: boolean
  /** Highest priority first. */
  private readonly levels: Level[]

  constructor() {
    this.all = new Set()
    this.paused = false
    this.aside = false
    this.levels = []
  }

  // HOT: once per delivery
  /** The consumer whose turn it is, or undefined when none can be served. */
  pick(): Consumer | undefined {
    if (this.paused || this.aside) return undefined
    return this.pickAny()
  }

  /** `pick` for a queue that finds the consumer of each message by itself. */
  pickAny(): Consumer | undefined {
    if (this.paused) return undefined
    for (let i = 0; i < this.levels.length; i++) {
      const first = (this.levels[i] as Level).first
      if (first !== undefined) return first
    }
    return undefined
  }

  // HOT: once per delivery
  /** `consumer`, which `pick` gave, has been served: the next of its priority is in turn. */
  served(consumer: Consumer): void {
    if (consumer.following === consumer) return
    for (let i = 0; i < this.levels.length; i++) {
      const level = this.levels[i] as Level
      if (level.first === consumer) {
        level.first = consumer.following
        return
      }
    }
  }

  add(consumer: Consumer): void {
    this.all.add(consumer)
    if (consumer.blocked === 0) this.link(consumer)
  }

  remove(consumer: Consumer): void {
    this.all.delete(consumer)
    if (consumer.following !== undefined) this.unlink(consumer)
  }

  /** Sets a reason not to serve the consumer. */
  block(consumer: Consumer, reason: number): void {
    if (consumer.blocked === 0 && consumer.following !== undefined) this.unlink(consumer)
    consumer.blocked |= reason
  }

  /** Clears a reason. True when the consumer can be served again. */
  unblock(consumer: Consumer, reason: number): boolean {
    if ((consumer.blocked & reason) === 0) return false
    consumer.blocked &= ~reason
    if (consumer.blocked !== 0 || consumer.ended) return false
    this.link(consumer)
    return true
  }

  private link(consumer: Consumer): void {
    const level = this.level(consumer.priority)
    const first = level.first
    if (first === undefined) {
      consumer.previous = consumer
      consumer.following = consumer
      level.first = consumer
      return
    }
    // Behind the last: it has to wait for its turn.
    const last = first.previous as Consumer
    consumer.previous = last
    consumer.following = first
    last.following = consumer
    first.previous = consumer
  }

  private unlink(consumer: Consumer): void {
    const level = this.level(consumer.priority)
    const { previous, following } = consumer as { previous: Consumer; following: Consumer }
    if (following === consumer) level.first = undefined
    else {
      previous.following = following
      following.previous = previous
      if (level.first === consumer) level.first = following
    }
    consumer.previous = undefined
    consumer.following = undefined
  }

  private level(priority: number): Level {
    let i = 0
    while (i < this.levels.length && (this.levels[i] as Level).priority > priority) i++
    const found = this.levels[i]
    if (found !== undefined && found.priority === priority) return found
    const made: Level = { priority, first: undefined }
    this.levels.splice(i, 0, made)
    return made
  }
}
