// A kept message as filters see it: the fields of its properties and application properties, found
// without decoding the others.

import type { Arena } from '../../../../shared/bus/arena.ts'
import { DecodeError } from '../../../../shared/bytes/decode-error.ts'
import { viewOf } from '../../../../shared/bytes/view.ts'
import { PropertyScan } from '../../../../shared/message/properties.ts'
import { Code, skipValue } from '../../codec/constructors.ts'
import { ElementCursor } from '../../codec/sections.ts'
import { decodeValue } from '../../codec/value-reader.ts'
import { convertForeign } from '../foreign-message.ts'
import { NativePart } from '../native-part.ts'
import type { FilterValue } from './filter-value.ts'
import { toFilterValue } from './filter-value.ts'
import type { FilteredMessage, MessageFilter } from './message-filter.ts'

/** Since 1970, ms. */
interface WallClock {
  wall(): number
}

/** The fields of one message after another. Reused. */
export class MessageFields implements FilteredMessage {
  priority: number = defaultPriority
  private clock: WallClock = { wall: () => 0 }
  private bytes: Uint8Array = new Uint8Array(0)
  /** Both sections, each from its descriptor on; -1 where there is none. */
  private propertiesAt = -1
  private applicationAt = -1
  private end = 0
  private readonly native = new NativePart()
  private readonly scan = new PropertyScan()
  private readonly cursor = new ElementCursor()

  /**
   * Whether `filter` passes the entry whose words are at `words[at..]`; `clock` is the host's. What cannot be read, does not:
   * publishers' maps are only stepped over when they come in.
   */
  pass(
    filter: MessageFilter,
    clock: WallClock,
    arena: Arena,
    words: Int32Array,
    at: number,
  ): boolean {
    this.clock = clock
    try {
      this.load(arena, words, at)
      return filter.matches(this)
    } catch (error) {
      if (error instanceof DecodeError) return false
      throw error
    }
  }

  private load(arena: Arena, words: Int32Array, at: number): void {
    const bytes = arena.slab(words[at] as number)
    const extraAt = (words[at + 1] as number) + (words[at + 2] as number)
    const extraSize = words[at + 3] as number
    const propsAt = extraAt + extraSize
    const propsSize = words[at + 4] as number
    if (extraSize > 0 && this.native.find(bytes, extraAt, extraSize)) {
      this.scan.scan(bytes, propsAt, propsSize)
      this.setPriority(this.scan.priority)
      this.enter(bytes, this.native.bareAt, this.native.bareAt + this.native.bareSize)
    } else {
      const { bare, priority } = convertForeign(bytes, propsAt, propsSize)
      this.setPriority(priority)
      this.enter(bare, 0, bare.length)
    }
  }

  property(place: number): FilterValue {
    const { cursor } = this
    if (this.propertiesAt < 0) return undefined
    cursor.enterSection(this.bytes, this.propertiesAt, this.end, Code.list8)
    if (cursor.left <= place) return undefined
    for (let i = 0; i < place; i++) cursor.next()
    return this.take()
  }

  application(name: string): FilterValue {
    return this.find(name) ? this.take() : undefined
  }

  hasApplication(name: string): boolean {
    return this.find(name)
  }

  wall(): number {
    return this.clock.wall()
  }

  private setPriority(priority: number): void {
    this.priority = priority < 0 ? defaultPriority : priority
  }

  private enter(bytes: Uint8Array, at: number, end: number): void {
    this.bytes = bytes
    this.end = end
    this.propertiesAt = -1
    this.applicationAt = -1
    const view = viewOf(bytes)
    for (let to = at; to < end; ) {
      // Properties are a list, application properties a map.
      const valueAt = skipValue(view, to + 1, end)
      const code = view.getUint8(valueAt)
      if (code === Code.map8 || code === Code.map32) this.applicationAt = to
      else this.propertiesAt = to
      to = skipValue(view, valueAt, end)
    }
  }

  // Turns the cursor to the value under a name; keys that are not strings have none.
  private find(name: string): boolean {
    const { cursor } = this
    if (this.applicationAt < 0) return false
    cursor.enterSection(this.bytes, this.applicationAt, this.end, Code.map8)
    const { view } = cursor
    while (cursor.left >= 2) {
      const code = view.getUint8(cursor.at)
      const from = cursor.at + (code === Code.utf8 ? 2 : 5)
      cursor.next()
      if ((code === Code.utf8 || code === Code.utf32) && this.isAt(name, from, cursor.at))
        return true
      cursor.next()
    }
    return false
  }

  private isAt(name: string, at: number, end: number): boolean {
    if (end - at !== name.length) return false
    for (let i = 0; i < name.length; i++) {
      if (this.bytes[at + i] !== name.charCodeAt(i)) return false
    }
    return true
  }

  private take(): FilterValue {
    const from = this.cursor.at
    this.cursor.next()
    return toFilterValue(decodeValue(this.bytes, from, this.cursor.at))
  }
}

const defaultPriority = 4
