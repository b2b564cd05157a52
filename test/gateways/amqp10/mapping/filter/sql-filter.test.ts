// SQL filter expressions: what they say of a message, and what is none.

import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { FilterFault } from '../../../../../gateways/amqp10/mapping/filter/filter-fault.ts'
import type { FilterValue } from '../../../../../gateways/amqp10/mapping/filter/filter-value.ts'
import { isLike, parseLike } from '../../../../../gateways/amqp10/mapping/filter/like-pattern.ts'
import type { FilteredMessage } from '../../../../../gateways/amqp10/mapping/filter/message-filter.ts'
import { parseSqlFilter } from '../../../../../gateways/amqp10/mapping/filter/sql-filter.ts'

const application: ReadonlyMap<string, FilterValue> = new Map<string, FilterValue>([
  ['text', 'warren'],
  ['empty', ''],
  ['five', 5n],
  ['half', 0.5],
  ['minus', -7n],
  ['yes', true],
  ['no', false],
  ['bytes', '\xde\xad'],
  ['carrot', Buffer.from('car🥕rot').toString('latin1')],
  ['a b', 1n],
  ['[x]', 1n],
])

const message: FilteredMessage = {
  priority: 4,
  property: (place) => (place === 3 ? 'subject' : place === 11 ? 9n : undefined),
  application: (name) => application.get(name),
  hasApplication: (name) => application.has(name),
  wall: () => 1_800_000_000_000,
}

describe('a message passes', () => {
  it.each([
    'yes',
    "text = 'warren'",
    `text = "warren"`,
    "'it''s' = \"it's\"",
    'five = 5 AND five = 5.0 AND half = 0.5',
    "five <> 'five' AND text != 5",
    "text > 'apple' AND text <= 'warren'",
    'minus < half AND half < five AND five >= 5',
    'bytes = 0xDEAD',
    '0x77617272656E = text',
    'no OR yes AND yes',
    '(no OR yes) AND yes',
    'NOT no',
    'NOT NOT yes',
    'NOT five = 6',
    'NOT (none AND no)',
    'none OR yes',
    'yes OR five',
    '2 + 3 * 4 = 14 AND (2 + 3) * 4 = 20',
    '10 - 4 - 3 = 3',
    '7 / 2 = 3.5 AND 7 % 4 = 3 AND minus % 4 = -3',
    '-five + 10 = five AND +five = 5',
    '1.5E2 = 150 AND 1.0E-1 = 0.1',
    "text LIKE 'war%' AND text LIKE '%ren' AND text LIKE 'w%n' AND text LIKE '%arr%'",
    "text LIKE 'w_rr_n' AND text NOT LIKE 'w_n'",
    "text LIKE 'warren' AND empty LIKE '' AND empty LIKE '%'",
    "carrot LIKE 'car_rot' AND carrot LIKE '%🥕%' AND carrot LIKE '___🥕%_'",
    "'50%' LIKE '50!%' ESCAPE '!' AND '501' NOT LIKE '50!%' ESCAPE '!'",
    "text IN ('x', 'warren') AND five IN (1, 2 + 3) AND text NOT IN ('x')",
    'none IS NULL AND text IS NOT NULL AND properties.subject IS NOT NULL',
    "properties.subject = 'subject' AND p.group_sequence = 9 AND p.to IS NULL",
    'header.priority = 4 AND h.priority > 3',
    "application_properties.text = 'warren' AND a.five = 5",
    '[a b] = 1 AND [[[x]]] = 1',
    'UTC() = 1800000000000',
    "text like 'war%' and not (false or text In ('x')) And TRUE",
    '1=1AND(five=5)',
    '\tfive\n=\r5\f',
  ])('%s', (expression) => {
    expect(parseSqlFilter(expression)?.matches(message)).toBe(true)
  })
})

