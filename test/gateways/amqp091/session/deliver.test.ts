import { describe, expect, test } from 'vitest'
import { slabBytes } from '../../../../shared/bus/arena.ts'
import { deliveryCost, EntryFlag, Outcome, Record } from '../../../../shared/bus/wire.ts'
import { placeQueue } from '../../../../shared/placement.ts'
import { makeEntry } from '../../../shared/bus/fake-shard.ts'
import { names, noProperties, SessionRig } from './session-rig.ts'

const entry = makeEntry(names('ex', 'key'), noProperties, Buffer.from('body'))

/** A consumer on channel 1; gives its slot on the bus. */
function consume(rig: SessionRig, tag: string, fields: object = {}, channel = 1): number {
  rig.send(channel, 'basic.consume', { queue: 'q', consumerTag: tag, ...fields })
  return Number(rig.askedOf('consume').at(-1)?.['consumer'])
}

describe('a delivery', () => {
  test('comes with its consumer, tag, names, properties and body', () => {
    const rig = new SessionRig().login()
    const slot = consume(rig, 'c')
    expect(rig.names()).toEqual(['basic.consume-ok'])
    rig.deliver(slot, 0, entry)
    rig.deliver(
      slot,
      1,
      makeEntry(names('', 'k'), noProperties, Buffer.alloc(0)),
      EntryFlag.redelivered,
    )
    rig.drain()
    expect(rig.told).toMatchObject([
      {
        name: 'basic.deliver',
        fields: { consumerTag: 'c', deliveryTag: 1, redelivered: false, exchange: 'ex' },
        properties: {},
        body: Buffer.from('body'),
      },
      {
        fields: { consumerTag: 'c', deliveryTag: 2, redelivered: true, routingKey: 'k' },
        body: Buffer.alloc(0),
        bodyFrames: [],
      },
    ])
  })

  test.each([8184, 8185, 16 * 1024, 16 * 1024 + 1, 70_000, slabBytes + 12345])(
    'of %i bytes is cut at frame_max and whole again',
    (size) => {
      const rig = new SessionRig().login({}, { frameMax: 8192 })
      const slot = consume(rig, 'c')
      rig.forget()
      const body = Buffer.alloc(size)
      for (let i = 0; i + 4 <= size; i += 4) body.writeUInt32BE(i, i)
      const extra = '\x01\x02cc'
      const frames = Math.ceil(size / 8184)
      rig.deliver(slot, 0, makeEntry(names('e', 'k'), noProperties, body, extra))
      rig.deliver(slot, 1, makeEntry(names('e', 'k'), noProperties, body))
      rig.drain()
      for (const told of rig.told) {
        expect(told.bodyFrames).toHaveLength(frames)
        expect(Math.max(...(told.bodyFrames ?? []))).toBeLessThanOrEqual(8184)
        expect(told.body?.equals(body)).toBe(true)
      }
      expect(rig.told).toHaveLength(2)
    },
  )

  test('may have properties larger than a block of the outbox', () => {
    const rig = new SessionRig({ settings: { frame_max: 1_000_000 } })
    rig.login({}, { frameMax: 1_000_000 })
    const slot = consume(rig, 'c')
    rig.forget()
    const value = 'v'.repeat(300_000)
    rig.publish(1, 'k', 'x', { properties: { headers: { big: value } } })
    const [published] = rig.published()
    if (published === undefined) throw new Error('nothing published')
    rig.deliver(slot, 0, published)
    rig.drain()
    expect(rig.told[0]?.properties?.headers).toEqual({ big: value })
    expect(rig.told[0]?.body?.toString()).toBe('x')
  })

  test('pins the slab of a large body until the socket has it', () => {
    const rig = new SessionRig().login()
    const slot = consume(rig, 'c')
    const shard = rig.shards[0]
    rig.deliver(slot, 0, makeEntry(names('', 'k'), noProperties, Buffer.alloc(100_000)))
    shard?.flush()
    rig.port.drain()
    expect(rig.outbox.sent).toHaveLength(1)
    for (const sent of rig.outbox.sent.splice(0)) sent()
  })

  test('gives its window back once enough has left', () => {
    const rig = new SessionRig().login()
    const slot = consume(rig, 'c')
    rig.forget()
    const body = Buffer.alloc(1000)
    const cost = deliveryCost(names('', 'k').length, 2, body.length)
    for (let i = 0; i < 100; i++)
      rig.deliver(slot, i, makeEntry(names('', 'k'), noProperties, body))
    rig.drain()
    expect(rig.told).toHaveLength(100)
    rig.settle()
    const credits = rig.ofType(Record.credit)
    expect(credits).toEqual([[1, 100 * cost]])
  })

  test('to a channel that has closed is dropped, but gives its window back', () => {
    const rig = new SessionRig().login()
    const slot = consume(rig, 'c')
    rig.answers.set('closeChannel', () => undefined)
    rig.send(1, 'channel.close', { replyCode: 200 })
    rig.forget()
    rig.deliver(slot, 0, makeEntry(names('', 'k'), noProperties, Buffer.alloc(80_000)))
    rig.drain()
    rig.settle()
    expect(rig.told).toEqual([])
    expect(rig.ofType(Record.credit)).toHaveLength(1)
    rig.answer('closeChannel', {})
    expect(rig.names()).toEqual(['channel.close-ok'])
    expect(rig.port.consumers.get(slot)).toBeUndefined()
  })
})

