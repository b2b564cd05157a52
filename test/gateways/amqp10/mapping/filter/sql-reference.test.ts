// SQL filter expressions against an evaluator of values that shares nothing with theirs: expressions
// are made together with what they come to, and written as text in all ways that the grammar has.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FilterValue } from '../../../../../gateways/amqp10/mapping/filter/filter-value.ts'
import type { FilteredMessage } from '../../../../../gateways/amqp10/mapping/filter/message-filter.ts'
import { parseSqlFilter } from '../../../../../gateways/amqp10/mapping/filter/sql-filter.ts'

/** What an expression comes to. `exact`: an integer. */
type Value =
  | { readonly kind: 'number'; readonly value: number; readonly exact: boolean }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'truth'; readonly value: boolean }
  | { readonly kind: 'unknown' }

/** `binds`: 0 OR, 1 AND, 2 NOT, 3 comparison, 4 sum, 5 product, 6 sign, 7 a value. */
interface Expression {
  readonly sql: string
  readonly binds: number
  readonly value: Value
}

const unknown: Value = { kind: 'unknown' }
const number = (value: number, exact: boolean): Value => ({ kind: 'number', value, exact })
const truth = (value: boolean | undefined): Value =>
  value === undefined ? unknown : { kind: 'truth', value }

const fields: ReadonlyMap<string, Value> = new Map<string, Value>([
  ['i', number(3, true)],
  ['j', number(-2, true)],
  ['f', number(2.5, false)],
  ['s', { kind: 'text', value: 'abé' }],
  ['t', { kind: 'text', value: 'ab' }],
  ['yes', truth(true)],
  ['no', truth(false)],
])

const message: FilteredMessage = {
  priority: 4,
  property: () => undefined,
  application: (name) => stored(fields.get(name) ?? unknown),
  hasApplication: (name) => fields.has(name),
  wall: () => 0,
}

function stored(value: Value): FilterValue {
  switch (value.kind) {
    case 'number':
      return value.exact ? BigInt(value.value) : value.value
    case 'text':
      return Buffer.from(value.value).toString('latin1')
    case 'truth':
      return value.value
    case 'unknown':
      return undefined
  }
}

const names = fc.constantFrom(...fields.keys(), 'none', 'other')
const field: fc.Arbitrary<Expression> = fc
  .tuple(names, fc.constantFrom('', 'a.', 'application_properties.'))
  .map(([name, prefix]) => ({
    sql: `${prefix}${name}`,
    binds: 7,
    value: fields.get(name) ?? unknown,
  }))
const texts = fc.constantFrom('abé', 'ab', '', "it's", 'x')
const literal: fc.Arbitrary<Expression> = fc.oneof(
  fc.nat(6).map((n) => ({ sql: `${n}`, binds: 7, value: number(n, true) })),
  fc.nat(6).map((n) => ({ sql: `${n}.50`, binds: 7, value: number(n + 0.5, false) })),
  texts.map((value) => ({
    sql: `'${value.replaceAll("'", "''")}'`,
    binds: 7,
    value: { kind: 'text', value } as const,
  })),
  fc.boolean().map((value) => ({
    sql: value ? 'TRUE' : 'false',
    binds: 7,
    value: truth(value),
  })),
)

/** Text of `of` where only what binds at least so tightly may stand. */
function at(binds: number, of: Expression): string {
  return of.binds >= binds ? of.sql : `(${of.sql})`
}

function calculated(operator: string, a: Value, b: Value): Value {
  if (a.kind !== 'number' || b.kind !== 'number') return unknown
  const exact = a.exact && b.exact
  switch (operator) {
    case '+':
      return number(a.value + b.value, exact)
    case '-':
      return number(a.value - b.value, exact)
    case '*':
      return number(a.value * b.value, exact)
    case '/':
      return b.value === 0 ? unknown : number(a.value / b.value, false)
    default:
      return exact && b.value !== 0 ? number(a.value % b.value, true) : unknown
  }
}

/** UTF-8's order of bytes is that of characters, for those that are used here. */
function compared(operator: string, a: Value, b: Value): Value {
  if (a.kind === 'unknown' || b.kind === 'unknown') return unknown
  const same = a.kind === b.kind && a.value === b.value
  if (operator === '=') return truth(same)
  if (operator === '<>' || operator === '!=') return truth(!same)
  if (a.kind !== b.kind || a.kind === 'truth') return truth(false)
  const less = a.value < b.value
  const results: Record<string, boolean> = {
    '<': less,
    '<=': less || same,
    '>': !less && !same,
    '>=': !less,
  }
  return truth(results[operator])
}

const known = (value: Value): boolean | undefined =>
  value.kind === 'truth' ? value.value : undefined

