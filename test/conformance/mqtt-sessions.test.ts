// MQTT sessions: what outlives a connection, and who gets what of a shared subscription.

import { connect as amqpConnect } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { receivedQueue, receivedQueues } from '../../gateways/mqtt/mapping/topic.ts'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { idsByShard, MqttClients, mqttProfiles, name } from '../support/mqtt-clients.ts'
import { eventually } from '../support/wait.ts'

describe.each(mqttProfiles)('MQTT sessions [$title]', ({ settings, shards }) => {
  let broker: Broker
  let clients: MqttClients
  beforeAll(async () => {
    broker = await startWarren({ listen: ['mqtt'], settings })
    clients = new MqttClients(broker)
  }, 30_000)
  afterEach(() => clients.tidy())
  afterAll(() => broker.stop())

  test.each([4, 5] as const)(
    'keep subscriptions and messages while away (version %i)',
    async (protocolVersion) => {
      const base = name('t')
      const clientId = name('session')
      const options = {
        protocolVersion,
        clientId,
        clean: false,
        properties: protocolVersion === 5 ? { sessionExpiryInterval: 1000 } : {},
      }
      const first = await clients.connect(options)
      expect(first.connack.sessionPresent).toBe(false)
      await first.client.subscribeAsync({ [`${base}/1`]: { qos: 1 }, [`${base}/0`]: { qos: 0 } })
      await first.client.endAsync()
      const other = await clients.connect()
      await other.client.publishAsync(`${base}/1`, 'kept', { qos: 2 })
      await other.client.publishAsync(`${base}/0`, 'not kept', { qos: 1 })
      const second = await clients.connect(options)
      expect(second.connack.sessionPresent).toBe(true)
      await other.client.publishAsync(`${base}/0`, 'live', { qos: 1 })
      expect((await second.got(2)).sort()).toEqual([`${base}/0 live 0`, `${base}/1 kept 1`])
      await second.client.endAsync()
      const clean = await clients.connect({ ...options, clean: true, properties: {} })
      expect(clean.connack.sessionPresent).toBe(false)
      await clean.client.endAsync()
      const third = await clients.connect(options)
      expect(third.connack.sessionPresent).toBe(false)
      await other.client.publishAsync(`${base}/1`, 'nobody', { qos: 1 })
      await third.client.subscribeAsync(`${base}/end`, { qos: 1 })
      await other.client.publishAsync(`${base}/end`, 'end', { qos: 1 })
      expect(await third.got(1)).toEqual([`${base}/end end 1`])
    },
  )

  test('send unacknowledged messages again with their packet ids and DUP [MQTT-4.4.0-1]', async () => {
    const topic = name('t')
    const clientId = name('session')
    const options = { clientId, clean: false }
    const first = await clients.login(4, options)
    first.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 2 }] })
    await first.packet('suback')
    const other = await clients.connect()
    for (const qos of [1, 2, 1, 2] as const) {
      await other.client.publishAsync(topic, `${qos}`, { qos })
    }
    const sent = []
    for (let i = 0; i < 4; i++) sent.push(await first.packet('publish'))
    expect(sent.map(({ dup, qos }) => [dup, qos])).toEqual([
      [false, 1],
      [false, 2],
      [false, 1],
      [false, 2],
    ])
    const ids = sent.map(({ messageId }) => messageId ?? 0)
    // The first is done, of the second the client has the message.
    first.send({ cmd: 'puback', messageId: ids[0] ?? 0 })
    first.send({ cmd: 'pubrec', messageId: ids[1] ?? 0 })
    expect((await first.packet('pubrel')).messageId).toBe(ids[1])
    first.close()
    const second = await clients.login(4, options)
    expect((await second.packet('pubrel')).messageId).toBe(ids[1])
    const again = [await second.packet('publish'), await second.packet('publish')]
    expect(again.map(({ dup, messageId }) => [dup, messageId])).toEqual([
      [true, ids[2]],
      [true, ids[3]],
    ])
    second.send({ cmd: 'pubcomp', messageId: ids[1] ?? 0 })
    second.send({ cmd: 'puback', messageId: ids[2] ?? 0 })
    second.send({ cmd: 'pubrec', messageId: ids[3] ?? 0 })
    await second.packet('pubrel')
    second.send({ cmd: 'pubcomp', messageId: ids[3] ?? 0 })
    second.send({ cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: 'x', qos: 0 }] })
    await second.packet('suback')
    second.close()
    const third = await clients.login(4, options)
    third.send({ cmd: 'pingreq' })
    await third.packet('pingresp')
    // A PUBREL may come once more than is needed, never a message.
    expect(third.packets.filter(({ cmd }) => cmd === 'publish')).toEqual([])
  })

  test('are sent retained messages again that they have not acknowledged', async () => {
    const base = name('t')
    const session = { clientId: name('session'), clean: false }
    const other = await clients.connect()
    for (const qos of [1, 2] as const) {
      await other.client.publishAsync(`${base}/${qos}`, `${qos}`, { qos, retain: true })
      await other.client.publishAsync(`${base}/${qos}/done`, 'x', { qos, retain: true })
    }
    const first = await clients.login(4, session)
    const subscriptions = [{ topic: `${base}/#`, qos: 2 as const }]
    first.send({ cmd: 'subscribe', messageId: 1, subscriptions })
    const ids = new Map<string, number>()
    for (let i = 0; i < 4; i++) {
      const { messageId, qos, topic } = await first.packet('publish')
      ids.set(topic, messageId ?? 0)
      if (!topic.endsWith('done')) continue
      first.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: messageId ?? 0 })
    }
    const half = await first.packet('pubrel')
    first.close()
    const second = await clients.login(4, session)
    const again = [await second.packet('publish'), await second.packet('publish')]
    expect(again.map(({ messageId, topic }) => [topic, messageId]).sort()).toEqual([
      [`${base}/1`, ids.get(`${base}/1`)],
      [`${base}/2`, ids.get(`${base}/2`)],
    ])
    expect(again.map(({ dup, retain }) => [dup, retain])).toEqual([
      [true, true],
      [true, true],
    ])
    expect((await second.packet('pubrel')).messageId).toBe(half.messageId)
    second.send({ cmd: 'pubcomp', messageId: half.messageId ?? 0 })
    second.send({ cmd: 'puback', messageId: ids.get(`${base}/1`) ?? 0 })
    second.send({ cmd: 'pubrec', messageId: ids.get(`${base}/2`) ?? 0 })
    await second.packet('pubrel')
    second.send({ cmd: 'pubcomp', messageId: ids.get(`${base}/2`) ?? 0 })
    second.send({ cmd: 'pingreq' })
    await second.packet('pingresp')
    second.close()
    const third = await clients.login(4, session)
    third.send({ cmd: 'pingreq' })
    await third.packet('pingresp')
    expect(third.packets).toEqual([])
  })

  test('take a QoS 2 publish once, however often it comes, also over a reconnect', async () => {
    const topic = name('t')
    const clientId = name('session')
    const watcher = await clients.connect()
    await watcher.client.subscribeAsync(topic, { qos: 2 })
    const publish = { cmd: 'publish', topic, payload: 'once', qos: 2, retain: false } as const
    const first = await clients.login(4, { clientId, clean: false })
    first.send({ ...publish, messageId: 7, dup: false })
    await first.packet('pubrec')
    first.send({ ...publish, messageId: 7, dup: true })
    await first.packet('pubrec')
    first.close()
    const second = await clients.login(4, { clientId, clean: false })
    second.send({ ...publish, messageId: 7, dup: true })
    await second.packet('pubrec')
    second.send({ cmd: 'pubrel', messageId: 7 })
    await second.packet('pubcomp')
    second.send({ cmd: 'pubrel', messageId: 7 })
    await second.packet('pubcomp')
    // Released: the id stands for another message.
    second.send({ ...publish, payload: 'next', messageId: 7, dup: false })
    await second.packet('pubrec')
    expect(await watcher.got(2)).toEqual([`${topic} once 2`, `${topic} next 2`])
  })

  test.runIf(shards > 1)('a QoS 2 publish that one shard has lost goes there again', async () => {
    const topic = name('t')
    const clientId = name('session')
    const received = receivedQueues('/', clientId, shards)
    const lost = received.findIndex((queue) => queue !== receivedQueue(clientId))
    const watchers = await Promise.all(
      idsByShard(name('w'), shards).map((id) => clients.connect({ clientId: id, clean: false })),
    )
    for (const { client } of watchers) await client.subscribeAsync(topic, { qos: 2 })
    const publish = { cmd: 'publish', topic, qos: 2, retain: false } as const
    const first = await clients.login(4, { clientId, clean: false })
    first.send({ ...publish, payload: 'x', messageId: 7, dup: false })
    await first.packet('pubrec')
    first.close()
    const amqp = await amqpConnect(`amqp://guest:guest@127.0.0.1:${broker.port}`)
    const channel = await amqp.createChannel()
    await eventually('its id is gone there', async () => {
      return (await channel.purgeQueue(received[lost] ?? '')).messageCount === 1
    })
    await amqp.close()
    const second = await clients.login(4, { clientId, clean: false })
    for (let i = 0; i < 2; i++) {
      second.send({ ...publish, payload: 'x', messageId: 7, dup: true })
      await second.packet('pubrec')
    }
    second.send({ cmd: 'pubrel', messageId: 7 })
    await second.packet('pubcomp')
    second.send({ ...publish, payload: 'end', messageId: 7, dup: false })
    await second.packet('pubrec')
    for (const [shard, { got, inbox }] of watchers.entries()) {
      const expected = shard === lost ? ['x', 'x', 'end'] : ['x', 'end']
      await got(expected.length)
      expect(inbox.map(({ payload }) => payload)).toEqual(expected)
    }
  })

  test('belong to one connection: a second with the client id takes over', async () => {
    const clientId = name('twice')
    const first = await clients.login(5, { clientId })
    const second = await clients.login(5, { clientId })
    expect((await first.packet('disconnect')).reasonCode).toBe(0x8e)
    await first.untilClosed()
    second.send({ cmd: 'pingreq' })
    await second.packet('pingresp')
  })

  test('shared subscriptions share, and others get all', async () => {
    const topic = name('t')
    const members = [
      await clients.connect({ protocolVersion: 5 }),
      await clients.connect({ protocolVersion: 4 }),
    ]
    const other = await clients.connect()
    for (const { client } of members) await client.subscribeAsync(`$share/g/${topic}`, { qos: 1 })
    await other.client.subscribeAsync(topic, { qos: 1 })
    for (let i = 0; i < 20; i++) await other.client.publishAsync(topic, `${i}`, { qos: 1 })
    await other.got(20)
    const [first, second] = members
    await eventually('all are shared out', () => {
      return (first?.inbox.length ?? 0) + (second?.inbox.length ?? 0) === 20
    })
    const counts = members.map(({ inbox }) => inbox.length)
    expect(Math.min(...counts)).toBeGreaterThan(0)
    const payloads = members.flatMap(({ inbox }) => inbox.map(({ payload }) => payload))
    expect(new Set(payloads).size).toBe(20)
  })

  test('of a shared subscription, QoS 2 stays with the member it was sent to, QoS 1 does not', async () => {
    const topic = name('t')
    const filter = `$share/g/${topic}`
    const session = {
      clientId: name('member'),
      clean: false,
      properties: { sessionExpiryInterval: 100 },
    }
    const subscriptions = [{ topic: filter, qos: 2 as const }]
    const subscribe = { cmd: 'subscribe' as const, messageId: 1, subscriptions }
    const first = await clients.login(5, session)
    const clean = await clients.login(5)
    const other = await clients.connect()
    first.send(subscribe)
    await first.packet('suback')
    for (const qos of [2, 1] as const) {
      await other.client.publishAsync(topic, `first ${qos}`, { qos })
    }
    const sent = [await first.packet('publish'), await first.packet('publish')]
    const kept = sent.find(({ qos }) => qos === 2)
    clean.send(subscribe)
    await clean.packet('suback')
    first.close()
    const passed = await clean.packet('publish')
    expect([passed.payload.toString(), passed.qos]).toEqual(['first 1', 1])
    clean.send({ cmd: 'puback', messageId: passed.messageId ?? 0 })
    await other.client.publishAsync(topic, 'lost', { qos: 2 })
    expect((await clean.packet('publish')).payload.toString()).toBe('lost')
    await other.client.subscribeAsync(filter, { qos: 2 })
    clean.close()
    const again = await clients.login(5, session)
    const resent = await again.packet('publish')
    expect(resent).toMatchObject({ messageId: kept?.messageId, dup: true, qos: 2 })
    expect(resent.payload.toString()).toBe('first 2')
    again.send({ cmd: 'pubrec', messageId: resent.messageId ?? 0 })
    await again.packet('pubrel')
    again.close()
    const third = await clients.login(5, session)
    const { messageId } = await third.packet('pubrel')
    expect(messageId).toBe(kept?.messageId)
    third.send({ cmd: 'pubcomp', messageId: messageId ?? 0 })
    third.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [filter] })
    await third.packet('unsuback')
    await other.client.publishAsync(topic, 'end', { qos: 2 })
    expect(await other.got(1)).toEqual([`${topic} end 2`])
  })
})
