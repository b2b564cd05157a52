// Message groups (`x-message-groups`): messages with the same key go to one consumer while it holds
// any of them unsettled, in their order; a key without unsettled deliveries is anybody's. The key is a
// header's text; a message without it belongs to no group.
//
// A message whose group's consumer can take no more is set aside, so that others pass; when that
// consumer or its group moves on, what was set aside goes back to its place. Only so many are set
// aside: then the queue waits.

import { Reader } from '../../shared/bytes/reader.ts'
import { encodeUtf8 } from '../../shared/bytes/utf8.ts'
import { ReplyCode } from '../../shared/errors.ts'
import { findField, readValue } from '../../shared/message/field-table.ts'
import { PropertyScan } from '../../shared/message/properties.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { Consumer, ConsumerRing } from './consumer.ts'
import type { Holder } from './holder.ts'
import type { WaitingList } from './waiting-list.ts'

/** Messages that may be set aside at once: each settlement may put all of them back. */
const asideMax = 256

interface Group {
  readonly key: string
  /** Who holds its unsettled deliveries. */
  consumer: Consumer
  unsettled: number
}

interface Aside {
  readonly row: number
  readonly position: number
  readonly key: string
}

/** The queue, as its groups see it. */
export interface GroupedQueue {
  readonly ready: WaitingList
  readonly consumers: ConsumerRing
  canServe(consumer: Consumer): boolean
  deliver(consumer: Consumer, row: number, position: number, returned: boolean): void
  isLate(row: number, position: number): boolean
  /** What comes next in `ready` is to be read back. */
  fetch(): void
  backAgain(row: number, position: number): void
}

export class MessageGroups {
  private readonly messages: MessageTable
  private readonly header: Uint8Array
  private readonly scan: PropertyScan
  /** Groups with unsettled deliveries. */
  private readonly groups: Map<string, Group>
  /** Of unsettled deliveries. */
  private readonly byPosition: Map<number, Group>
  private aside: Aside[]

  constructor(messages: MessageTable, header: string) {
    this.messages = messages
    this.header = encodeUtf8(header)
    this.scan = new PropertyScan()
    this.groups = new Map()
    this.byPosition = new Map()
    this.aside = []
  }

  /** Messages that are set aside. */
  count(): number {
    return this.aside.length
  }

  /** Delivers what can be delivered, each message to whom its group allows. */
  deliver(queue: GroupedQueue): void {
    const { ready, consumers } = queue
    while (!ready.isEmpty() && this.aside.length < asideMax) {
      const next = consumers.pickAny()
      if (next === undefined) return
      if (!queue.canServe(next)) continue
      if (ready.levelToRead() >= 0) queue.fetch()
      if (!ready.take()) return
      const { takenRow: row, takenPosition: position, takenReturned } = ready
      if (queue.isLate(row, position)) continue
      const key = this.keyOf(row)
      const owner = key === undefined ? undefined : this.groups.get(key)?.consumer
      const can = owner === undefined || queue.canServe(owner)
      if (key !== undefined && (!can || this.isBehind(key, position))) {
        this.aside.push({ row, position, key })
        continue
      }
      const consumer = owner ?? next
      if (key !== undefined && !consumer.noAck) this.delivered(key, consumer, position)
      queue.deliver(consumer, row, position, takenReturned)
    }
  }

  /** The key of a message; undefined: it has none. */
  private keyOf(row: number): string | undefined {
    const { messages, scan } = this
    const size = messages.propsSize[row] as number
    const bytes = messages.slabBytesOf(messages.slab[row] as number)
    const at =
      (messages.at[row] as number) +
      (messages.exrkSize[row] as number) +
      (messages.extraSize[row] as number)
    scan.scan(bytes, at, size)
    if (scan.headersAt < 0) return undefined
    const valueAt = findField(bytes, scan.headersAt, this.header)
    if (valueAt < 0) return undefined
    const end = scan.headersAt + scan.headersSize
    const { value } = readValue(new Reader(bytes, valueAt, end, ReplyCode.FRAME_ERROR))
    return typeof value === 'object' ? undefined : String(value)
  }

  /** Whether an earlier message of the group is set aside. */
  private isBehind(key: string, position: number): boolean {
    return this.aside.some((other) => other.key === key && other.position < position)
  }

  /** `consumer` holds the message until it settles it. */
  private delivered(key: string, consumer: Consumer, position: number): void {
    let group = this.groups.get(key)
    if (group === undefined) {
      group = { key, consumer, unsettled: 0 }
      this.groups.set(key, group)
    }
    group.unsettled++
    this.byPosition.set(position, group)
  }

  /** A delivery was settled: its group, or others of its holder, may go on. */
  settled(holder: Holder, position: number, queue: GroupedQueue): void {
    const group = this.byPosition.get(position)
    if (group !== undefined) {
      this.byPosition.delete(position)
      if (--group.unsettled === 0) this.groups.delete(group.key)
    }
    this.putBack(queue, (key) => key === group?.key || this.groups.get(key)?.consumer === holder)
  }

  /** `consumer` can be served again. */
  freed(consumer: Consumer, queue: GroupedQueue): void {
    this.putBack(queue, (key) => this.groups.get(key)?.consumer === consumer)
  }

  putBackAll(queue: GroupedQueue): void {
    this.putBack(queue, () => true)
  }

  private putBack(queue: GroupedQueue, which: (key: string) => boolean): void {
    if (this.aside.length === 0) return
    const kept: Aside[] = []
    const { aside } = this
    this.aside = kept
    for (const message of aside) {
      if (which(message.key)) queue.backAgain(message.row, message.position)
      else kept.push(message)
    }
  }
}
