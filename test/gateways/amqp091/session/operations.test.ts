import { describe, expect, test } from 'vitest'
import { EntryFlag, Outcome, Record } from '../../../../shared/bus/wire.ts'
import { placeQueue } from '../../../../shared/placement.ts'
import { makeEntry } from '../../../shared/bus/fake-shard.ts'
import { names, noProperties, SessionRig } from './session-rig.ts'

const entry = makeEntry(names('ex', 'key'), noProperties, Buffer.from('body'))

function ops(rig: SessionRig): string[] {
  return rig.asked.splice(0).map((each) => `${each.op} ${each.shard}`)
}

describe('declaring and binding', () => {
  test('ask the registry and answer with what it says', () => {
    const rig = new SessionRig({ shards: 2 }).login()
    rig.answers.set('queueDeclare', () => ({ queue: 'amq.gen-1', messages: 4, consumers: 2 }))
    rig.answers.set('queueDelete', () => ({ messages: 7 }))
    rig.answers.set('queuePurge', () => ({ messages: 9 }))
    rig.send(1, 'exchange.declare', { exchange: 'e\r\n', type: 'topic', durable: true })
    rig.send(1, 'exchange.bind', { destination: 'd', source: 's', routingKey: 'k' })
    rig.send(1, 'exchange.unbind', { destination: 'd', source: 's', routingKey: 'k' })
    rig.send(1, 'exchange.delete', { exchange: 'e', ifUnused: true })
    rig.send(1, 'queue.declare', { exclusive: true, arguments: { a: 1 } })
    rig.send(1, 'queue.purge', { queue: 'q' })
    rig.send(1, 'queue.delete', { queue: 'q', ifEmpty: true })
    expect(rig.told.map((each) => [each.name, each.fields])).toEqual([
      ['exchange.declare-ok', {}],
      ['exchange.bind-ok', {}],
      ['exchange.unbind-ok', {}],
      ['exchange.delete-ok', {}],
      ['queue.declare-ok', { queue: 'amq.gen-1', messageCount: 4, consumerCount: 2 }],
      ['queue.purge-ok', { messageCount: 9 }],
      ['queue.delete-ok', { messageCount: 7 }],
    ])
    expect(rig.asked).toMatchObject([
      { op: 'exchangeDeclare', shard: 0, exchange: 'e', type: 'topic', durable: true },
      { op: 'exchangeBind', shard: 0, destination: 'd', source: 's', routingKey: 'k' },
      { op: 'exchangeUnbind', shard: 0 },
      { op: 'exchangeDelete', shard: 0, ifUnused: true },
      { op: 'queueDeclare', shard: 0, queue: '', exclusive: true },
      { op: 'queuePurge', shard: placeQueue('/', 'q', 2) },
      { op: 'queueDelete', shard: 0, ifEmpty: true, ifUnused: false },
    ])
    expect(rig.asked[4]?.['arguments']).toEqual([['a', { type: 'I', value: 1 }]])
  })

  test('say nothing with nowait', () => {
    const rig = new SessionRig().login()
    const nowait = { nowait: true }
    rig.send(1, 'exchange.declare', { exchange: 'e', type: 'topic', ...nowait })
    rig.send(1, 'exchange.bind', nowait)
    rig.send(1, 'exchange.unbind', nowait)
    rig.send(1, 'exchange.delete', nowait)
    rig.send(1, 'queue.declare', { queue: 'q', ...nowait })
    rig.send(1, 'queue.bind', nowait)
    rig.send(1, 'queue.purge', nowait)
    rig.send(1, 'queue.delete', nowait)
    rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'c', ...nowait })
    rig.send(1, 'basic.cancel', { consumerTag: 'c', ...nowait })
    rig.send(1, 'confirm.select', nowait)
    expect(rig.names()).toEqual([])
    expect(rig.asked).toHaveLength(10)
  })

  test('take an empty queue name for the queue declared last', () => {
    const rig = new SessionRig().login()
    rig.answers.set('queueDeclare', () => ({ queue: 'made', messages: 0, consumers: 0 }))
    rig.send(1, 'queue.declare')
    for (const name of ['queue.bind', 'queue.unbind', 'queue.purge', 'queue.delete']) {
      rig.send(1, name, name.includes('bind') ? { exchange: 'e' } : {})
    }
    rig.send(1, 'queue.bind', { exchange: 'e', routingKey: 'k' })
    rig.send(1, 'basic.consume')
    rig.send(1, 'basic.get')
    for (const asked of rig.asked.slice(1)) expect(asked['queue']).toBe('made')
    expect(rig.askedOf('queueBind').map((each) => each['routingKey'])).toEqual(['made', 'k'])
    expect(rig.askedOf('queueUnbind').map((each) => each['routingKey'])).toEqual(['made'])
  })

  test.each(['queue.bind', 'queue.purge', 'queue.delete', 'basic.get', 'basic.consume'])(
    '%s without a queue name fails where none was declared',
    (name) => {
      const rig = new SessionRig().login()
      rig.send(1, name)
      expect(rig.told[0]).toMatchObject({
        name: 'channel.close',
        fields: { replyCode: 404, replyText: 'NOT_FOUND - no previously declared queue' },
      })
    },
  )

  test('refusals close the channel or the connection as their scope says', () => {
    for (const scope of ['channel', 'connection']) {
      const rig = new SessionRig().login()
      const error = { scope, code: 406, text: 'PRECONDITION_FAILED - why' }
      rig.answers.set('queueDeclare', () => ({ error }))
      rig.send(1, 'queue.declare', { queue: 'q', nowait: true })
      expect(rig.told.map(({ name, fields }) => [name, fields])).toEqual([
        [`${scope}.close`, { replyCode: 406, replyText: error.text, classId: 50, methodId: 10 }],
      ])
    }
  })
})