// The tables of JMS 3.8.1.2.
function and(a: Value, b: Value): Value {
  const both = [known(a), known(b)]
  if (both.includes(false)) return truth(false)
  return both.includes(undefined) ? unknown : truth(true)
}

function or(a: Value, b: Value): Value {
  const both = [known(a), known(b)]
  if (both.includes(true)) return truth(true)
  return both.includes(undefined) ? unknown : truth(false)
}

function not(a: Value): Value {
  const value = known(a)
  return value === undefined ? unknown : truth(!value)
}

function among(value: Value, list: readonly Expression[], negated: boolean): Value {
  if (value.kind === 'unknown') return unknown
  const found = list.some((each) => known(compared('=', value, each.value)) === true)
  return truth(found !== negated)
}

const patterns = ['ab%', '%', '_b_', '%é', 'ab', '__', '']

function like(value: Value, pattern: string, negated: boolean): Value {
  if (value.kind !== 'text') return unknown
  const source = pattern.replaceAll('%', '.*').replaceAll('_', '.')
  return truth(new RegExp(`^${source}$`, 'su').test(value.value) !== negated)
}

const expressions = fc.letrec<{ any: Expression; sum: Expression }>((tie) => {
  const pair = fc.tuple(tie('any'), tie('any'))
  const sums = fc.tuple(tie('sum'), tie('sum'))
  const space = fc.constantFrom(' ', '\n', '\t  ')
  const operators = (...all: string[]): fc.Arbitrary<string> => fc.constantFrom(...all)
  const chain = (
    binds: number,
    ops: fc.Arbitrary<string>,
    apply: (operator: string, a: Value, b: Value) => Value,
    sides = pair,
  ): fc.Arbitrary<Expression> =>
    fc.tuple(sides, ops, space).map(([[a, b], operator, gap]) => ({
      sql: `${at(binds, a)}${gap}${operator}${gap}${at(binds + 1, b)}`,
      binds,
      value: apply(operator.toUpperCase(), a.value, b.value),
    }))
  const comparison = (sides: fc.Arbitrary<[Expression, Expression]>): fc.Arbitrary<Expression> =>
    fc.tuple(sides, operators('=', '<>', '!=', '<', '<=', '>', '>=')).map(([[a, b], operator]) => ({
      sql: `${at(4, a)} ${operator} ${at(4, b)}`,
      binds: 3,
      value: compared(operator, a.value, b.value),
    }))
  return {
    // Mostly numbers, so that most of them come to something.
    sum: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      field,
      literal.filter(({ value }) => value.kind === 'number'),
      chain(4, operators('+', '-'), calculated, sums),
      chain(5, operators('*', '/', '%'), calculated, sums),
    ),
    any: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      field,
      literal,
      chain(0, operators('OR', 'or'), (_, a, b) => or(a, b)),
      chain(1, operators('AND', 'And'), (_, a, b) => and(a, b)),
      comparison(sums),
      comparison(pair),
      tie('sum'),
      tie('any').map((a) => ({ sql: `NOT ${at(2, a)}`, binds: 2, value: not(a.value) })),
      fc.tuple(tie('any'), operators('+', '-')).map(([a, sign]) => ({
        sql: `${sign}${at(7, a)}`,
        binds: 6,
        value: calculated(sign, number(0, true), a.value),
      })),
      fc.tuple(field, fc.boolean()).map(([a, negated]) => ({
        sql: `${a.sql} IS ${negated ? 'NOT ' : ''}NULL`,
        binds: 3,
        value: truth((a.value.kind === 'unknown') !== negated),
      })),
      fc
        .tuple(tie('any'), fc.array(tie('any'), { minLength: 1, maxLength: 3 }), fc.boolean())
        .map(([a, list, negated]) => ({
          sql: `${at(4, a)} ${negated ? 'NOT ' : ''}IN (${list.map((each) => at(4, each)).join(', ')})`,
          binds: 3,
          value: among(a.value, list, negated),
        })),
      fc
        .tuple(tie('any'), fc.constantFrom(...patterns), fc.boolean())
        .map(([a, pattern, negated]) => ({
          sql: `${at(4, a)} ${negated ? 'NOT ' : ''}LIKE '${pattern}'`,
          binds: 3,
          value: like(a.value, pattern, negated),
        })),
    ),
  }
}).any

test('an expression passes what its values say', () => {
  let passed = 0
  let of = 0
  fc.assert(
    fc.property(expressions, (expression) => {
      // Longer ones are refused.
      fc.pre((expression.sql.match(/\w+|[^\s\w]/g) ?? []).length <= 150)
      const matches = parseSqlFilter(expression.sql).matches(message)
      expect([expression.sql, matches]).toEqual([expression.sql, known(expression.value) === true])
      of++
      if (matches) passed++
    }),
    { numRuns: 4000 },
  )
  // Not all the same.
  expect(passed / of).toBeGreaterThan(0.1)
})
