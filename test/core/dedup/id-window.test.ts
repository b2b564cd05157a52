import { expect, test } from 'vitest'
import { IdWindow } from '../../../core/dedup/id-window.ts'
import { MessageIdentity } from '../../../core/dedup/message-id.ts'
import { encodeProperties } from '../../../shared/message/properties.ts'
import type { FieldValue } from '../../../shared/message/value.ts'

test('the oldest id goes first, seeing one again does not make it younger', () => {
  const gone: string[] = []
  const window = new IdWindow(2, ({ id }) => gone.push(id))
  window.add('a', Number.POSITIVE_INFINITY)
  window.add('b', Number.POSITIVE_INFINITY)
  expect(window.find('a', 0)?.id).toBe('a')
  window.add('c', Number.POSITIVE_INFINITY)
  expect(gone).toEqual(['a'])
  expect(window.find('a', 0)).toBe(undefined)
  expect(window.size()).toBe(2)
})

test('an id is forgotten when its time is up', () => {
  const gone: string[] = []
  const window = new IdWindow(undefined, ({ id }) => gone.push(id))
  window.add('a', 100)
  expect(window.find('a', 99)?.id).toBe('a')
  expect(window.find('a', 100)).toBe(undefined)
  expect(gone).toEqual(['a'])
})

function idOf(value: FieldValue, more: FieldValue = { type: 'V', value: null }) {
  const headers = [['x-deduplication-header', value] as const, ['x-cache-ttl', more] as const]
  const props = encodeProperties({ headers })
  const identity = new MessageIdentity()
  identity.look(props, 0, props.length)
  return identity
}

test('ids are the same by value: integers of any width, texts whole', () => {
  expect(idOf({ type: 'I', value: 7 }).id).toBe(idOf({ type: 'l', value: 7 }).id)
  expect(idOf({ type: 'S', value: '7' }).id).not.toBe(idOf({ type: 'I', value: 7 }).id)
  const long = 'x'.repeat(5000)
  expect(idOf({ type: 'S', value: long }).id?.length).toBeLessThan(60)
  expect(idOf({ type: 'S', value: long }).id).not.toBe(idOf({ type: 'S', value: `${long}y` }).id)
  expect(idOf({ type: 'A', value: [] }).id).toBe(undefined)
  expect(idOf({ type: 'I', value: 7 }, { type: 'I', value: 50 }).ttlMs).toBe(50)
  expect(idOf({ type: 'I', value: 7 }, { type: 'S', value: '60' }).ttlMs).toBe(60)
  expect(idOf({ type: 'I', value: 7 }).ttlMs).toBe(undefined)
})
