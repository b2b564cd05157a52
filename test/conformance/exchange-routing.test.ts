// Which queues get a message: the four classic exchange types and the default exchange.

import type { Channel } from 'amqplib'
import { describe, expect, it } from 'vitest'
import { channelError, drain, send } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'

describeBrokers('routing', (use) => {
  /** Binds one queue per entry and returns, for a publish, the labels of those that got it. */
  async function routes(
    type: string,
    bindings: Readonly<Record<string, { key?: string; args?: object }>>,
  ): Promise<(key: string, headers?: object) => Promise<string[]>> {
    const channel = await use().channel()
    const exchange = use().name(type)
    await channel.assertExchange(exchange, type, { durable: false, autoDelete: true })
    const queues: [string, string][] = []
    for (const [label, { key = '', args = {} }] of Object.entries(bindings)) {
      const { queue } = await channel.assertQueue('', { exclusive: true })
      await channel.bindQueue(queue, exchange, key, args)
      queues.push([label, queue])
    }
    return async (key, headers = {}) => {
      channel.publish(exchange, key, Buffer.from('m'), { headers })
      const got: string[] = []
      for (const [label, queue] of queues) {
        const bodies = await drain(channel, queue)
        for (let i = 0; i < bodies.length; i += 1) got.push(label)
      }
      return got
    }
  }

  it('routes to the bindings with an equal key in a direct exchange', async () => {
    const route = await routes('direct', { a: { key: 'a' }, b: { key: 'b' }, a2: { key: 'a' } })
    expect(await route('a')).toEqual(['a', 'a2'])
    expect(await route('b')).toEqual(['b'])
    expect(await route('A')).toEqual([])
    expect(await route('')).toEqual([])
  })

  it('routes to every binding of a fanout exchange whatever the key', async () => {
    const route = await routes('fanout', { a: { key: 'x' }, b: {} })
    expect(await route('other')).toEqual(['a', 'b'])
  })

  it('matches words and wildcards in a topic exchange', async () => {
    const keys = ['a.b.c', 'a.*.c', 'a.#', '#', '*', 'a.#.c', '#.c', '', '*.*', 'a..c', '#.b.#']
    const route = await routes('topic', Object.fromEntries(keys.map((key) => [key, { key }])))
    expect(await route('a.b.c')).toEqual(['a.b.c', 'a.*.c', 'a.#', '#', 'a.#.c', '#.c', '#.b.#'])
    expect(await route('a')).toEqual(['a.#', '#', '*'])
    expect(await route('a.c')).toEqual(['a.#', '#', 'a.#.c', '#.c', '*.*'])
    expect(await route('a..c')).toEqual(['a.*.c', 'a.#', '#', 'a.#.c', '#.c', 'a..c'])
    expect(await route('')).toContain('')
    expect(await route('')).toContain('#')
    expect(await route('b')).toEqual(['#', '*', '#.b.#'])
    expect(await route('x.y.z.c')).toEqual(['#', '#.c'])
    expect(await route('a.b.b.c')).toEqual(['a.#', '#', 'a.#.c', '#.c', '#.b.#'])
  })

  it('takes a wildcard inside a word literally', async () => {
    const route = await routes('topic', { 'a*.b': { key: 'a*.b' }, 'a#': { key: 'a#' } })
    expect(await route('ax.b')).toEqual([])
    expect(await route('a*.b')).toEqual(['a*.b'])
    expect(await route('a#')).toEqual(['a#'])
  })

  it('delivers once to a queue that matches by several bindings', async () => {
    const channel = await use().channel()
    const exchange = use().name('topic')
    await channel.assertExchange(exchange, 'topic')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    for (const key of ['a.b', 'a.*', '#', '*.b']) await channel.bindQueue(queue, exchange, key)
    channel.publish(exchange, 'a.b', Buffer.from('once'))
    expect(await drain(channel, queue)).toEqual(['once'])
  })

  describe('headers exchange', () => {
    it('matches all headers by default', async () => {
      const route = await routes('headers', { q: { args: { a: 1, b: 'two' } } })
      expect(await route('', { a: 1, b: 'two', c: 3 })).toEqual(['q'])
      expect(await route('', { a: 1 })).toEqual([])
      expect(await route('', { a: 1, b: 'three' })).toEqual([])
    })

    it('matches one header with x-match any', async () => {
      const route = await routes('headers', { q: { args: { 'x-match': 'any', a: 1, b: 'two' } } })
      expect(await route('', { a: 1 })).toEqual(['q'])
      expect(await route('', { b: 'two', a: 9 })).toEqual(['q'])
      expect(await route('', { a: 2 })).toEqual([])
      expect(await route('')).toEqual([])
    })

    it('ignores x- headers unless the binding says with-x', async () => {
      const route = await routes('headers', {
        all: { args: { 'x-match': 'all', 'x-key': 'v', a: 1 } },
        allX: { args: { 'x-match': 'all-with-x', 'x-key': 'v', a: 1 } },
        any: { args: { 'x-match': 'any', 'x-key': 'v', a: 1 } },
        anyX: { args: { 'x-match': 'any-with-x', 'x-key': 'v', a: 1 } },
      })
      expect(await route('', { a: 1 })).toEqual(['all', 'any', 'anyX'])
      expect(await route('', { 'x-key': 'v' })).toEqual(['anyX'])
      expect(await route('', { a: 1, 'x-key': 'v' })).toEqual(['all', 'allX', 'any', 'anyX'])
    })

    it('matches every message with no arguments and all, and none with any', async () => {
      const route = await routes('headers', {
        none: {},
        all: { args: { 'x-match': 'all' } },
        any: { args: { 'x-match': 'any' } },
      })
      expect(await route('')).toEqual(['none', 'all'])
      expect(await route('', { a: 1 })).toEqual(['none', 'all'])
    })

    it('takes a void value as "the header is there"', async () => {
      const channel = await use().channel()
      const exchange = use().name('headers')
      await channel.assertExchange(exchange, 'headers')
      const { queue } = await channel.assertQueue('', { exclusive: true })
      // amqplib writes undefined as nothing and null as the void type.
      await channel.bindQueue(queue, exchange, '', { a: null })
      channel.publish(exchange, '', Buffer.from('one'), { headers: { a: 'anything' } })
      channel.publish(exchange, '', Buffer.from('two'), { headers: { b: 'anything' } })
      expect(await drain(channel, queue)).toEqual(['one'])
    })

    it('refuses an unknown x-match', async () => {
      const channel = await use().channel()
      const { queue } = await channel.assertQueue('', { exclusive: true })
      const error = await channelError(channel, () =>
        channel.bindQueue(queue, 'amq.headers', '', { 'x-match': 'some' }),
      )
      expect(error.code).toBe(406)
      expect(error.text).toBe(
        'PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x',
      )
    })
  })

  describe('default exchange', () => {
    it('routes to the queue that the key names', async () => {
      const channel = await use().channel()
      const { queue } = await channel.assertQueue(use().name('q'))
      channel.publish('', queue, Buffer.from('one'))
      send(channel, queue, 'two')
      expect(await drain(channel, queue)).toEqual(['one', 'two'])
    })

    it.each([
      ['bind', (channel: Channel, queue: string) => channel.bindQueue(queue, '', 'k')],
      ['unbind', (channel: Channel, queue: string) => channel.unbindQueue(queue, '', 'k')],
      ['bind from', (channel: Channel) => channel.bindExchange('amq.fanout', '', 'k')],
      ['bind to', (channel: Channel) => channel.bindExchange('', 'amq.fanout', 'k')],
    ])('refuses %s', async (_title, action) => {
      const channel = await use().channel()
      const { queue } = await channel.assertQueue('', { exclusive: true })
      const error = await channelError(channel, () => action(channel, queue))
      expect(error).toMatchObject({
        code: 403,
        text: 'ACCESS_REFUSED - operation not permitted on the default exchange',
      })
    })

    it('forgets a deleted queue', async () => {
      const channel = await use().confirmChannel()
      const queue = use().name('q')
      await channel.assertQueue(queue)
      await channel.deleteQueue(queue)
      let returned = 0
      channel.on('return', () => {
        returned += 1
      })
      channel.sendToQueue(queue, Buffer.from('x'), { mandatory: true })
      await channel.waitForConfirms()
      expect(returned).toBe(1)
    })
  })
})
