import { describe, expect, test } from 'vitest'
import type { FieldTable } from '../../../shared/message/value.ts'
import {
  boolField,
  fieldOf,
  fieldTypeName,
  integerOf,
  longField,
  tableField,
  textField,
  textOf,
} from '../../../shared/message/value.ts'

describe('field values', () => {
  test('are looked up by key, the first of two', () => {
    const table: FieldTable = [
      ['a', textField('1')],
      ['a', textField('2')],
      ['__proto__', boolField(true)],
    ]
    expect(fieldOf(table, 'a')).toEqual({ type: 'S', value: '1' })
    expect(fieldOf(table, '__proto__')).toEqual({ type: 't', value: true })
    expect(fieldOf(table, 'toString')).toBeUndefined()
  })

  test('have the type names that error texts use', () => {
    expect(fieldTypeName('I')).toBe('signedint')
    expect(fieldTypeName('l')).toBe('long')
    expect(fieldTypeName('S')).toBe('longstr')
    expect(fieldTypeName('t')).toBe('bool')
  })

  test('are integers whatever their width, and nothing else is', () => {
    for (const type of ['b', 'B', 's', 'u', 'I', 'i', 'l'] as const) {
      expect(integerOf({ type, value: 7 })).toBe(7)
    }
    expect(integerOf({ type: 'l', value: 2n ** 60n })).toBe(2n ** 60n)
    expect(integerOf({ type: 'd', value: 7 })).toBeUndefined()
    expect(integerOf(textField('7'))).toBeUndefined()
    expect(integerOf(undefined)).toBeUndefined()
  })

  test('are text only as a longstr of UTF-8', () => {
    expect(textOf(textField('x'))).toBe('x')
    expect(textOf({ type: 'S', value: Uint8Array.of(255) })).toBeUndefined()
    expect(textOf(longField(1))).toBeUndefined()
    expect(textOf(tableField([]))).toBeUndefined()
  })
})
