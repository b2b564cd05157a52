// Words of SQL filter expressions (AMQP Filter Expressions 1.0, section 6), in the part of the
// language that RabbitMQ 4.2 understands.

import { FilterFault } from './filter-fault.ts'
import type { FilterValue } from './filter-value.ts'
import { textBytes } from './filter-value.ts'
import { isControl } from './like-pattern.ts'
import { PROPERTIES } from './property-filter.ts'

export type SqlToken =
  /** An operator, a bracket, a keyword. */
  | { readonly type: 'word'; readonly text: string }
  | { readonly type: 'literal'; readonly value: Exclude<FilterValue, undefined> }
  /** `text`: as written between the quotes, for patterns, which are of characters. */
  | { readonly type: 'string'; readonly text: string }
  | { readonly type: 'priority' }
  | { readonly type: 'property'; readonly place: number }
  /** In bytes, as FilteredMessage wants it. */
  | { readonly type: 'application'; readonly name: string }

export interface SqlTokens {
  readonly tokens: readonly SqlToken[]
  /** Where each begins in the expression. */
  readonly places: readonly number[]
}

/** The tokens of an expression. Throws a FilterFault for something that is none, and for too many. */
export function readSql(expression: string): SqlTokens {
  if ([...expression].length > charactersMax) {
    throw new FilterFault(`an expression has at most ${charactersMax} characters`)
  }
  const tokens: SqlToken[] = []
  const places: number[] = []
  const pattern = new RegExp(TOKEN)
  while (pattern.lastIndex < expression.length) {
    const at = pattern.lastIndex
    const found = pattern.exec(expression)
    if (found === null) throw new FilterFault(`nothing known at character ${at + 1}`)
    const groups = found.groups ?? {}
    if (groups['space'] !== undefined) continue
    const token = tokenOf(found[0], groups)
    if (token === undefined) {
      throw new FilterFault(`'${found[0]}' at character ${at + 1} is no field, name or number`)
    }
    if (tokens.length === tokensMax) {
      throw new FilterFault(`an expression has at most ${tokensMax} words and signs`)
    }
    tokens.push(token)
    places.push(at)
  }
  return { tokens, places }
}

function tokenOf(
  text: string,
  groups: Readonly<Record<string, string | undefined>>,
): SqlToken | undefined {
  if (groups['string'] !== undefined) {
    const quote = text.charAt(0)
    return { type: 'string', text: text.slice(1, -1).replaceAll(quote + quote, quote) }
  }
  if (groups['binary'] !== undefined) {
    return { type: 'literal', value: Buffer.from(text.slice(2), 'hex').toString('latin1') }
  }
  if (groups['float'] !== undefined) {
    const value = Number(text)
    return Number.isFinite(value) ? { type: 'literal', value } : undefined
  }
  if (groups['integer'] !== undefined) return { type: 'literal', value: BigInt(text) }
  if (groups['section'] !== undefined) return sectionField(text)
  if (groups['delimited'] !== undefined) return delimitedName(text.slice(1, -1))
  if (groups['name'] !== undefined) return nameToken(text)
  return { type: 'word', text: text === '!=' ? '<>' : text }
}

function nameToken(text: string): SqlToken | undefined {
  const upper = text.toUpperCase()
  if (KEYWORDS.includes(upper)) return { type: 'word', text: upper }
  if (upper === 'TRUE' || upper === 'FALSE') return { type: 'literal', value: upper === 'TRUE' }
  return RESERVED.includes(upper) ? undefined : { type: 'application', name: text }
}

function sectionField(text: string): SqlToken | undefined {
  const dot = text.indexOf('.')
  const field = text.slice(dot + 1)
  switch (text.slice(0, dot)) {
    case 'h':
    case 'header':
      return field === 'priority' ? { type: 'priority' } : undefined
    case 'p':
    case 'properties': {
      const place = PROPERTIES.findIndex(([name]) => name.replaceAll('-', '_') === field)
      return place < 0 ? undefined : { type: 'property', place }
    }
    case 'a':
    case 'application_properties':
      return { type: 'application', name: field }
    default:
      return undefined
  }
}

function delimitedName(text: string): SqlToken | undefined {
  if ([...text].some(isControl)) return undefined
  const name = text.replaceAll('[[', '[').replaceAll(']]', ']')
  return { type: 'application', name: textBytes(name) }
}

// The longest token counts, so the order of the alternatives matters. No alternative can match the same
// bytes in two ways, so that an expression is read in linear time.
const TOKEN = new RegExp(
  [
    String.raw`(?<space>[ \t\f\n\r]+)`,
    `(?<string>'(?:[^']|'')*'|"(?:[^"]|"")*")`,
    '(?<binary>0x(?:[0-9A-F]{2})+)',
    String.raw`(?<float>\d+\.\d+(?:E[+-]?\d+)?)`,
    String.raw`(?<integer>\d+)`,
    String.raw`(?<section>[a-zA-Z][a-zA-Z_-]*\.[a-zA-Z]\w*)`,
    String.raw`(?<delimited>\[(?:[^[\]]|\[\[|\]\])*\])`,
    String.raw`(?<name>[a-zA-Z]\w*)`,
    String.raw`<>|!=|>=|<=|[=><+\-*/%(),]`,
  ].join('|'),
  'y',
)

/** In whatever case, as in RabbitMQ 4.2. */
const KEYWORDS: readonly string[] = 'AND OR NOT LIKE IN IS NULL ESCAPE UTC'.split(' ')

/** Further words of the whole language: not names either. */
const RESERVED: readonly string[] = 'EXISTS NAN INF LOWER UPPER LEFT RIGHT SUBSTRING DATE'.split(
  ' ',
)

/** RabbitMQ's limits. */
const charactersMax = 4096
const tokensMax = 200
