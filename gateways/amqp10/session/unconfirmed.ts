// What a session has published unsettled and the shard has not confirmed: in publish order, which is
// the order of confirms.

import { Descriptor } from '../codec/spec.ts'
import type { AmqpError } from '../mapping/conditions.ts'

const firstCapacity = 64

/** Entries are taken from the front, by `count` from 0 on; the one in front has number `sequence`. */
export class UnconfirmedQueue {
  size: number
  /** How many publishes came before the one in front (wrapping int32), as the shard counts. */
  sequence: number
  private ids: Uint32Array
  private handles: Int32Array
  /** Descriptor code of the outcome, 0 for a delivery that the client has settled itself. */
  private outcomes: Uint8Array
  private head: number
  private readonly errors: Map<number, AmqpError>

  constructor() {
    this.size = 0
    this.sequence = 0
    this.ids = new Uint32Array(firstCapacity)
    this.handles = new Int32Array(firstCapacity)
    this.outcomes = new Uint8Array(firstCapacity)
    this.head = 0
    this.errors = new Map()
  }

  // HOT: once per publish to be confirmed
  /** Adds a publish on a link. `settled`: nothing is to be said of it, but its refusal counts. */
  push(deliveryId: number, handle: number, settled: boolean): void {
    if (this.size === this.ids.length) this.grow()
    const slot = (this.head + this.size) & (this.ids.length - 1)
    this.ids[slot] = deliveryId
    this.handles[slot] = handle
    this.outcomes[slot] = settled ? 0 : Descriptor.accepted
    this.size++
  }

  idAt(place: number): number {
    return this.ids[this.slot(place)] as number
  }

  /** -1: its link is detached. */
  handleAt(place: number): number {
    return this.handles[this.slot(place)] as number
  }

  outcomeAt(place: number): number {
    return this.outcomes[this.slot(place)] as number
  }

  /** The error of a rejected publish. */
  errorAt(place: number): AmqpError | undefined {
    return this.errors.get((this.sequence + place) | 0)
  }

  /** The place of the publish with a number that the shard gave; -1 where it is not there. */
  placeOf(sequence: number): number {
    const place = (sequence - this.sequence) | 0
    return place >= 0 && place < this.size ? place : -1
  }

  /** Sets the outcome of an unsettled publish. */
  mark(place: number, outcome: number, error: AmqpError | undefined): void {
    const slot = this.slot(place)
    if (this.outcomes[slot] === 0) return
    this.outcomes[slot] = outcome
    if (error !== undefined) this.errors.set((this.sequence + place) | 0, error)
  }

  /** A link is detached: nobody is to hear of what it published. */
  orphan(handle: number): void {
    for (let i = 0; i < this.size; i++) {
      const slot = this.slot(i)
      if (this.handles[slot] === handle) this.handles[slot] = -1
    }
  }

  /** Takes `count` out at the front. */
  drop(count: number): void {
    if (this.errors.size > 0) {
      for (let i = 0; i < count; i++) this.errors.delete((this.sequence + i) | 0)
    }
    this.head = (this.head + count) & (this.ids.length - 1)
    this.size -= count
    this.sequence = (this.sequence + count) | 0
  }

  private slot(place: number): number {
    return (this.head + place) & (this.ids.length - 1)
  }

  private grow(): void {
    const old = this.ids.length
    const ids = new Uint32Array(old * 2)
    const handles = new Int32Array(old * 2)
    const outcomes = new Uint8Array(old * 2)
    for (let i = 0; i < this.size; i++) {
      const slot = this.slot(i)
      ids[i] = this.ids[slot] as number
      handles[i] = this.handles[slot] as number
      outcomes[i] = this.outcomes[slot] as number
    }
    this.ids = ids
    this.handles = handles
    this.outcomes = outcomes
    this.head = 0
  }
}
