// Serial-number arithmetic of link credit (AMQP 1.0, 2.6.7).

import { expect, test } from 'vitest'
import { LinkCredit } from '../../../core/queue/link-credit.ts'
import { LinkFlag } from '../../../shared/bus/wire.ts'

test('credit is what the receiver grants less what is on its way to it', () => {
  const link = new LinkCredit()
  expect(link.grant(0, 10, 0)).toBe(false)
  for (let i = 0; i < 4; i++) expect(link.spend()).toBe(false)
  // The receiver has seen one of the four when it grants ten again.
  link.grant(1, 10, 0)
  expect([link.deliveryCount, link.credit]).toEqual([4, 7])
})

test('a receiver that takes credit back leaves none, and never less', () => {
  const link = new LinkCredit()
  link.grant(0, 5, 0)
  link.spend()
  link.spend()
  link.grant(0, 1, 0)
  expect(link.credit).toBe(0)
})

test('counts wrap from 2^32 - 1 to 0', () => {
  const link = new LinkCredit()
  link.deliveryCount = -2
  link.grant(-2, 3, 0)
  expect([link.spend(), link.spend(), link.spend()]).toEqual([false, false, true])
  expect(link.deliveryCount).toBe(1)
  link.grant(0x7fffffff, 0x7fffffff, 0)
  expect(link.credit).toBe(0)
})

test('the largest credit stays one when some of it is used', () => {
  const link = new LinkCredit()
  link.grant(0, 0x7fffffff, 0)
  link.spend()
  link.grant(0, 0x7fffffff, 0)
  expect(link.credit).toBe(0x7ffffffe)
})

test('a drain is owed an answer until it is given, and uses up what is left', () => {
  const link = new LinkCredit()
  expect(link.grant(0, 8, LinkFlag.drain | LinkFlag.echo)).toBe(true)
  link.spend()
  link.useUp()
  link.answered()
  expect([link.deliveryCount, link.credit, link.drain, link.echo]).toEqual([8, 0, false, false])
})