describe('one op at a time', () => {
  test('nothing is read before the answer, and deliveries go on', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'c' })
    const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
    rig.answers.set('queueDeclare', () => undefined)
    rig.forget()
    rig.send(1, 'queue.declare', { queue: 'q' })
    rig.publish(1, 'k', 'x')
    rig.send(1, 'basic.get', { queue: 'q' })
    expect(rig.session.blocked).toBe(true)
    expect(ops(rig)).toEqual(['queueDeclare 0'])
    rig.deliver(slot, 0, entry)
    rig.drain()
    expect(rig.names()).toEqual(['basic.deliver'])
    rig.answers.set('get', () => undefined)
    rig.answer('queueDeclare', { queue: 'q', messages: 0, consumers: 1 })
    expect(rig.names()).toEqual(['queue.declare-ok'])
    expect(rig.published()).toHaveLength(1)
    expect(ops(rig)).toEqual(['get 0'])
  })

  test('what was published before is fenced first when there are several shards', () => {
    const rig = new SessionRig({ shards: 3 }).login()
    const shard = placeQueue('/', 'k', 3)
    rig.send(1, 'queue.declare', { queue: 'q' })
    rig.publish(1, 'k', 'x')
    rig.send(1, 'queue.declare', { queue: 'q' })
    rig.send(1, 'queue.declare', { queue: 'q' })
    rig.publish(1, 'k', 'x')
    rig.send(1, 'channel.close')
    const fence = `fence ${shard}`
    const all = [0, 1, 2].map((each) => `closeChannel ${each}`)
    expect(ops(rig)).toEqual([
      'queueDeclare 0',
      fence,
      'queueDeclare 0',
      'queueDeclare 0',
      fence,
      ...all,
    ])
  })

  test('settlements are fenced before an op on another shard only', () => {
    const rig = new SessionRig({ shards: 2 }).login()
    const queue = ['a', 'b', 'c'].find((each) => placeQueue('/', each, 2) === 1) as string
    rig.send(1, 'basic.consume', { queue, consumerTag: 'c' })
    const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
    for (let id = 0; id < 2; id++) rig.deliver(slot, id, entry, 0, 1)
    rig.drain()
    ops(rig)
    rig.send(1, 'basic.nack', { deliveryTag: 1, requeue: true })
    rig.send(1, 'queue.purge', { queue })
    rig.send(1, 'basic.nack', { deliveryTag: 2, requeue: true })
    rig.send(1, 'queue.declare', { queue })
    expect(ops(rig)).toEqual(['queuePurge 1', 'fence 1', 'queueDeclare 0'])
  })

  test('an op after a publish that failed is not done', () => {
    const rig = new SessionRig().login()
    rig.answers.set('fence', () => undefined)
    rig.publish(1, 'k', 'x', { exchange: 'missing' })
    rig.send(1, 'queue.declare', { queue: 'q' })
    const error = { scope: 'channel', code: 404, text: 'NOT_FOUND - x' }
    rig.shards[0]?.event({ event: 'channelError', channel: 1, error })
    rig.drain()
    rig.answer('fence', {})
    expect(rig.names()).toEqual(['channel.close'])
    expect(rig.askedOf('queueDeclare')).toEqual([])
    rig.send(1, 'channel.close-ok')
    rig.send(1, 'channel.open')
    expect(rig.names()).toEqual(['channel.open-ok'])
  })

  test('an op whose channel fails meanwhile does not hold up the others', () => {
    const rig = new SessionRig().login()
    rig.send(2, 'channel.open')
    rig.send(1, 'tx.select')
    rig.publish(1, 'k', 'x')
    rig.answers.set('txCommit', () => undefined)
    rig.forget()
    rig.send(1, 'tx.commit')
    rig.send(2, 'queue.declare', { queue: 'q' })
    const error = { scope: 'channel', code: 403, text: 'ACCESS_REFUSED - x' }
    rig.shards[0]?.event({ event: 'channelError', channel: 1, error })
    rig.drain()
    rig.settle()
    expect(rig.names()).toEqual(['channel.close', 'queue.declare-ok'])
  })
})

