/** Publishing at full speed, in a confirm window, or on a schedule with time stamps. */

import { stampNow } from './clock.ts'
import { ConfirmWindow } from './confirm-window.ts'
import type { LoadConnection } from './connection.ts'
import type { Histogram } from './histogram.ts'
import type { PublishBlock, PublishShape } from './publish-block.ts'
import { buildPublishBlock } from './publish-block.ts'
import { MethodId, methodFrame, u8 } from './wire.ts'

/** Bytes handed to one socket and not yet taken by the kernel. */
const IN_FLIGHT_MAX = 512 * 1024
/** Bytes written before other sockets get their turn. */
const TURN_SIZE = 256 * 1024
/** A paced producer gives up when this much could not be sent: the broker can't keep the rate. */
const BACKLOG_MAX = 64 * 1024 * 1024
/** Turns of a paced producer: the smallest step of Node's timers. */
const TICK_MS = 1

/** A producer that runs until stopped. */
export type Producer = {
  readonly connection: LoadConnection
  start(): void
  stop(): void
  /** Messages handed to the socket. */
  published(): number
  /** Messages confirmed; equals `published` without confirms. */
  confirmed(): number
  nacked(): number
  /** True when a paced producer fell hopelessly behind. */
  saturated(): boolean
}

/**
 * Puts channel 1 into confirm mode if `window` > 0, and builds a producer of `rate` (0: no limit). With a
 * window of 1, `confirmTimes` gets the microseconds that each confirm took.
 */
export async function openProducer(
  connection: LoadConnection,
  shape: PublishShape,
  window: number,
  rate: number,
  stamps: boolean,
  confirmTimes: Histogram,
): Promise<Producer> {
  if (window > 0) {
    const select = methodFrame(1, MethodId.confirmSelect, u8(0))
    await connection.request(1, select, MethodId.confirmSelectOk)
  }
  const block = buildPublishBlock(shape)
  if (rate > 0) return new PacedProducer(connection, block, rate, stamps)
  return new FloodProducer(connection, block, window, confirmTimes)
}

/** Writes slices of one block as fast as the socket and the confirm window allow. */
class FloodProducer implements Producer {
  readonly connection: LoadConnection
  readonly #block: PublishBlock
  readonly #window: ConfirmWindow | undefined
  readonly #afterWrite: () => void
  readonly #turn: () => void
  #inFlight: number
  #writeSizes: number[]
  #published: number
  /** Where in the block the next publish begins, so that all routing keys get used. */
  #cursor: number
  /** When the last publish was written, where only one is open at a time. */
  #sentAt: number
  #scheduled: boolean
  #running: boolean

  constructor(
    connection: LoadConnection,
    block: PublishBlock,
    window: number,
    confirmTimes: Histogram,
  ) {
    this.#sentAt = 0
    this.connection = connection
    this.#block = block
    this.#window = window > 0 ? new ConfirmWindow(window) : undefined
    this.#inFlight = 0
    this.#writeSizes = []
    this.#published = 0
    this.#cursor = 0
    this.#scheduled = false
    this.#running = false
    this.#turn = () => {
      this.#scheduled = false
      this.#pump()
    }
    this.#afterWrite = () => {
      this.#inFlight -= this.#writeSizes.shift() ?? 0
      this.#schedule()
    }
    connection.events.onConfirm = (_channel, tag, multiple, nack) => {
      this.#window?.settle(tag, multiple, nack)
      if (window === 1) confirmTimes.record((performance.now() - this.#sentAt) * 1000)
    }
    if (window > 0) connection.events.onChunk = () => this.#schedule()
  }

  start(): void {
    this.#running = true
    this.#pump()
  }

  stop(): void {
    this.#running = false
  }

  published(): number {
    return this.#published
  }

  confirmed(): number {
    return this.#window === undefined ? this.#published : this.#window.confirmed
  }

  nacked(): number {
    return this.#window?.nacked ?? 0
  }

  saturated(): boolean {
    return false
  }

  /** In a later turn of the event loop, so that reads are served between writes. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  #pump(): void {
    const { bytes, count, messageSize } = this.#block
    let turn = TURN_SIZE
    while (this.#running && turn > 0 && this.#inFlight < IN_FLIGHT_MAX) {
      const room = this.#window?.room() ?? count
      if (room === 0 || this.connection.failure !== undefined) return
      const n = Math.min(room, count - this.#cursor)
      const size = n * messageSize
      const at = this.#cursor * messageSize
      this.#cursor = (this.#cursor + n) % count
      this.#inFlight += size
      turn -= size
      this.#published += n
      this.#window?.sent(n)
      this.#sentAt = performance.now()
      this.#writeSizes.push(size)
      this.connection.socket.write(bytes.subarray(at, at + size), this.#afterWrite)
    }
    if (this.#running && this.#inFlight < IN_FLIGHT_MAX) this.#schedule()
  }
}

/**
 * Sends what is due each millisecond, whether or not the broker keeps up (open loop). A message is
 * stamped when it is made; time spent in the socket's queue counts as latency.
 */
class PacedProducer implements Producer {
  readonly connection: LoadConnection
  readonly #block: PublishBlock
  readonly #rate: number
  readonly #stamps: boolean
  /** Copies of the block that no write is using. */
  readonly #free: Buffer[]
  #timer: NodeJS.Timeout | undefined
  #startedAt: number
  #published: number
  #saturated: boolean

  constructor(connection: LoadConnection, block: PublishBlock, rate: number, stamps: boolean) {
    this.connection = connection
    this.#block = block
    this.#rate = rate
    this.#stamps = stamps
    this.#free = []
    this.#timer = undefined
    this.#startedAt = 0
    this.#published = 0
    this.#saturated = false
  }

  start(): void {
    this.#startedAt = performance.now()
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  published(): number {
    return this.#published
  }

  confirmed(): number {
    return this.#published
  }

  nacked(): number {
    return 0
  }

  saturated(): boolean {
    return this.#saturated
  }

  #tick(): void {
    const elapsed = (performance.now() - this.#startedAt) / 1000
    let due = Math.floor(elapsed * this.#rate) - this.#published
    if (this.connection.socket.writableLength > BACKLOG_MAX) this.#saturated = true
    if (this.#saturated || this.connection.failure !== undefined) return
    while (due > 0) {
      const n = Math.min(due, this.#block.count)
      this.#send(n)
      due -= n
    }
  }

  #send(n: number): void {
    const { bytes, messageSize, bodyAt } = this.#block
    const copy = this.#free.pop() ?? Buffer.from(bytes)
    if (this.#stamps) {
      const stamp = stampNow()
      for (let i = 0, at = bodyAt; i < n; i++, at += messageSize) copy.writeUInt32BE(stamp, at)
    }
    this.#published += n
    this.connection.socket.write(copy.subarray(0, n * messageSize), () => {
      this.#free.push(copy)
    })
  }
}