describe('acknowledgements', () => {
  test('name the delivery by shard and id; multiple is one record per shard', () => {
    const rig = new SessionRig({ shards: 3 }).login()
    const queues = ['a', 'b', 'c', 'd', 'e', 'f']
    const slots = queues.map((queue) => consume(rig, queue, { queue }))
    rig.forget()
    const ids = [10, 20, 30]
    const order = [0, 1, 2, 3, 4, 5].map((i) => placeQueue('/', queues[i] as string, 3))
    for (const [i, shard] of order.entries()) {
      rig.deliver(slots[i] as number, (ids[shard] as number) + i, entry, 0, shard)
    }
    rig.drain()
    // Rings are drained one after the other: the client's tags are in that order.
    const byTag = rig.told.map((each) => queues.indexOf(String(each.fields['consumerTag'])))
    const idOf = (tag: number): [number, number] => {
      const i = byTag[tag - 1] as number
      const shard = order[i] as number
      return [shard, (ids[shard] as number) + i]
    }
    rig.send(1, 'basic.ack', { deliveryTag: 3 })
    const [shard, id] = idOf(3)
    expect(rig.records).toMatchObject([
      { shard, type: Record.settle, fields: [1, id, Outcome.complete, 0] },
    ])
    rig.forget()
    rig.send(1, 'basic.nack', { deliveryTag: 5, multiple: true, requeue: true })
    const last = new Map([1, 2, 4, 5].map((tag) => idOf(tag)))
    const settled = new Map(rig.records.map((each) => [each.shard, each.fields[1]]))
    expect(settled).toEqual(last)
    for (const each of rig.records) expect(each.fields.slice(2)).toEqual([Outcome.requeue, 1])
    rig.forget()
    rig.send(1, 'basic.reject', { deliveryTag: 6 })
    expect(rig.records[0]?.fields).toEqual([1, idOf(6)[1], Outcome.discard, 0])
  })

  test.each([
    ['basic.ack', { deliveryTag: 1 }, 80],
    ['basic.ack', { deliveryTag: 3 }, 80],
    ['basic.ack', { deliveryTag: 3, multiple: true }, 80],
    ['basic.ack', { deliveryTag: 0 }, 80],
    ['basic.nack', { deliveryTag: 1, multiple: true }, 120],
    ['basic.reject', { deliveryTag: 9 }, 90],
    ['basic.ack', { deliveryTag: Number.MAX_SAFE_INTEGER }, 80],
  ])('of a tag that is not outstanding close the channel: %s %j', (name, fields, methodId) => {
    const rig = new SessionRig().login()
    const slot = consume(rig, 'c')
    rig.deliver(slot, 0, entry)
    rig.deliver(slot, 1, entry)
    rig.drain()
    rig.send(1, 'basic.ack', { deliveryTag: 1 })
    rig.forget()
    rig.send(1, name, fields)
    expect(rig.told[0]).toMatchObject({
      name: 'channel.close',
      fields: { replyCode: 406, classId: 60, methodId },
    })
    expect(String(rig.told[0]?.fields['replyText'])).toMatch(/^PRECONDITION_FAILED - unknown deliv/)
    expect(rig.ofType(Record.settle)).toEqual([])
  })

  test('of everything are fine where there is nothing', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.ack', { deliveryTag: 0, multiple: true })
    rig.send(1, 'basic.recover', { requeue: true })
    expect(rig.names()).toEqual(['basic.recover-ok'])
    expect(rig.records).toEqual([])
  })

  test('are not wanted for deliveries without acknowledgement, which take tags all the same', () => {
    const rig = new SessionRig().login()
    const slot = consume(rig, 'c', { noAck: true })
    rig.deliver(slot, 0, entry, EntryFlag.settled)
    rig.deliver(slot, 0, entry, EntryFlag.settled)
    rig.drain()
    expect(rig.told.at(-1)?.fields['deliveryTag']).toBe(2)
    rig.send(1, 'basic.ack', { deliveryTag: 1 })
    expect(rig.told.at(-1)?.name).toBe('channel.close')
  })

  test('are replaced by a requeue of all in recover', () => {
    const rig = new SessionRig().login()
    const slot = consume(rig, 'c')
    for (let id = 0; id < 3; id++) rig.deliver(slot, id, entry)
    rig.drain()
    rig.forget()
    rig.send(1, 'basic.recover', { requeue: true })
    expect(rig.names()).toEqual(['basic.recover-ok'])
    expect(rig.ofType(Record.settle)).toEqual([[1, 2, Outcome.requeue, 1]])
    rig.send(1, 'basic.recover-async', { requeue: true })
    expect(rig.names()).toEqual([])
  })
})