describe('consumers', () => {
  test('get a tag from the server, the prefetch of the time, and their arguments', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.qos', { prefetchCount: 5 })
    rig.send(1, 'basic.consume', { queue: 'q', exclusive: true, arguments: { 'x-priority': 3 } })
    rig.send(1, 'basic.qos', { prefetchCount: 0 })
    rig.send(1, 'basic.consume', { queue: 'q', noAck: true, consumerTag: 'mine' })
    expect(rig.told[1]?.fields['consumerTag']).toMatch(/^amq\.ctag-[\w-]{22}$/)
    expect(rig.told[3]?.fields['consumerTag']).toBe('mine')
    expect(rig.asked).toMatchObject([
      { prefetch: 5, exclusive: true, noAck: false },
      { prefetch: 0, exclusive: false, noAck: true, tag: 'mine' },
    ])
  })

  test('may not share a tag, nor be more than allowed', () => {
    const rig = new SessionRig({ settings: { consumer_max_per_channel: 2 } }).login()
    rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'a' })
    rig.send(2, 'channel.open')
    rig.send(2, 'basic.consume', { queue: 'q', consumerTag: 'a' })
    rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'b' })
    rig.forget()
    rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'c' })
    const text = 'NOT_ALLOWED - reached maximum (2) of consumers per channel'
    expect(rig.told[0]?.fields).toMatchObject({ replyCode: 530, replyText: text })

    const other = new SessionRig().login()
    other.send(1, 'basic.consume', { queue: 'q', consumerTag: 'a' })
    other.forget()
    other.send(1, 'basic.consume', { queue: 'q', consumerTag: 'a' })
    expect(other.told[0]).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 530, replyText: "NOT_ALLOWED - attempt to reuse consumer tag 'a'" },
    })
  })

  test('that are refused give their slot and tag back', () => {
    const rig = new SessionRig().login()
    const error = { scope: 'channel', code: 403, text: 'ACCESS_REFUSED - x' }
    rig.answers.set('consume', () => ({ error }))
    rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'a' })
    expect(rig.names()).toEqual(['channel.close'])
    expect([...rig.port.consumers.values()]).toEqual([])
  })

  test('are delivered to right after the answer, and until cancel-ok', () => {
    const rig = new SessionRig().login()
    rig.answers.set('consume', () => undefined)
    rig.answers.set('cancel', () => undefined)
    rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'a' })
    const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
    const { request } = rig.takeRequest('consume')
    rig.shards[0]?.reply(request, {})
    rig.deliver(slot, 0, entry)
    rig.drain()
    expect(rig.names()).toEqual(['basic.consume-ok', 'basic.deliver'])
    rig.send(1, 'basic.cancel', { consumerTag: 'a' })
    const cancel = rig.takeRequest('cancel')
    rig.deliver(slot, 1, entry)
    rig.shards[0]?.reply(cancel.request, {})
    rig.drain()
    expect(rig.names()).toEqual(['basic.deliver', 'basic.cancel-ok'])
    expect(rig.port.consumers.get(slot)).toBeUndefined()
    rig.send(1, 'basic.cancel', { consumerTag: 'a' })
    expect(rig.names()).toEqual(['basic.cancel-ok'])
  })

  test('hear of the end of their queue if they can', () => {
    for (const able of [true, false]) {
      const rig = new SessionRig().login({ consumer_cancel_notify: able })
      rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'a' })
      const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
      rig.forget()
      rig.shards[0]?.event({ event: 'consumerCancelled', consumer: slot })
      rig.drain()
      const told = rig.told.map(({ name, fields }) => [name, fields])
      expect(told).toEqual(able ? [['basic.cancel', { consumerTag: 'a', nowait: true }]] : [])
      expect(rig.port.consumers.get(slot)).toBeUndefined()
    }
  })

  test('who deletes the queue hears of that first', () => {
    const rig = new SessionRig().login({ consumer_cancel_notify: true })
    rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'a' })
    const consumer = rig.askedOf('consume')[0]?.['consumer']
    rig.answers.set('queueDelete', () => {
      rig.shards[0]?.event({ event: 'consumerCancelled', consumer })
      return { messages: 0 }
    })
    rig.forget()
    rig.send(1, 'queue.delete', { queue: 'q' })
    expect(rig.names()).toEqual(['queue.delete-ok', 'basic.cancel'])
  })

  test('of replies: one per channel, without acknowledgements, declared by asking', () => {
    const queue = 'amq.rabbitmq.reply-to'
    const rig = new SessionRig().login()
    rig.answers.set('consume', () => ({ replyTo: `${queue}.a.b` }))
    rig.send(1, 'basic.consume', { queue, noAck: true })
    expect(rig.names()).toEqual(['basic.consume-ok'])
    expect(rig.call(1, 'queue.declare', { queue, passive: true })?.fields).toEqual({
      queue,
      messageCount: 0,
      consumerCount: 1,
    })
    expect(rig.call(1, 'basic.consume', { queue, noAck: true })?.fields).toMatchObject({
      replyText: 'PRECONDITION_FAILED - reply consumer already set',
    })
    rig.send(2, 'channel.open')
    expect(rig.call(2, 'basic.consume', { queue })?.fields).toMatchObject({
      replyText: 'PRECONDITION_FAILED - reply consumer cannot acknowledge',
    })
    rig.send(3, 'channel.open')
    expect(rig.call(3, 'queue.declare', { queue, passive: true })?.fields).toMatchObject({
      replyText: `NOT_FOUND - no queue '${queue}' in vhost '/'`,
    })
  })
})

