// Publishes of QoS 1 and 2 that are on their way to their queues, in order: acknowledgements leave in
// the order in which the publishes came [MQTT-4.6.0-2].

const firstCapacity = 16

const noIds = new Uint16Array(0)
const noBits = new Uint8Array(0)

/** What is known of a publish; bits. */
export const Awaited = {
  qos2: 1,
  confirmed: 2,
  /** No queue wanted it. */
  unrouted: 4,
  /** The publisher may not publish there. */
  refused: 8,
  /** A queue did not take it. */
  rejected: 16,
  /** Its retained message is not on disk yet. */
  held: 32,
} as const

export class AwaitedConfirms {
  private ids: Uint16Array
  private bits: Uint8Array
  /** Sequence numbers of publishes count up by one. */
  private first: number
  private confirmed: number
  private next: number

  constructor() {
    this.ids = noIds
    this.bits = noBits
    this.first = 0
    this.confirmed = 0
    this.next = 0
  }

  count(): number {
    return this.next - this.first
  }

  // HOT: once per publish of QoS 1 or 2
  /** Adds a publish; returns its sequence number. */
  push(packetId: number, bits: number): number {
    if (this.next - this.first === this.ids.length) this.grow()
    const slot = this.next & (this.ids.length - 1)
    this.ids[slot] = packetId
    this.bits[slot] = bits
    return this.next++
  }

  /** The next `count` publishes have been confirmed, or refused by a queue. */
  confirm(count: number, nack: boolean): void {
    const add = Awaited.confirmed | (nack ? Awaited.rejected : 0)
    for (let i = 0; i < count; i++) this.mark(this.confirmed++, add)
  }

  mark(sequence: number, bits: number): void {
    const slot = sequence & (this.ids.length - 1)
    this.bits[slot] = (this.bits[slot] as number) | bits
  }

  unmark(sequence: number, bits: number): void {
    const slot = sequence & (this.ids.length - 1)
    this.bits[slot] = (this.bits[slot] as number) & ~bits
  }

  /** Whether an id is among them; a loop, for repeated packets only. */
  has(packetId: number): boolean {
    for (let i = this.first; i < this.next; i++) {
      if (this.ids[i & (this.ids.length - 1)] === packetId) return true
    }
    return false
  }

  // HOT: once per publish of QoS 1 or 2
  /** Whether the first one can be acknowledged: then `takeId` and `takeBits` say how. */
  ready(): boolean {
    if (this.first === this.next) return false
    const bits = this.bits[this.first & (this.ids.length - 1)] as number
    return (bits & (Awaited.confirmed | Awaited.held)) === Awaited.confirmed
  }

  firstId(): number {
    return this.ids[this.first & (this.ids.length - 1)] as number
  }

  /** Takes the first one out; its bits. */
  take(): number {
    return this.bits[this.first++ & (this.ids.length - 1)] as number
  }

  private grow(): void {
    const capacity = Math.max(firstCapacity, this.ids.length * 2)
    const ids = new Uint16Array(capacity)
    const bits = new Uint8Array(capacity)
    for (let i = this.first; i < this.next; i++) {
      ids[i & (capacity - 1)] = this.ids[i & (this.ids.length - 1)] as number
      bits[i & (capacity - 1)] = this.bits[i & (this.bits.length - 1)] as number
    }
    this.ids = ids
    this.bits = bits
  }
}
