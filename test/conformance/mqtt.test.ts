// MQTT 3.1, 3.1.1 and 5 as clients see it, with MQTT.js and raw packets.

import { connect as amqpConnect } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { connectPacket, MqttClients, mqttProfiles, name } from '../support/mqtt-clients.ts'
import { eventually } from '../support/wait.ts'

describe.each(mqttProfiles)('MQTT [$title]', ({ settings, shards }) => {
  let broker: Broker
  let clients: MqttClients
  beforeAll(async () => {
    broker = await startWarren({ listen: ['mqtt', 'http/web-mqtt'], settings })
    clients = new MqttClients(broker)
  }, 30_000)
  afterEach(() => clients.tidy())
  afterAll(() => broker.stop())

  describe.each([
    { title: '3.1', options: { protocolVersion: 3, protocolId: 'MQIsdp' } as const },
    { title: '3.1.1', options: { protocolVersion: 4 } as const },
    { title: '5', options: { protocolVersion: 5 } as const },
  ])('version $title', ({ options }) => {
    test('publishes and delivers every QoS, at the lower of the two', async () => {
      const base = name('t')
      const peer = await clients.connect(options)
      for (const qos of [0, 1, 2] as const) {
        await peer.client.subscribeAsync(`${base}/${qos}/+`, { qos })
        for (const sent of [0, 1, 2] as const) {
          await peer.client.publishAsync(`${base}/${qos}/${sent}`, `${sent}`, { qos: sent })
        }
      }
      const expected = [0, 1, 2].flatMap((qos) =>
        [0, 1, 2].map((sent) => `${base}/${qos}/${sent} ${sent} ${Math.min(qos, sent)}`),
      )
      expect((await peer.got(9)).sort()).toEqual(expected.sort())
    })

    test('keeps topics byte for byte, dots, spaces and all', async () => {
      const base = name('t')
      const topics = ['a.b/c', 'a/b.c', ' /é☃/ x', '/', 'x'.repeat(300), 'a*/b', '$odd/é.']
      const peer = await clients.connect(options)
      await peer.client.subscribeAsync([`${base}/#`, `$${base}/+/+`])
      for (const topic of topics) await peer.client.publishAsync(`${base}/${topic}`, topic)
      await peer.client.publishAsync(`$${base}/a.b/c`, 'hidden')
      const got = await peer.got(topics.length + 1)
      expect(got.sort()).toEqual(
        [...topics.map((t) => `${base}/${t} ${t} 0`), `$${base}/a.b/c hidden 0`].sort(),
      )
    })

    test('a wildcard for one level does not match two that a dot makes in AMQP', async () => {
      const base = name('t')
      const peer = await clients.connect(options)
      await peer.client.subscribeAsync(`${base}/+/end`, { qos: 1 })
      await peer.client.publishAsync(`${base}/a.b/end`, 'one', { qos: 1 })
      await peer.client.publishAsync(`${base}/a/b/end`, 'none', { qos: 1 })
      await peer.client.publishAsync(`${base}/c/end`, 'two', { qos: 1 })
      expect(await peer.got(2)).toEqual([`${base}/a.b/end one 1`, `${base}/c/end two 1`])
    })

    test('overlapping subscriptions deliver once, at the highest QoS', async () => {
      const base = name('t')
      const peer = await clients.connect(options)
      await peer.client.subscribeAsync({
        [`${base}/#`]: { qos: 0 },
        [`${base}/+`]: { qos: 2 },
        [`${base}/a`]: { qos: 1 },
      })
      await peer.client.publishAsync(`${base}/a`, 'x', { qos: 2 })
      await peer.client.publishAsync(`${base}/a/b`, 'y', { qos: 2 })
      expect((await peer.got(2)).sort()).toEqual([`${base}/a x 2`, `${base}/a/b y 0`])
    })

    test('retained messages come to exact and wildcard subscribers, until they are cleared', async () => {
      const base = name('t')
      const peer = await clients.connect(options)
      await peer.client.publishAsync(`${base}/a.b`, '1', { qos: 1, retain: true })
      await peer.client.publishAsync(`${base}/c/d`, '2', { qos: 0, retain: true })
      await peer.client.publishAsync(`${base}/c/e`, '3', { qos: 2, retain: true })
      const exact = await clients.connect(options)
      await exact.client.subscribeAsync(`${base}/a.b`, { qos: 2 })
      expect(await exact.got(1)).toEqual([`${base}/a.b 1 1 r`])
      const wild = await clients.connect(options)
      await wild.client.subscribeAsync(`${base}/#`, { qos: 2 })
      expect((await wild.got(3)).sort()).toEqual([
        `${base}/a.b 1 1 r`,
        `${base}/c/d 2 0 r`,
        `${base}/c/e 3 2 r`,
      ])
      await peer.client.publishAsync(`${base}/c/e`, '', { qos: 1, retain: true })
      const later = await clients.connect(options)
      await later.client.subscribeAsync(`${base}/c/+`, { qos: 1 })
      expect(await later.got(1)).toEqual([`${base}/c/d 2 0 r`])
    })

    test('a will is published when the connection breaks, not when it ends', async () => {
      const topic = name('will')
      const watcher = await clients.connect(options)
      await watcher.client.subscribeAsync(topic, { qos: 1 })
      const will = { topic, payload: Buffer.from('gone'), qos: 1 as const, retain: false }
      const good = await clients.connect({ ...options, will })
      await good.client.endAsync()
      const bad = await clients.connect({ ...options, will })
      bad.client.stream.destroy()
      expect(await watcher.got(1)).toEqual([`${topic} gone 1`])
    })

    test('an unsubscribed filter delivers no more', async () => {
      const base = name('t')
      const peer = await clients.connect(options)
      await peer.client.subscribeAsync({ [`${base}/a`]: { qos: 0 }, [`${base}/b`]: { qos: 1 } })
      await peer.client.unsubscribeAsync([`${base}/a`, `${base}/b`])
      await peer.client.subscribeAsync(`${base}/end`, { qos: 1 })
      for (const last of ['a', 'b', 'end']) {
        await peer.client.publishAsync(`${base}/${last}`, last, { qos: 1 })
      }
      expect(await peer.got(1)).toEqual([`${base}/end end 1`])
    })

    test('large payloads arrive whole', async () => {
      const topic = name('large')
      const peer = await clients.connect(options)
      await peer.client.subscribeAsync(topic, { qos: 1 })
      for (const size of [0, 127, 128, 16_383, 70_000, 5_000_000]) {
        await peer.client.publishAsync(topic, Buffer.alloc(size, size % 251), { qos: 1 })
      }
      await peer.got(6)
      const sizes = peer.inbox.map(({ packet }) => {
        const payload = packet.payload as Buffer
        return payload.every((byte) => byte === payload.length % 251) ? payload.length : -1
      })
      expect(sizes).toEqual([0, 127, 128, 16_383, 70_000, 5_000_000])
    })
  })

  describe('version 5', () => {
    test('carries properties to the subscriber, in order', async () => {
      const topic = name('t')
      const peer = await clients.connect({ protocolVersion: 5 })
      await peer.client.subscribeAsync(topic, {
        qos: 1,
        properties: { subscriptionIdentifier: 300 },
      })
      await peer.client.publishAsync(topic, 'x', {
        qos: 1,
        properties: {
          contentType: 'text/plain',
          responseTopic: 'reply/to',
          correlationData: Buffer.from([0, 255, 1]),
          payloadFormatIndicator: true,
          messageExpiryInterval: 1000,
          userProperties: { a: ['1', '2'], b: '3' },
        },
      })
      await peer.got(1)
      const { messageExpiryInterval, ...rest } = peer.inbox[0]?.packet.properties ?? {}
      expect(messageExpiryInterval).toBeLessThanOrEqual(1000)
      expect(messageExpiryInterval).toBeGreaterThan(990)
      expect(rest).toMatchObject({
        contentType: 'text/plain',
        responseTopic: 'reply/to',
        correlationData: Buffer.from([0, 255, 1]),
        payloadFormatIndicator: true,
        subscriptionIdentifier: 300,
        userProperties: { a: ['1', '2'], b: '3' },
      })
    })

    test('topic aliases both ways', async () => {
      const topic = name('alias')
      const raw = await clients.login(5, { properties: { topicAliasMaximum: 3 } })
      raw.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] })
      await raw.packet('suback')
      const publish = { cmd: 'publish', payload: 'x', qos: 0, retain: false, dup: false } as const
      raw.send({ ...publish, topic, properties: { topicAlias: 5 } })
      raw.send({ ...publish, topic: '', properties: { topicAlias: 5 } })
      const first = await raw.packet('publish')
      const second = await raw.packet('publish')
      expect([first.topic, first.properties?.topicAlias]).toEqual([topic, 1])
      expect([second.topic, second.properties?.topicAlias]).toEqual(['', 1])
    })

    test.each([
      { title: 'an unknown alias', alias: 3, topic: '', code: 0x82 },
      { title: 'alias 0', alias: 0, topic: 'a', code: 0x94 },
      { title: 'an alias above the maximum', alias: 17, topic: 'a', code: 0x94 },
    ])('$title ends the connection', async ({ alias, topic, code }) => {
      const raw = await clients.login(5)
      const packet = Buffer.concat([
        Buffer.of(0x30, 2 + topic.length + 4, 0, topic.length),
        Buffer.from(topic),
        Buffer.of(3, 0x23, 0, alias),
      ])
      raw.write(packet)
      expect((await raw.packet('disconnect')).reasonCode).toBe(code)
      await raw.untilClosed()
    })

    test('no local, retain as published, retain handling', async () => {
      const base = name('t')
      const a = await clients.connect({ protocolVersion: 5 })
      const b = await clients.connect({ protocolVersion: 5 })
      await a.client.publishAsync(`${base}/r`, 'old', { qos: 1, retain: true })
      await a.client.subscribeAsync(`${base}/#`, { qos: 1, nl: true, rap: true, rh: 2 })
      await b.client.subscribeAsync(`${base}/#`, { qos: 0, nl: true, rap: true, rh: 1 })
      await b.client.subscribeAsync(`${base}/#`, { qos: 0, nl: true, rap: true, rh: 1 })
      await a.client.publishAsync(`${base}/a`, 'a', { qos: 1, retain: true })
      await b.client.publishAsync(`${base}/b`, 'b', { qos: 1 })
      expect(await a.got(1)).toEqual([`${base}/b b 1`])
      expect((await b.got(2)).sort()).toEqual([`${base}/a a 0 r`, `${base}/r old 0 r`])
    })

    test('the client’s receive maximum and packet size are kept to', async () => {
      const topic = name('t')
      const raw = await clients.login(5, {
        properties: { receiveMaximum: 2, maximumPacketSize: 60 },
      })
      raw.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] })
      await raw.packet('suback')
      const other = await clients.connect()
      await other.client.publishAsync(topic, 'x'.repeat(100), { qos: 1 })
      for (const each of ['1', '2', '3']) await other.client.publishAsync(topic, each, { qos: 1 })
      const first = await raw.packet('publish')
      const second = await raw.packet('publish')
      raw.send({ cmd: 'pingreq' })
      await raw.packet('pingresp')
      expect(raw.packets).toEqual([])
      raw.send({ cmd: 'puback', messageId: first.messageId ?? 0 })
      const third = await raw.packet('publish')
      expect([first, second, third].map(({ payload }) => payload.toString())).toEqual([
        '1',
        '2',
        '3',
      ])
    })

    test('a message expires while it waits', async () => {
      const topic = name('t')
      const options = {
        protocolVersion: 5,
        clientId: name('session'),
        clean: false,
        properties: { sessionExpiryInterval: 100 },
      } as const
      const first = await clients.connect(options)
      await first.client.subscribeAsync(topic, { qos: 1 })
      await first.client.endAsync()
      const other = await clients.connect({ protocolVersion: 5 })
      const properties = { messageExpiryInterval: 1 }
      await other.client.publishAsync(topic, 'short', { qos: 1, properties })
      await other.client.publishAsync(topic, 'long', { qos: 1 })
      await new Promise((resolve) => setTimeout(resolve, 1100))
      const second = await clients.connect(options)
      expect(await second.got(1)).toEqual([`${topic} long 1`])
    })

    test('PUBACK says when nobody wants a message', async () => {
      const raw = await clients.login(5)
      const publish = { cmd: 'publish', payload: 'x', qos: 1, retain: false, dup: false } as const
      raw.send({ ...publish, topic: name('nobody'), messageId: 1 })
      expect((await raw.packet('puback')).reasonCode).toBe(0x10)
    })

    test('a client without an id is given one; a session ends as DISCONNECT says', async () => {
      const raw = await clients.login(5, { clientId: '' })
      raw.close()
      const again = await clients.raw(5)
      again.send(connectPacket(5, { clientId: '' }))
      const { properties } = await again.packet('connack')
      expect(properties?.assignedClientIdentifier).toMatch(/^auto-/)
      const clientId = name('session')
      const keeps = await clients.login(5, {
        clientId,
        clean: false,
        properties: { sessionExpiryInterval: 100 },
      })
      keeps.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 0 } })
      await keeps.untilClosed()
      const later = await clients.raw(5)
      later.send(connectPacket(5, { clientId, clean: false }))
      expect((await later.packet('connack')).sessionPresent).toBe(false)
    })

    test('a delayed will waits for the client to come back', async () => {
      const topic = name('will')
      const watcher = await clients.connect()
      await watcher.client.subscribeAsync(topic, { qos: 1 })
      const options = (payload: string, willDelayInterval: number) => ({
        protocolVersion: 5 as const,
        clientId: name('session'),
        clean: false,
        properties: { sessionExpiryInterval: 100 },
        will: {
          topic,
          payload: Buffer.from(payload),
          qos: 1 as const,
          retain: false,
          properties: { willDelayInterval },
        },
      })
      const back = options('came back', 1)
      const first = await clients.connect(back)
      first.client.stream.destroy()
      const second = await clients.connect({ ...back, will: undefined })
      const gone = await clients.connect(options('stayed away', 1))
      gone.client.stream.destroy()
      expect(await watcher.got(1)).toEqual([`${topic} stayed away 1`])
      await second.client.endAsync()
    })
  })

  // What the gateway alone decides.
  describe.runIf(shards === 1)('refusals', () => {
    // Who may be guessing waits 3 s for the answer: all at once.
    test('what may be a guess', async () => {
      const refuse = async (version: number, fields: object): Promise<number | undefined> => {
        const raw = await clients.raw(version)
        raw.send(connectPacket(version, fields))
        const connack = await raw.packet('connack')
        await raw.untilClosed()
        return version === 5 ? connack.reasonCode : connack.returnCode
      }
      const codes = await Promise.all([
        refuse(4, { password: Buffer.from('wrong') }),
        refuse(5, { password: Buffer.from('wrong') }),
        refuse(4, { username: 'no such vhost:guest' }),
        refuse(5, { properties: { authenticationMethod: 'x' } }),
      ])
      expect(codes).toEqual([4, 0x86, 4, 0x8c])
    })

    test('no client id for a session that is to last [MQTT-3.1.3-8]', async () => {
      const raw = await clients.raw(4)
      raw.write(Buffer.from([0x10, 12, 0, 4, 77, 81, 84, 84, 4, 0, 0, 0, 0, 0]))
      expect((await raw.packet('connack')).returnCode).toBe(2)
      await raw.untilClosed()
    })

    test('an unknown version', async () => {
      const raw = await clients.raw(4)
      raw.write(Buffer.from([0x10, 12, 0, 4, 77, 81, 84, 84, 9, 2, 0, 0, 0, 0]))
      expect((await raw.packet('connack')).returnCode).toBe(1)
      await raw.untilClosed()
    })

    test('keep-alive runs out', async () => {
      const raw = await clients.login(5, { keepalive: 1 })
      expect((await raw.packet('disconnect')).reasonCode).toBe(0x8d)
    })

    test.each(['a/#/b', 'a#', '+a', '', '$share/g', '$share/+/a', '$share//a'])(
      'filter %j',
      async (topic) => {
        const raw = await clients.login(5)
        raw.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] })
        expect((await raw.packet('suback')).granted).toEqual([0x8f])
      },
    )
  })

  describe('with AMQP', () => {
    test('messages cross both ways, properties and all', async () => {
      const base = name('cross')
      const amqp = await amqpConnect(`amqp://guest:guest@127.0.0.1:${broker.port}`)
      const channel = await amqp.createConfirmChannel()
      const { queue } = await channel.assertQueue('', { exclusive: true })
      await channel.bindQueue(queue, 'amq.topic', `${base}.#`)
      const peer = await clients.connect({ protocolVersion: 5 })
      await peer.client.subscribeAsync({
        [`${base}/in/+`]: { qos: 0 },
        [`${base}/one/+`]: { qos: 1 },
      })
      await peer.client.publishAsync(`${base}/a/b`, 'from mqtt', {
        qos: 1,
        properties: {
          contentType: 'text/x',
          correlationData: Buffer.from('corr'),
          responseTopic: 'r/t',
          messageExpiryInterval: 60,
          userProperties: { k: 'v' },
        },
      })
      let got = await channel.get(queue, { noAck: true })
      await eventually('the message is there', async () => {
        if (got === false) got = await channel.get(queue, { noAck: true })
        return got !== false
      })
      if (got === false) throw new Error('nothing came')
      expect(got.content.toString()).toBe('from mqtt')
      expect(got.fields.routingKey).toBe(`${base}.a.b`)
      expect(got.properties).toMatchObject({
        contentType: 'text/x',
        correlationId: 'corr',
        deliveryMode: 2,
        expiration: '60000',
        headers: { k: 'v', 'x-reply-to-topic': 'r.t' },
      })
      const publish = (key: string, options: object): boolean =>
        channel.publish('amq.topic', key, Buffer.from('from amqp'), options)
      publish(`${base}.in.x`, { contentType: 'a/b', headers: { h: 1 }, correlationId: 'c' })
      publish(`${base}.one.x`, { persistent: true })
      publish(`${base}.one.y`, { persistent: false })
      await channel.waitForConfirms()
      expect((await peer.got(3)).sort()).toEqual([
        `${base}/in/x from amqp 0`,
        `${base}/one/x from amqp 1`,
        `${base}/one/y from amqp 0`,
      ])
      const first = peer.inbox.find(({ topic }) => topic === `${base}/in/x`)
      expect(first?.packet.properties).toMatchObject({
        contentType: 'a/b',
        correlationData: Buffer.from('c'),
        userProperties: { h: '1' },
      })
      await amqp.close()
    })
  })

  test('WebSockets carry the same', async () => {
    const url = `ws://127.0.0.1:${broker.portOf('http/web-mqtt')}/ws`
    for (const protocolVersion of [4, 5] as const) {
      const peer = await clients.connect({ protocolVersion }, url)
      const topic = name('ws')
      await peer.client.subscribeAsync(topic, { qos: 2 })
      await peer.client.publishAsync(topic, 'x'.repeat(100_000), { qos: 2 })
      expect(await peer.got(1)).toEqual([`${topic} ${'x'.repeat(100_000)} 2`])
    }
  })

  test('$SYS topics tell about the broker', async () => {
    const peer = await clients.connect()
    await peer.client.subscribeAsync('$SYS/broker/clients/+')
    const got = await peer.got(3)
    expect(got).toContainEqual(expect.stringMatching(/^\$SYS\/broker\/clients\/connected \d+ 0 r$/))
  })
})