describe('basic.get', () => {
  test('answers with a message, its tag and what is left, or with nothing', () => {
    const rig = new SessionRig().login()
    rig.answers.set('get', () => undefined)
    rig.send(1, 'basic.get', { queue: 'q' })
    const [shard] = rig.shards
    shard?.writeEntry(
      Record.got,
      rig.takeRequest('get').request,
      4,
      EntryFlag.redelivered,
      entry,
      8,
    )
    rig.drain()
    expect(rig.told[0]).toMatchObject({
      name: 'basic.get-ok',
      fields: { deliveryTag: 1, redelivered: true, exchange: 'ex', count: 8 },
      body: Buffer.from('body'),
    })
    rig.send(1, 'basic.ack', { deliveryTag: 1 })
    expect(rig.ofType(Record.settle)).toEqual([[1, 4, Outcome.complete, 0]])
    rig.send(1, 'basic.get', { queue: 'q' })
    const none = makeEntry('', '', Buffer.alloc(0))
    shard?.writeEntry(Record.got, rig.takeRequest('get').request, 0, EntryFlag.empty, none, 0)
    rig.drain()
    expect(rig.told[1]?.name).toBe('basic.get-empty')
    expect(rig.session.blocked).toBe(false)
  })

  test('may be refused', () => {
    const rig = new SessionRig().login()
    const text = "NOT_FOUND - no queue 'q' in vhost '/'"
    rig.answers.set('get', () => ({ error: { scope: 'channel', code: 404, text } }))
    expect(rig.call(1, 'basic.get', { queue: 'q' })).toMatchObject({
      name: 'channel.close',
      fields: { replyText: text, classId: 60, methodId: 70 },
    })
  })
})

