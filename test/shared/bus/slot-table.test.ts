import { expect, test } from 'vitest'
import { SlotTable } from '../../../shared/bus/slot-table.ts'

test('slots begin at 1, are dense, and are used again', () => {
  const table = new SlotTable<string>()
  expect([table.add('a'), table.add('b'), table.add('c')]).toEqual([1, 2, 3])
  expect(table.get(0)).toBeUndefined()
  expect(table.remove(2)).toBe('b')
  expect(table.remove(2)).toBeUndefined()
  expect(table.get(2)).toBeUndefined()
  expect([...table.values()]).toEqual(['a', 'c'])
  expect(table.add('d')).toBe(2)
  expect(table.add('e')).toBe(4)
})

test('takes values at slots that another table chose', () => {
  const table = new SlotTable<string>()
  table.set(5, 'x')
  expect(table.get(5)).toBe('x')
  expect(table.get(4)).toBeUndefined()
})
