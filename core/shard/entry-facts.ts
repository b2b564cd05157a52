// What some exchange types look at in a message: decoded from its native properties, when asked.

import type { BasicProperties } from '../../shared/message/properties.ts'
import { decodeProperties } from '../../shared/message/properties.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import { delayOf } from '../delay/delay-header.ts'
import type { MessageFacts } from '../topology/records.ts'

/** Looks at one entry after another. */
export class EntryFacts implements MessageFacts {
  private bytes: Uint8Array
  private at: number
  private size: number
  private decoded: BasicProperties | undefined

  constructor() {
    this.bytes = new Uint8Array(0)
    this.at = 0
    this.size = 0
    this.decoded = undefined
  }

  /** Turns to the message whose properties are `bytes[at, at + size)`. */
  look(bytes: Uint8Array, at: number, size: number): void {
    this.bytes = bytes
    this.at = at
    this.size = size
    this.decoded = undefined
  }

  headers(): FieldTable | undefined {
    return this.properties().headers
  }

  delay(): number {
    return delayOf(this.bytes, this.at, this.size)
  }

  property(name: 'message_id' | 'correlation_id' | 'timestamp'): string | undefined {
    const properties = this.properties()
    if (name === 'message_id') return properties.messageId
    if (name === 'correlation_id') return properties.correlationId
    return properties.timestamp === undefined ? undefined : String(properties.timestamp)
  }

  private properties(): BasicProperties {
    this.decoded ??= decodeProperties(this.bytes, this.at, this.size)
    return this.decoded
  }
}
