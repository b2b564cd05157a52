import { describe, expect, test } from 'vitest'
import { slabBytes } from '../../../../shared/bus/arena.ts'
import type { GatewayLink } from '../../../../shared/bus/gateway-port.ts'
import { Alarm, NodeWord } from '../../../../shared/bus/link.ts'
import { Outcome, Record } from '../../../../shared/bus/wire.ts'
import { makeEntry } from '../../../shared/bus/fake-shard.ts'
import { encodeMethod } from '../../../support/amqp-wire.ts'
import { names, noProperties, SessionRig } from './session-rig.ts'

const entry = makeEntry(names('', 'k'), noProperties, Buffer.from('x'))

/** Fills the ring to a shard with records that mean nothing to it. */
function fill(link: GatewayLink): void {
  while (link.grant(9999, 0)) {
    // Until it is full.
  }
}

function bodies(rig: SessionRig): string[] {
  return rig.published().map((each) => each.body.toString())
}

describe('a full ring', () => {
  test('holds a complete publish back, and reading with it', () => {
    const rig = new SessionRig().login()
    fill(rig.port.link(0))
    const two = Buffer.concat([rig.publishBytes(1, 'k', 'one'), rig.publishBytes(1, 'k', 'two')])
    rig.feed(two)
    expect(rig.session.blocked).toBe(true)
    rig.drain()
    expect(rig.session.blocked).toBe(true)
    rig.settle()
    expect(bodies(rig)).toEqual(['one', 'two'])
    expect(rig.session.blocked).toBe(false)
  })

  test('in the middle of content stops only the end of it', () => {
    const rig = new SessionRig().login()
    const bytes = rig.publishBytes(1, 'k', 'a long body')
    rig.feed(bytes.subarray(0, -5))
    fill(rig.port.link(0))
    rig.feed(bytes.subarray(-5))
    expect(rig.session.blocked).toBe(true)
    rig.settle()
    expect(bodies(rig)).toEqual(['a long body'])
  })

  test('holds acknowledgements back in order', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.consume', { queue: 'q' })
    const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
    for (let id = 0; id < 5; id++) rig.deliver(slot, id, entry)
    rig.drain()
    rig.forget()
    fill(rig.port.link(0))
    const acks = [1, 2].map((deliveryTag) => encodeMethod(1, 'basic.ack', { deliveryTag }))
    const nack = encodeMethod(1, 'basic.nack', { deliveryTag: 0, multiple: true, requeue: true })
    rig.feed(Buffer.concat([...acks, rig.publishBytes(1, 'k', 'x'), nack]))
    expect(rig.session.blocked).toBe(true)
    rig.settle()
    expect(rig.ofType(Record.settle)).toEqual([
      [1, 0, Outcome.complete, 0],
      [1, 1, Outcome.complete, 0],
      [1, 4, Outcome.requeue, 1],
    ])
    expect(bodies(rig)).toEqual(['x'])
  })

  test('holds a commit back until its acknowledgements are in', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.consume', { queue: 'q' })
    const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
    for (let id = 0; id < 3; id++) rig.deliver(slot, id, entry)
    rig.drain()
    rig.send(1, 'tx.select')
    rig.publish(1, 'k', 'x')
    rig.forget()
    rig.feed(encodeMethod(1, 'basic.ack', { deliveryTag: 3, multiple: true }))
    fill(rig.port.link(0))
    rig.feed(encodeMethod(1, 'tx.commit'))
    expect(rig.session.blocked).toBe(true)
    rig.settle()
    expect(rig.ofType(Record.settle)).toHaveLength(3)
    expect(rig.names()).toEqual(['tx.commit-ok'])
  })

  test('does not lose window, though that waits too', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.consume', { queue: 'q' })
    const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
    rig.forget()
    fill(rig.port.link(0))
    rig.deliver(slot, 0, makeEntry(names('', 'k'), noProperties, Buffer.alloc(100_000)))
    rig.drain()
    rig.session.onFlushed()
    expect(rig.session.blocked).toBe(true)
    // The host may not look at `blocked` after that: the deadline brings it back too.
    expect(rig.session.deadline()).toBeLessThanOrEqual(rig.now)
    rig.settle()
    rig.session.onDeadline(rig.now)
    rig.settle()
    expect(rig.ofType(Record.credit)).toHaveLength(1)
    expect(rig.session.blocked).toBe(false)
  })

  test('is forgotten with the channel that waits for it', () => {
    const rig = new SessionRig().login()
    rig.send(2, 'channel.open')
    rig.forget()
    fill(rig.port.link(0))
    rig.feed(rig.publishBytes(1, 'k', 'one'))
    const error = { scope: 'channel', code: 404, text: 'NOT_FOUND - x' }
    rig.shards[0]?.event({ event: 'channelError', channel: 1, error })
    rig.drain()
    rig.settle()
    rig.publish(2, 'k', 'two')
    expect(bodies(rig)).toEqual(['two'])
    expect(rig.names()).toEqual(['channel.close'])
  })
})

