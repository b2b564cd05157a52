// The contract that every exchange type meets.

import type { FieldTable } from '../../shared/message/value.ts'
import type { BindingTable, QueueTypeName } from '../topology/records.ts'

/** A binding before it is made. */
export interface BindingDraft {
  readonly routingKey: string
  readonly arguments: FieldTable
  /** The type of the queue it leads to, undefined where it leads to an exchange. */
  readonly queueType: QueueTypeName | undefined
}

/** A kind of exchange: what it accepts, and the table it matches by. Stateless. */
export interface ExchangeType {
  /** What is wrong with the arguments of a declare (the explanation of a 406), or undefined. */
  checkArguments(args: FieldTable): string | undefined
  /** What is wrong with a binding of an exchange with `args` (the explanation of a 406), or undefined. */
  checkBinding(draft: BindingDraft, args: FieldTable): string | undefined
  /** An empty table for an exchange with these (checked) arguments. */
  createTable(args: FieldTable): BindingTable
}

/** For types without demands. */
export function acceptAll(): undefined {
  return undefined
}
