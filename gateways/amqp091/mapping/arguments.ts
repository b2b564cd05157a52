// Field tables as the bus carries them.

import type { WireArguments } from '../../../shared/bus/control.ts'
import type { FieldTable } from '../../../shared/message/value.ts'

/**
 * The bus takes arguments as they were decoded, entries in wire order: msgpack keeps that shape, and
 * an object would have to do something about keys like `__proto__`.
 */
export function wireArguments(table: FieldTable): WireArguments {
  return table as unknown as WireArguments
}