describe('transactions', () => {
  test('hold acknowledgements until commit, and give them up in rollback', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.consume', { queue: 'q', consumerTag: 'a' })
    const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
    rig.send(1, 'tx.select')
    for (let id = 0; id < 6; id++) rig.deliver(slot, id, entry)
    rig.drain()
    rig.forget()
    rig.send(1, 'basic.ack', { deliveryTag: 3 })
    rig.send(1, 'basic.nack', { deliveryTag: 2, multiple: true })
    rig.send(1, 'tx.rollback')
    rig.send(1, 'basic.reject', { deliveryTag: 2, requeue: true })
    rig.send(1, 'basic.ack', { deliveryTag: 4, multiple: true })
    expect(rig.ofType(Record.settle)).toEqual([])
    rig.send(1, 'tx.commit')
    expect(rig.names()).toEqual(['tx.rollback-ok', 'tx.commit-ok'])
    expect(rig.ofType(Record.settle)).toEqual([
      [1, 1, Outcome.requeueFailed, 0],
      [1, 0, Outcome.complete, 0],
      [1, 2, Outcome.complete, 0],
      [1, 3, Outcome.complete, 0],
    ])
    expect(rig.asked).toEqual([])
    rig.forget()
    rig.send(1, 'basic.ack', { deliveryTag: 5 })
    rig.send(1, 'basic.recover', { requeue: true })
    expect(rig.ofType(Record.settle)).toEqual([[1, 5, Outcome.requeue, 0]])
    rig.send(1, 'basic.ack', { deliveryTag: 5 })
    expect(rig.names()).toEqual(['basic.recover-ok', 'channel.close'])
  })

  test('ask the ingress shard to commit or forget publishes', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'tx.select')
    rig.publish(1, 'k', 'x')
    rig.answers.set('txCommit', () => undefined)
    rig.send(1, 'tx.commit')
    expect(rig.names()).toEqual(['tx.select-ok'])
    rig.answer('txCommit', {})
    expect(rig.names()).toEqual(['tx.commit-ok'])
    rig.publish(1, 'k', 'x')
    rig.send(1, 'tx.rollback')
    rig.send(1, 'tx.rollback')
    rig.send(1, 'tx.commit')
    expect(rig.names()).toEqual(['tx.rollback-ok', 'tx.rollback-ok', 'tx.commit-ok'])
    expect(ops(rig)).toEqual(['txCommit 0', 'txRollback 0'])
  })

  test('exclude confirms, and the reverse', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'tx.select')
    rig.send(1, 'confirm.select')
    rig.send(2, 'channel.open')
    rig.send(2, 'confirm.select')
    rig.send(2, 'confirm.select')
    rig.send(2, 'tx.select')
    rig.send(3, 'channel.open')
    rig.send(3, 'tx.commit')
    const texts = rig.told.map(({ fields }) => fields['replyText']).filter((t) => t !== undefined)
    expect(texts).toEqual([
      'PRECONDITION_FAILED - cannot switch from tx to confirm mode',
      'PRECONDITION_FAILED - cannot switch from confirm to tx mode',
      'PRECONDITION_FAILED - channel is not transactional',
    ])
  })
})
