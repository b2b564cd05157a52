// A queue with times, limits and priorities, as a plain list: what RabbitMQ's documentation says.

import type { QueueSettings } from '../../core/topology/queue-settings.ts'

export interface ModelMessage {
  readonly number: number
  readonly level: number
  readonly size: number
  /** `Infinity`: never. */
  readonly expiry: number
}

export interface Died {
  readonly number: number
  readonly reason: 'expired' | 'maxlen' | 'rejected'
}

export class BoundsModel {
  now: number
  settings: QueueSettings
  /** What waits, in the order of delivery. */
  ready: ModelMessage[] = []
  unacked: ModelMessage[] = []
  /** Since the last look. */
  deaths: Died[] = []
  refused = false
  /** Unsettled deliveries that a consumer takes; undefined: there is none. */
  prefetch: number | undefined
  private held = 0

  constructor(now: number, settings: QueueSettings) {
    this.now = now
    this.settings = settings
  }

  /** `ttl`: the message's own. Returns whether it went straight to the consumer. */
  publish(number: number, size: number, priority: number, ttl: number | undefined): boolean {
    const { overflow } = this.settings
    const least = Math.min(ttl ?? Infinity, this.settings.messageTtlMs ?? Infinity)
    const level = Math.min(priority, this.settings.priorityMax ?? 0)
    const message = { number, level, size, expiry: this.now + least }
    this.refused = overflow !== 'drop-head' && this.isOver(1, size)
    if (this.refused) {
      if (overflow === 'reject-publish-dlx') this.die(message, 'maxlen')
      return false
    }
    if (this.ready.length === 0 && this.hasRoom()) {
      this.deliver(message)
      return true
    }
    if (least <= 0) {
      this.die(message, 'expired')
      return false
    }
    this.insert(message)
    this.dropHead()
    return false
  }

  /** What the consumer gets. */
  pump(): number[] {
    this.dropHead()
    const got: number[] = []
    while (this.ready.length > 0 && this.hasRoom()) {
      const [first] = this.ready.splice(0, 1) as [ModelMessage]
      this.deliver(first)
      got.push(first.number)
    }
    return got
  }

  /** basic.get. */
  get(): number | undefined {
    const first = this.ready.shift()
    if (first !== undefined) this.unacked.push(first)
    return first?.number
  }

  settle(which: number, outcome: 'complete' | 'requeue' | 'discard', byConsumer: boolean): void {
    const [message] = this.unacked.splice(which, 1)
    if (message === undefined) return
    if (byConsumer) this.held--
    if (outcome === 'discard') this.die(message, 'rejected')
    if (outcome !== 'requeue') return
    if (message.expiry <= this.now) this.die(message, 'expired')
    else this.insert(message)
  }

  pass(ms: number): void {
    this.now += ms
    for (const message of this.ready) if (message.expiry <= this.now) this.die(message, 'expired')
    this.ready = this.ready.filter(({ expiry }) => expiry > this.now)
  }

  purge(): number {
    return this.ready.splice(0).length
  }

  configure(settings: QueueSettings): void {
    this.settings = settings
    this.dropHead()
  }

  /** The node was gone for a while: what was delivered waits again. */
  restart(ms: number): void {
    for (const message of this.unacked.splice(0)) this.insert(message)
    this.held = 0
    this.pass(ms)
    this.dropHead()
  }

  private hasRoom(): boolean {
    return this.prefetch !== undefined && (this.prefetch === 0 || this.held < this.prefetch)
  }

  private deliver(message: ModelMessage): void {
    this.unacked.push(message)
    this.held++
  }

  private insert(message: ModelMessage): void {
    this.ready.push(message)
    this.ready.sort((a, b) => b.level - a.level || a.number - b.number)
  }

  private isOver(more: number, bytes: number): boolean {
    const { lengthMax = Infinity, bytesMax = Infinity } = this.settings
    const size = this.ready.reduce((sum, message) => sum + message.size, 0)
    return this.ready.length + more > lengthMax || size + bytes > bytesMax
  }

  private dropHead(): void {
    if (this.settings.overflow !== 'drop-head') return
    while (this.ready.length > 0 && this.isOver(0, 0)) {
      this.die(this.ready.shift() as ModelMessage, 'maxlen')
    }
  }

  private die({ number }: ModelMessage, reason: Died['reason']): void {
    this.deaths.push({ number, reason })
  }
}
