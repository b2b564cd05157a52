// headers: a binding's arguments against a message's header table.

import type { FieldTable, FieldValue } from '../../shared/message/value.ts'
import { fieldOf, fieldTypeName } from '../../shared/message/value.ts'
import type {
  BindingRecord,
  BindingTable,
  RouteInput,
  RouteTarget,
  TargetSink,
} from '../topology/records.ts'
import type { BindingDraft, ExchangeType } from './exchange-type.ts'
import { acceptAll } from './exchange-type.ts'
import { sameFieldValue } from './field-equality.ts'

const MATCH_KEY = 'x-match'
const MATCH_MODES: readonly string[] = ['all', 'any', 'all-with-x', 'any-with-x']

/** headers: `x-match` all (default), any, all-with-x, any-with-x; a void value asks for presence. */
export const headersExchange: ExchangeType = {
  checkArguments: acceptAll,
  checkBinding(draft: BindingDraft): string | undefined {
    const mode = fieldOf(draft.arguments, MATCH_KEY)
    if (mode === undefined) return undefined
    if (mode.type !== 'S') {
      const type = fieldTypeName(mode.type)
      return `Invalid x-match field type ${type} (value ${printed(mode)}); expected longstr`
    }
    if (MATCH_MODES.includes(String(mode.value))) return undefined
    return (
      `Invalid x-match field value ${printed(mode)}; ` +
      'expected all, any, all-with-x, or any-with-x'
    )
  },
  createTable: (): BindingTable => new HeadersTable(),
}

interface Pattern {
  readonly target: RouteTarget
  /** Whether every field must match, or one. */
  readonly all: boolean
  readonly keys: readonly string[]
  /** Undefined: any value will do. */
  readonly values: readonly (FieldValue | undefined)[]
}

class HeadersTable implements BindingTable {
  readonly cacheable = false
  readonly matchesEveryKey = false
  readonly #patterns: Map<BindingRecord, Pattern> = new Map()
  readonly #headers: Map<string, FieldValue> = new Map()

  add(binding: BindingRecord): void {
    this.#patterns.set(binding, patternOf(binding))
  }

  remove(binding: BindingRecord): void {
    this.#patterns.delete(binding)
  }

  match(input: RouteInput, out: TargetSink): void {
    const headers = this.#headers
    const table = input.facts.headers()
    if (table !== undefined) fill(headers, table)
    for (const pattern of this.#patterns.values()) {
      if (matches(pattern, headers)) out.push(pattern.target)
    }
    headers.clear()
  }
}

function patternOf(binding: BindingRecord): Pattern {
  const mode = String(fieldOf(binding.arguments, MATCH_KEY)?.value ?? 'all')
  const withX = mode.endsWith('-with-x')
  const keys: string[] = []
  const values: (FieldValue | undefined)[] = []
  for (const [key, value] of binding.arguments) {
    if (key === MATCH_KEY || (!withX && key.startsWith('x-'))) continue
    keys.push(key)
    values.push(value.type === 'V' ? undefined : value)
  }
  return { target: binding.destination, all: mode.startsWith('all'), keys, values }
}

function matches(pattern: Pattern, headers: ReadonlyMap<string, FieldValue>): boolean {
  for (let i = 0; i < pattern.keys.length; i++) {
    const header = headers.get(pattern.keys[i] as string)
    const wanted = pattern.values[i]
    const hit = header !== undefined && (wanted === undefined || sameFieldValue(wanted, header))
    if (hit !== pattern.all) return hit
  }
  // All of nothing holds, any of nothing does not.
  return pattern.all
}

function fill(headers: Map<string, FieldValue>, table: FieldTable): void {
  for (const [key, value] of table) if (!headers.has(key)) headers.set(key, value)
}

/** A value in the notation of the texts that clients know. */
function printed(field: FieldValue): string {
  return field.type === 'S' ? `<<"${String(field.value)}">>` : String(field.value)
}
