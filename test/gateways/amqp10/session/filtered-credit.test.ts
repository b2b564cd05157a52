// Credit of filtered links against a shard that sends what it may.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LinkCredit } from '../../../../core/queue/link-credit.ts'
import { FilteredCredit } from '../../../../gateways/amqp10/session/filtered-credit.ts'
import { LinkFlag } from '../../../../shared/bus/wire.ts'

/** A stream of messages that pass or not, a shard that sends them, and a client that counts. */
class Link {
  readonly filtered = new FilteredCredit()
  private readonly shard = new LinkCredit()
  /** The client's count, and what it may still get. */
  count = 0
  credit = 0
  got = 0
  drained = 0

  private readonly messages: boolean[]

  constructor(messages: boolean[]) {
    this.messages = messages
  }

  grant(credit: number, drain: boolean): void {
    this.credit = credit
    this.tell(this.filtered.grant(this.count, credit, drain), credit, drain)
  }

  private tell(count: number, credit: number, drain: boolean): void {
    this.shard.grant(count | 0, credit, drain ? LinkFlag.drain : 0)
    this.run()
  }

  run(): void {
    let again = false
    while (this.shard.credit > 0 && this.messages.length > 0) {
      this.shard.spend()
      if (this.messages.shift()) {
        this.filtered.passed()
        this.count = (this.count + 1) >>> 0
        this.credit--
        this.got++
      } else {
        this.filtered.heldBack()
        again = true
      }
      expect(this.credit).toBeGreaterThanOrEqual(0)
    }
    if (this.shard.drain) {
      this.shard.useUp()
      this.shard.answered()
      this.answer()
    } else if (again && this.filtered.left(this.count) > 0) {
      const count = (this.count + this.filtered.filtered) >>> 0
      this.tell(count, this.filtered.left(this.count), false)
    }
  }

  private answer(): void {
    const standing = this.filtered.standing(this.count, this.shard.deliveryCount, true)
    if (standing === undefined) {
      const count = (this.count + this.filtered.filtered) >>> 0
      this.tell(count, this.filtered.left(this.count), true)
      return
    }
    expect(standing.credit).toBe(0)
    this.count = standing.deliveryCount
    this.credit = 0
    this.drained++
  }
}

test('a client gets all that passes and its credit allows, and every drain ends', () => {
  const step = fc.record({ credit: fc.nat(6), drain: fc.boolean(), arrive: fc.array(fc.boolean()) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const messages: boolean[] = []
      const link = new Link(messages)
      let drains = 0
      for (const { credit, drain, arrive } of steps) {
        messages.push(...arrive)
        const before = link.got
        const wanted = messages.filter(Boolean).length
        const sent = messages.length
        link.grant(credit, drain)
        expect(link.got - before).toBe(Math.min(credit, wanted))
        if (drain) drains++
        expect(link.drained).toBe(drains)
        if (!drain) expect(link.credit).toBe(credit - Math.min(credit, wanted))
        // What waits is what the credit did not reach, or nothing.
        if (credit > wanted) expect(messages.length).toBe(0)
        expect(messages.length).toBeLessThanOrEqual(sent)
      }
    }),
    { numRuns: 300 },
  )
})

test('an answer to a drain that is no longer wanted moves the count on', () => {
  const filtered = new FilteredCredit()
  filtered.grant(0, 10, true)
  filtered.passed()
  filtered.heldBack()
  filtered.grant(1, 20, false)
  // The shard had eight left of ten and has used them up.
  expect(filtered.standing(1, 10, true)).toEqual({ deliveryCount: 9, credit: 12 })
  expect(filtered.filtered).toBe(1)
})
