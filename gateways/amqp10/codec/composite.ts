// Composite values by the table of spec.ts: described lists to objects with named fields, and back.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import type { Writer } from '../../../shared/bytes/writer.ts'
import { FaultCode } from './fault.ts'
import type { Composite, CompositeFields, CompositeKind, FieldKind, Performative } from './spec.ts'
import { kindOf, shapeOf } from './spec.ts'
import type { AmqpValue, Described } from './value.ts'
import { NULL, symbol, ulong } from './value.ts'
import { writeValue } from './value-writer.ts'

/**
 * The composite of kind `kind` in a described value. Throws DecodeError: FaultCode.decode where it
 * is another, FaultCode.invalidField where a field has another type or a required one is missing.
 */
export function asComposite<K extends CompositeKind>(kind: K, value: Described): Composite<K> {
  if (kindOf(value.descriptor) !== kind) throw new DecodeError(FaultCode.decode, `no ${kind}`)
  return fieldsOf(kind, value.value) as Composite<K>
}

/** The performative in a described value; undefined where it is another composite, or none. */
export function asPerformative(value: Described): Performative | undefined {
  const kind = kindOf(value.descriptor)
  if (kind === undefined || PARTS.includes(kind)) return undefined
  return fieldsOf(kind, value.value) as unknown as Performative
}

/** Composites that are parts of performatives. */
const PARTS: readonly CompositeKind[] = ['error', 'source', 'target', 'rejected', 'modified']

/** A composite as a value, to be written or put into a field. */
export function composite<K extends CompositeKind>(kind: K, fields: CompositeFields<K>): Described {
  const shape = shapeOf(kind)
  const given = fields as Readonly<Record<string, unknown>>
  const values = shape.fields.map(([name, type]) => encodeField(type, given[name]))
  let count = values.length
  // Null at the end may be left out (1.4).
  while (count > 0 && values[count - 1]?.type === 'null') count--
  return {
    type: 'described',
    descriptor: ulong(shape.code),
    value: { type: 'list', value: values.slice(0, count) },
  }
}

/** Appends a composite. */
export function writeComposite<K extends CompositeKind>(
  writer: Writer,
  kind: K,
  fields: CompositeFields<K>,
): void {
  writeValue(writer, composite(kind, fields))
}

function fieldsOf(kind: CompositeKind, value: AmqpValue): Readonly<Record<string, unknown>> {
  if (value.type !== 'list') throw new DecodeError(FaultCode.decode, `${kind} is not a list`)
  const shape = shapeOf(kind)
  const out: Record<string, unknown> = { kind }
  for (const [i, [name, type, required]] of shape.fields.entries()) {
    const field = value.value[i]
    const absent = field === undefined || field.type === 'null'
    if (absent && required !== undefined) {
      throw new DecodeError(FaultCode.invalidField, `${kind} without mandatory field ${name}`)
    }
    out[name] = absent ? undefined : fieldOf(kind, name, type, field)
  }
  return out
}

function fieldOf(kind: string, name: string, type: FieldKind, field: AmqpValue): unknown {
  switch (type) {
    case 'any':
      return field
    case 'string':
      if (field.type === 'utf8') return field.value
      break
    case 'symbols':
      if (field.type === 'symbol') return [field.value]
      if (field.type === 'array' && field.value.every((each) => each.type === 'symbol')) {
        return field.value.map((each) => each.value)
      }
      break
    case 'described':
      if (field.type === 'described') return field
      break
    case 'error':
      if (field.type === 'described') return asComposite('error', field)
      break
    default:
      if (field.type === type) return field.value
  }
  throw new DecodeError(FaultCode.invalidField, `${kind}: field ${name} is of type ${field.type}`)
}

function encodeField(type: FieldKind, field: unknown): AmqpValue {
  if (field === undefined) return NULL
  switch (type) {
    case 'any':
    case 'described':
      return field as AmqpValue
    case 'error':
      return composite('error', field as CompositeFields<'error'>)
    case 'symbols':
      return {
        type: 'array',
        element: symbolCode,
        value: (field as readonly string[]).map((each) => symbol(each)),
      }
    case 'string':
      return { type: 'utf8', value: field as string }
    default:
      return { type, value: field } as AmqpValue
  }
}

/** The long form of symbols: what an array without elements is an array of. */
const symbolCode = 0xb3
