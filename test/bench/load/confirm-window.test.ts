import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ConfirmWindow } from '../../../bench/load/confirm-window.ts'

test('counts every publish once, whatever mix of single and multiple confirms comes', () => {
  const step = fc.record({ pick: fc.nat(), multiple: fc.boolean(), sends: fc.nat(20) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const window = new ConfirmWindow(13)
      const open = new Set<number>()
      let sent = 0
      for (const { pick, multiple, sends } of steps) {
        const count = Math.min(sends, window.room())
        window.sent(count)
        for (let i = 0; i < count; i++) open.add(++sent)
        const tags = [...open]
        const tag = tags[pick % Math.max(1, tags.length)]
        if (tag === undefined) continue
        window.settle(tag, multiple, false)
        for (const t of tags) if (t === tag || (multiple && t < tag)) open.delete(t)
        expect(window.outstanding).toBe(open.size)
        expect(window.confirmed).toBe(sent - open.size)
      }
    }),
  )
})

test('a tag that was never sent, or confirmed before, is an error', () => {
  const window = new ConfirmWindow(4)
  window.sent(3)
  expect(() => window.settle(4, false, false)).toThrow('tag 4')
  window.settle(2, false, false)
  expect(() => window.settle(2, false, false)).toThrow('twice')
  window.settle(3, true, true)
  expect(() => window.settle(1, true, false)).toThrow('tag 1')
  expect(window.nacked).toBe(2)
  expect(window.room()).toBe(4)
})