describe('an arena without a free slab', () => {
  test('stops a publish at its header, or in its body, until there is one', () => {
    const rig = new SessionRig({ arenaBytes: 4 * slabBytes }).login()
    const taken: number[] = []
    const takeAll = (): void => {
      for (
        let slab = rig.port.arena.acquire(77, 0);
        slab >= 0;
        slab = rig.port.arena.acquire(77, 0)
      ) {
        taken.push(slab)
      }
    }
    takeAll()
    const body = Buffer.alloc(slabBytes + 1000, 'abcdefg')
    rig.feed(rig.publishBytes(1, 'k', body))
    rig.settle()
    expect(rig.session.blocked).toBe(true)
    expect(rig.session.deadline()).toBeLessThanOrEqual(rig.now)
    // Room for the first extent, but not for the rest.
    rig.port.arena.free(taken.pop() as number)
    rig.session.onDeadline(rig.now)
    rig.settle()
    expect(rig.session.blocked).toBe(true)
    expect(rig.published()).toEqual([])
    for (const slab of taken.splice(0)) rig.port.arena.free(slab)
    rig.session.onDeadline(rig.now)
    rig.settle()
    expect(rig.session.blocked).toBe(false)
    expect(rig.published()[0]?.body.equals(body)).toBe(true)
  })
})

describe('an alarm', () => {
  test('blocks a connection once it publishes, and tells it', () => {
    const rig = new SessionRig().login({ 'connection.blocked': true })
    rig.port.nodeWords[NodeWord.alarms] = Alarm.memory | Alarm.disk
    rig.send(1, 'queue.declare', { queue: 'q' })
    expect(rig.names()).toEqual(['queue.declare-ok'])
    rig.publish(1, 'k', 'one')
    rig.publish(1, 'k', 'two')
    expect(rig.told.map((each) => each.fields)).toEqual([{ reason: 'low on memory & disk' }])
    expect(bodies(rig)).toEqual(['one'])
    rig.session.onDeadline(rig.now)
    expect(rig.session.blocked).toBe(true)
    rig.port.nodeWords[NodeWord.alarms] = 0
    expect(rig.session.deadline()).toBeLessThanOrEqual(rig.now)
    rig.session.onDeadline(rig.now)
    rig.drain()
    rig.settle()
    expect(rig.names()).toEqual(['connection.blocked', 'connection.unblocked'])
    expect(bodies(rig)).toEqual(['one', 'two'])
  })

  test('is kept from clients that do not know of it, and still blocks them', () => {
    const rig = new SessionRig().login()
    rig.port.nodeWords[NodeWord.alarms] = Alarm.memory
    rig.publish(1, 'k', 'one')
    expect(rig.told).toEqual([])
    expect(rig.session.blocked).toBe(true)
  })
})
