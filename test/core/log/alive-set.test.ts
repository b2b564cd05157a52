import { expect, test } from 'vitest'
import { AliveSet } from '../../../core/log/alive-set.ts'

test('ranges that are taken out, in whatever order, leave exactly the rest', () => {
  const set = new AliveSet()
  const model = new Set<number>()
  for (let position = 0; position < 6000; position++) {
    set.add(position)
    model.add(position)
  }
  let seed = 7
  for (let step = 0; step < 400; step++) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    const from = seed % 6100
    const to = from + ((seed >> 8) % 40)
    set.removeRange(from, to)
    for (let position = from; position < to; position++) model.delete(position)
  }
  const left: number[] = []
  for (let p = set.firstAlive(0); p < Number.POSITIVE_INFINITY; p = set.firstAlive(p + 1))
    left.push(p)
  expect(left).toEqual([...model])
  expect(set.count).toBe(model.size)
})

test('a backlog settled from its end costs no look at what is settled already', () => {
  const set = new AliveSet()
  const count = 400_000
  for (let position = 0; position < count; position++) set.add(position)
  const { user } = process.cpuUsage()
  for (let position = count - 1; position > 0; position--) set.removeRange(position, position + 1)
  // Some 40 ms; a look at all of it each time takes over a second.
  expect(process.cpuUsage().user - user).toBeLessThan(700_000)
  expect(set.count).toBe(1)
})
