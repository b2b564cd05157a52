// Dead-letter exchanges: where rejected messages go, and what they tell of it. What expires or is
// crowded out dies the same way (test/conformance/ttl.test.ts, max-length.test.ts).

import type { Channel, GetMessage } from 'amqplib'
import { expect, it } from 'vitest'
import { channelError, consume, drain, getOne, send } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'
import { eventually, pause } from '../support/wait.ts'

type DeathTable = Record<string, unknown>

function deathsOf(message: GetMessage): DeathTable[] {
  return (message.properties.headers?.['x-death'] ?? []) as unknown as DeathTable[]
}

describeBrokers('dead-lettering', (use) => {
  /** A queue whose dead letters come to another, over a fanout exchange. */
  async function pair(channel: Channel, args: Record<string, unknown> = {}) {
    const [queue, dead, exchange] = [use().name('q'), use().name('dead'), use().name('dlx')]
    await channel.assertExchange(exchange, 'fanout')
    await channel.assertQueue(dead)
    await channel.bindQueue(dead, exchange, '')
    await channel.assertQueue(queue, {
      arguments: { 'x-dead-letter-exchange': exchange, ...args },
    })
    return { queue, dead, exchange }
  }

  async function waitFor(channel: Channel, queue: string): Promise<GetMessage> {
    return await eventually(`a message in ${queue}`, () => getOne(channel, queue, { noAck: true }))
  }

  it('takes a rejected message to its exchange and tells of its death', async () => {
    const channel = await use().channel()
    const { queue, dead, exchange } = await pair(channel)
    const before = Math.floor(Date.now() / 1000)
    channel.sendToQueue(queue, Buffer.from('body'), {
      contentType: 'text/plain',
      headers: { own: 'header' },
      persistent: true,
      expiration: '600000',
    })
    const got = await waitForUnacked(channel, queue)
    channel.reject(got, false)
    const letter = await waitFor(channel, dead)
    const { headers = {}, ...properties } = letter.properties
    expect(letter.content.toString()).toBe('body')
    expect(letter.fields).toMatchObject({ exchange, routingKey: queue, redelivered: false })
    expect(properties.contentType).toBe('text/plain')
    expect(properties.expiration).toBeUndefined()
    expect(headers).toMatchObject({
      own: 'header',
      'x-first-death-reason': 'rejected',
      'x-first-death-queue': queue,
      'x-first-death-exchange': '',
      'x-last-death-reason': 'rejected',
      'x-last-death-queue': queue,
      'x-last-death-exchange': '',
    })
    const [death] = deathsOf(letter)
    expect(deathsOf(letter)).toHaveLength(1)
    expect(death).toMatchObject({
      'original-expiration': '600000',
      count: 1,
      reason: 'rejected',
      queue,
      exchange: '',
      'routing-keys': [queue],
    })
    const { value: time } = (death?.['time'] ?? { value: 0 }) as { value: number }
    expect(time).toBeGreaterThanOrEqual(before - 1)
    expect(time).toBeLessThanOrEqual(Math.floor(Date.now() / 1000) + 1)
  })

  async function waitForUnacked(channel: Channel, queue: string): Promise<GetMessage> {
    return await eventually(`a message in ${queue}`, () => getOne(channel, queue))
  }

  it('drops what is rejected in a queue without an exchange for it', async () => {
    const channel = await use().channel()
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, 'a', 'b')
    channel.reject(await waitForUnacked(channel, queue), false)
    expect(await drain(channel, queue)).toEqual(['b'])
  })

  it('takes basic.nack without requeue, one or many, in their order', async () => {
    const channel = await use().channel()
    const { queue, dead } = await pair(channel)
    send(channel, queue, ...Array.from({ length: 50 }, (_, i) => `${i}`))
    const inbox = await consume(channel, queue)
    await inbox.bodies(50)
    channel.nack(inbox.messages[24] as GetMessage & (typeof inbox.messages)[0], true, false)
    channel.nack(inbox.messages[49] as (typeof inbox.messages)[0], true, false)
    const letters = await (await consume(channel, dead, { noAck: true })).bodies(50)
    expect(letters).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`))
  })

  it('uses the key of the queue where it has one, else the key of the message', async () => {
    const channel = await use().channel()
    const dead = use().name('dead')
    const queue = use().name('q')
    await channel.assertQueue(dead)
    await channel.assertQueue(queue, {
      arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead },
    })
    send(channel, queue, 'm')
    channel.reject(await waitForUnacked(channel, queue), false)
    const letter = await waitFor(channel, dead)
    expect(letter.fields).toMatchObject({ exchange: '', routingKey: dead })
    expect(deathsOf(letter)[0]).toMatchObject({ 'routing-keys': [queue], exchange: '' })
  })

  it('keeps further keys from CC and BCC, and tells those of CC', async () => {
    const channel = await use().channel()
    const [exchange, queue] = [use().name('dlx'), use().name('q')]
    await channel.assertExchange(exchange, 'direct')
    await channel.assertQueue(queue, { arguments: { 'x-dead-letter-exchange': exchange } })
    const dead: string[] = []
    for (const key of [queue, 'copied', 'blind']) {
      const name = use().name(`dead-${key}`)
      await channel.assertQueue(name)
      await channel.bindQueue(name, exchange, key)
      dead.push(name)
    }
    channel.sendToQueue(queue, Buffer.from('m'), { CC: ['copied'], BCC: ['blind'] })
    channel.reject(await waitForUnacked(channel, queue), false)
    for (const name of dead) {
      const letter = await waitFor(channel, name)
      expect(letter.fields.routingKey).toBe(queue)
      expect(deathsOf(letter)[0]?.['routing-keys']).toEqual([queue, 'copied'])
      expect(letter.properties.headers).toMatchObject({ CC: ['copied'] })
      expect(letter.properties.headers).not.toHaveProperty('BCC')
    }
  })

  it('counts deaths of the same queue and reason in one entry, the last in front', async () => {
    const channel = await use().channel()
    const [work, retry] = [use().name('work'), use().name('retry')]
    const dlx = (key: string) => ({
      arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': key },
    })
    await channel.assertQueue(work, dlx(retry))
    await channel.assertQueue(retry, dlx(work))
    send(channel, work, 'm')
    for (let round = 0; round < 3; round++) {
      channel.reject(await waitForUnacked(channel, work), false)
      channel.reject(await waitForUnacked(channel, retry), false)
    }
    channel.reject(await waitForUnacked(channel, work), false)
    const letter = await waitFor(channel, retry)
    expect(deathsOf(letter)).toMatchObject([
      { count: 4, queue: work, reason: 'rejected' },
      { count: 3, queue: retry, reason: 'rejected' },
    ])
    expect(letter.properties.headers).toMatchObject({
      'x-first-death-queue': work,
      'x-last-death-queue': work,
    })
  })

  it('starts anew for a message that a client publishes again with its x-death', async () => {
    const channel = await use().channel()
    const { queue, dead } = await pair(channel)
    send(channel, queue, 'm')
    channel.reject(await waitForUnacked(channel, queue), false)
    const first = await waitFor(channel, dead)
    channel.sendToQueue(queue, first.content, { headers: first.properties.headers ?? {} })
    channel.reject(await waitForUnacked(channel, queue), false)
    const second = await waitFor(channel, dead)
    expect(deathsOf(second)).toMatchObject([{ count: 1, queue }])
    expect(deathsOf(second)).toHaveLength(1)
  })

  it('drops quietly where the exchange is missing or leads nowhere', async () => {
    const channel = await use().channel()
    const [queue, exchange, dead] = [use().name('q'), use().name('later'), use().name('dead')]
    await channel.assertQueue(queue, { arguments: { 'x-dead-letter-exchange': exchange } })
    send(channel, queue, 'lost', 'lost too', 'kept')
    channel.reject(await waitForUnacked(channel, queue), false)
    await pause(50)
    await channel.assertExchange(exchange, 'fanout')
    channel.reject(await waitForUnacked(channel, queue), false)
    await pause(50)
    await channel.assertQueue(dead)
    await channel.bindQueue(dead, exchange, '')
    channel.reject(await waitForUnacked(channel, queue), false)
    expect((await waitFor(channel, dead)).content.toString()).toBe('kept')
    expect(await drain(channel, dead)).toEqual([])
    expect(await drain(channel, queue)).toEqual([])
  })

  it('reaches every queue of the exchange, bodies of any size unharmed', async () => {
    const channel = await use().confirmChannel()
    const { queue, dead, exchange } = await pair(channel)
    const others = Array.from({ length: 5 }, () => use().name('other'))
    for (const name of others) {
      await channel.assertQueue(name)
      await channel.bindQueue(name, exchange, '')
    }
    const bodies = [0, 1, 5000, 300_000, 5_000_000].map((size) => Buffer.alloc(size, `${size}.`))
    for (const body of bodies) channel.sendToQueue(queue, body, { persistent: true })
    await channel.waitForConfirms()
    for (const body of bodies) {
      channel.reject(await waitForUnacked(channel, queue), false)
      for (const name of [dead, ...others]) {
        const letter = await waitFor(channel, name)
        expect(letter.content.equals(body)).toBe(true)
        expect(deathsOf(letter)).toHaveLength(1)
      }
    }
  })

  it('dead-letters many messages while others come', async () => {
    const channel = await use().channel()
    const { queue, dead } = await pair(channel)
    const count = 3000
    const inbox = await consume(channel, dead, { noAck: true })
    await channel.consume(queue, (message) => message !== null && channel.reject(message, false))
    for (let i = 0; i < count; i++) send(channel, queue, `${i}`)
    const letters = await inbox.bodies(count)
    expect(letters.length).toBe(count)
    expect(letters).toEqual(Array.from({ length: count }, (_, i) => `${i}`))
  })

  it('refuses a routing key without an exchange, and an exchange that is no text', async () => {
    const connection = await use().connect()
    const queue = use().name('q')
    const withArgs = async (args: Record<string, unknown>) => {
      const channel = await use().channel(connection)
      return await channelError(channel, () => channel.assertQueue(queue, { arguments: args }))
    }
    const key = await withArgs({ 'x-dead-letter-routing-key': 'k' })
    expect(key.code).toBe(406)
    expect(key.text).toContain('routing_key_but_no_dlx_defined')
    const number = await withArgs({ 'x-dead-letter-exchange': 1 })
    expect(number.code).toBe(406)
  })
})
