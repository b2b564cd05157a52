// How many messages may wait in a queue, or how many bytes of bodies, and what happens to those that
// are too many (RabbitMQ: x-max-length, x-max-length-bytes, x-overflow). Only messages that wait
// count; of drop-head the oldest goes, the other two refuse the newest.

import type { QueueSettings } from '../topology/queue-settings.ts'

export class LengthLimit {
  readonly dropsHead: boolean
  /** What is refused is dead-lettered too. */
  readonly deadLetters: boolean
  /** Bytes of the bodies that wait. Kept only where `countsBytes`. */
  bytes: number
  readonly countsBytes: boolean
  private readonly lengthMax: number
  private readonly bytesMax: number

  constructor(settings: QueueSettings, bytes: number) {
    this.dropsHead = settings.overflow === 'drop-head'
    this.deadLetters = settings.overflow === 'reject-publish-dlx'
    this.lengthMax = settings.lengthMax ?? Number.POSITIVE_INFINITY
    this.bytesMax = settings.bytesMax ?? Number.POSITIVE_INFINITY
    this.countsBytes = settings.bytesMax !== undefined
    this.bytes = bytes
  }

  /** Whether `count` waiting messages are too many. */
  isOver(count: number): boolean {
    return count > this.lengthMax || this.bytes > this.bytesMax
  }

  /** Whether a message of `bytes` is refused by a queue in which `count` wait; consumers don't matter. */
  refuses(count: number, bytes: number): boolean {
    if (this.dropsHead) return false
    return count + 1 > this.lengthMax || this.bytes + bytes > this.bytesMax
  }
}

/** Whether settings limit the length at all. */
export function limitsLength(settings: QueueSettings): boolean {
  return settings.lengthMax !== undefined || settings.bytesMax !== undefined
}