describe('a message does not pass', () => {
  it.each([
    'no',
    'none',
    'five',
    "'true'",
    'none = 1',
    'none <> 1',
    'NOT none',
    'NOT five',
    'none AND yes',
    'no OR none',
    "five = '5'",
    "five < 'six'",
    'yes > no',
    'NOT (none = 1 OR no)',
    '1 / 0 = 1',
    '1 / 0 <> 1',
    '5.0 % 2 = 1',
    'text + 1 = 2',
    '-text = 1',
    "none LIKE '%'",
    "none NOT LIKE '%'",
    "five LIKE '5'",
    'none IN (1)',
    'none NOT IN (1)',
    "text LIKE 'WARREN'",
    'TEXT IS NOT NULL',
  ])('%s', (expression) => {
    expect(parseSqlFilter(expression)?.matches(message)).toBe(false)
  })
})

describe('no expression', () => {
  it.each([
    '',
    'five =',
    '= 5',
    'five = 5 = 5',
    'five 5',
    '(five = 5',
    'five = 5)',
    'five or',
    'like',
    'five IS',
    'five IS 5',
    '(five) IS NULL',
    '5 IS NULL',
    'five + 1 IS NULL',
    'five NOT 5',
    'five IN ()',
    'five IN 5',
    'text LIKE 5',
    'text LIKE text',
    "text LIKE 'a' ESCAPE 'ab'",
    "text LIKE 'a!' ESCAPE '!'",
    "text LIKE 'a\n'",
    "'open",
    '[open',
    '[line\nbreak]',
    '5.',
    '.5',
    '1.0E999 > 1',
    '5E2 > 0',
    '0xABC = text',
    'h.durable',
    'p.nothing',
    'x.y',
    'a-b.c',
    'UTC',
    'UTC(1)',
    'upper',
    '$x',
    '- - 5 = 5',
    'five ; 5',
  ])('%j', (expression) => {
    expect(() => parseSqlFilter(expression)).toThrow(FilterFault)
  })

  it.each([
    ['five =', 'a value expected at the end'],
    ['five = 5 5', 'an operator or the end expected at character 10'],
    ['p.none = 1', "'p.none' at character 1 is no field, name or number"],
    ['a = 1 AND $', 'nothing known at character 11'],
    ['a IN (1', ') expected at the end'],
  ])('%s: %s', (expression, reason) => {
    expect(() => parseSqlFilter(expression)).toThrow(reason)
  })
})

it('limits the length and the tokens of an expression', () => {
  const sum = (terms: number): string => `1${' + 1'.repeat(terms - 1)} > 0`
  expect(parseSqlFilter(sum(99))).toBeDefined()
  expect(() => parseSqlFilter(sum(100))).toThrow('at most 200')
  expect(parseSqlFilter(`text = '${'x'.repeat(4087)}'`)).toBeDefined()
  expect(() => parseSqlFilter(`text = '${'x'.repeat(4088)}'`)).toThrow('at most 4096')
  expect(parseSqlFilter(`${'('.repeat(99)}yes${')'.repeat(99)}`)?.matches(message)).toBe(true)
})

test('LIKE is what a regular expression says', () => {
  const alphabet = fc.constantFrom('a', 'b', 'é', '🥕', '%', '_')
  const text = fc.array(fc.constantFrom('a', 'b', 'é', '🥕'), { maxLength: 12 })
  fc.assert(
    fc.property(text, fc.array(alphabet, { maxLength: 8 }), (subject, items) => {
      const source = items.map((each) => (each === '%' ? '.*' : each === '_' ? '.' : each)).join('')
      const expected = new RegExp(`^${source}$`, 'su').test(subject.join(''))
      const pattern = parseLike(items.join(''), undefined)
      const bytes = Buffer.from(subject.join('')).toString('latin1')
      expect(pattern && isLike(bytes, pattern)).toBe(expected)
    }),
    { numRuns: 2000 },
  )
})

test('LIKE has no pattern that takes long', () => {
  const pattern = parseLike(`${'%a'.repeat(2000)}b`, undefined)
  const from = performance.now()
  expect(pattern && isLike('a'.repeat(20_000), pattern)).toBe(false)
  const late = parseLike(`%${'a'.repeat(2000)}b%`, undefined)
  expect(late && isLike('a'.repeat(10_000_000), late)).toBeUndefined()
  expect(late && isLike(`${'a'.repeat(2000)}b`, late)).toBe(true)
  expect(performance.now() - from).toBeLessThan(5000)
})