describe('a global prefetch', () => {
  test('is shared out as tokens, which come back with acknowledgements', () => {
    const rig = new SessionRig({ shards: 2 }).login()
    const queues = ['a', 'b', 'c', 'd'].map((q) => [q, placeQueue('/', q, 2)] as const)
    const slotOf = new Map(queues.map(([queue, shard]) => [shard, consume(rig, queue, { queue })]))
    rig.send(1, 'basic.qos', { prefetchCount: 3, global: true })
    expect(rig.askedOf('globalPrefetch').map(({ shard, limit }) => [shard, limit])).toEqual([
      [0, 3],
      [1, 3],
    ])
    rig.forget()
    const grants = (): unknown[] => {
      rig.settle()
      const seen = rig.records.filter((each) => each.type === Record.grant)
      rig.records.length = 0
      return seen.map((each) => [each.shard, each.fields[1]])
    }
    rig.shards[0]?.writeWords(Record.want, [1, 0])
    rig.drain()
    expect(grants()).toEqual([[0, 3]])
    rig.shards[1]?.writeWords(Record.want, [1, 0])
    rig.drain()
    expect(grants()).toEqual([])
    // One is used, two find nothing: shard 1 gets those.
    rig.deliver(slotOf.get(0) as number, 0, entry, 0, 0)
    rig.shards[0]?.writeWords(Record.unused, [1, 2])
    rig.drain()
    expect(grants()).toEqual([[1, 2]])
    rig.shards[0]?.writeWords(Record.want, [1, 0])
    rig.drain()
    expect(grants()).toEqual([])
    rig.send(1, 'basic.ack', { deliveryTag: 1 })
    expect(grants()).toEqual([[0, 1]])
  })

  test('is taken for the other kind where it is not permitted', () => {
    const settings = { 'deprecated_features.permit.global_qos': false }
    const rig = new SessionRig({ settings }).login()
    rig.send(1, 'basic.qos', { prefetchCount: 3, global: true })
    consume(rig, 'c')
    expect(rig.names()).toEqual(['basic.qos-ok', 'basic.consume-ok'])
    expect(rig.askedOf('globalPrefetch')).toEqual([])
    expect(rig.askedOf('consume')[0]).toMatchObject({ prefetch: 3 })
  })
})
