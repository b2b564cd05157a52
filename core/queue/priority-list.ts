// The messages of a queue with priorities: a list for each level that is in use, positions of each
// level from `level * levelSpan` on.
//
//   strict       the highest level that has messages (classic queues, x-max-priority)
//   twoToOne     two levels; of three messages one is of the lower, while both have some (quorum
//                queues, RabbitMQ 4.0)

import { levelOf } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ReadyList } from './ready-list.ts'
import type { WaitingList } from './waiting-list.ts'

export type PriorityRule = 'strict' | 'twoToOne'

const levelsMax = 256
/** Messages of the higher level in a row. */
const higherInTurn = 2

export class PriorityList implements WaitingList {
  takenRow: number
  takenPosition: number
  takenReturned: boolean
  removedBytes: number
  private readonly rule: PriorityRule
  private readonly openLevel: (level: number) => ReadyList
  /** By level; undefined where there never was a message. */
  private readonly levels: (ReadyList | undefined)[]
  /** Levels that may have messages, a bit each. */
  private readonly filled: Int32Array
  /** twoToOne: messages taken since the lower level had its turn. */
  private turn: number

  /** `openLevel` makes the list of a level that gets its first message; `lowest` is that of level 0. */
  constructor(rule: PriorityRule, lowest: ReadyList, openLevel: (level: number) => ReadyList) {
    this.takenRow = -1
    this.takenPosition = 0
    this.takenReturned = false
    this.removedBytes = 0
    this.rule = rule
    this.openLevel = openLevel
    this.levels = [lowest]
    this.filled = new Int32Array(levelsMax / 32).fill(-1)
    this.turn = 0
  }

  /** The list of a level, made if need be; messages may be put into it. */
  level(level: number): ReadyList {
    this.fill(level)
    const known = this.levels[level]
    if (known !== undefined) return known
    while (this.levels.length <= level) this.levels.push(undefined)
    const made = this.openLevel(level)
    this.levels[level] = made
    return made
  }

  // HOT: once per publish to a queue with priorities and a limit
  size(): number {
    let size = 0
    for (let i = 0; i < this.levels.length; i++) size += this.levels[i]?.size() ?? 0
    return size
  }

  isEmpty(): boolean {
    return this.next() === undefined
  }

  push(row: number, level: number): number {
    return this.level(level).push(row)
  }

  pass(level: number): number {
    return this.level(level).pass()
  }

  take(): boolean {
    const list = this.next()
    if (list === undefined || !list.take()) return false
    this.turn = this.turn === higherInTurn ? 0 : this.turn + 1
    this.takenRow = list.takenRow
    this.takenPosition = list.takenPosition
    this.takenReturned = list.takenReturned
    return true
  }

  first(): number {
    return this.next()?.first() ?? -1
  }

  firstPosition(): number {
    return this.next()?.firstPosition() ?? Number.POSITIVE_INFINITY
  }

  /** The level whose next messages are to be read back; -1: none. */
  levelToRead(): number {
    const list = this.next()
    return list === undefined || !list.stored.wantsMore() ? -1 : this.levels.indexOf(list)
  }

  giveBack(row: number, position: number): void {
    this.level(levelOf(position)).giveBack(row, position)
  }

  remove(position: number, logged: boolean): number {
    const list = this.level(levelOf(position))
    const row = list.remove(position, logged)
    this.removedBytes = list.removedBytes
    return row
  }

  returnedCount(): number {
    let count = 0
    for (const list of this.levels) count += list?.returnedCount() ?? 0
    return count
  }

  removeReturned(go: (row: number, position: number) => boolean): void {
    for (const list of this.levels) list?.removeReturned(go)
  }

  each(from: number, most: number, onMessage: (row: number, position: number) => void): void {
    for (const list of this.levels) list?.each(from, most, onMessage)
  }

  bytes(messages: MessageTable): number {
    let bytes = 0
    for (const list of this.levels) bytes += list?.bytes(messages) ?? 0
    return bytes
  }

  /** The list that `take` takes from. */
  private next(): ReadyList | undefined {
    const { levels } = this
    if (this.rule === 'twoToOne' && this.turn === higherInTurn) {
      const lowest = levels[0] as ReadyList
      if (lowest.size() > 0) return lowest
    }
    const { filled } = this
    for (let word = (levels.length - 1) >> 5; word >= 0; word--) {
      while (filled[word] !== 0) {
        const level = (word << 5) + 31 - Math.clz32(filled[word] as number)
        const list = levels[level]
        if (list !== undefined && list.size() > 0) return list
        filled[word] = (filled[word] as number) & ~(1 << (level & 31))
      }
    }
    return undefined
  }

  /** Messages may have come to any level without `push`. */
  lookAgain(): void {
    this.filled.fill(-1)
  }

  private fill(level: number): void {
    this.filled[level >> 5] = (this.filled[level >> 5] as number) | (1 << (level & 31))
  }
}
