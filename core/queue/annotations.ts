// What consumers have said of single messages when they gave them back (AMQP 1.0: the annotations of
// `modified`): headers that are put into the message. The kept bytes are copied for it; the headers are
// logged by position, so that the message has them again when it is read back from disk.

import { Reader } from '../../shared/bytes/reader.ts'
import { Writer } from '../../shared/bytes/writer.ts'
import { ReplyCode } from '../../shared/errors.ts'
import { readTable, writeTable } from '../../shared/message/field-table.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import type { Log, QueueLog } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'

/** Bytes of all headers of one message; what goes beyond is left out. So a message stays readable for all. */
export const annotationBytesMax: number = 16 * 1024

export interface AnnotationContext {
  readonly messages: MessageTable
  readonly log: Log
  /** A copy of a message with these headers, held once; -1 when there is no room for it. */
  readonly copyWithHeaders?: (row: number, headers: FieldTable) => number
}

export class Annotations {
  /** Encoded header tables, by position: as they are logged. */
  readonly tables: Map<number, Uint8Array>
  private readonly context: AnnotationContext
  private readonly logOf: (position: number) => QueueLog | undefined

  constructor(context: AnnotationContext, logOf: (position: number) => QueueLog | undefined) {
    this.tables = new Map()
    this.context = context
    this.logOf = logOf
  }

  /**
   * Puts headers into the message at `position`; those of the same names are replaced. Gives the row
   * that is now held in place of `row`.
   */
  add(row: number, position: number, headers: FieldTable): number {
    const old = this.tables.get(position)
    const before = old === undefined ? [] : decode(old)
    const names = new Set(headers.map(([name]) => name))
    const writer = new Writer(256)
    writeTable(writer, [...before.filter(([name]) => !names.has(name)), ...headers])
    const table = writer.finish()
    if (table.length > annotationBytesMax) return row
    this.tables.set(position, table)
    const log = this.logOf(position)
    if (log !== undefined) this.context.log.annotate(log, position, table)
    return this.replace(row, headers)
  }

  /** The message at `position` was read from disk: gives the row to hold in place of `row`. */
  apply(row: number, position: number): number {
    const table = this.tables.get(position)
    return table === undefined ? row : this.replace(row, decode(table))
  }

  // Without room the message stays as it was: it must not be lost for what was said of it.
  private replace(row: number, headers: FieldTable): number {
    const { messages, copyWithHeaders } = this.context
    const copy = copyWithHeaders?.(row, headers) ?? -1
    if (copy < 0) return row
    messages.release(row)
    return copy
  }
}

function decode(table: Uint8Array): FieldTable {
  return readTable(new Reader(table, 0, table.length, ReplyCode.INTERNAL_ERROR))
}
