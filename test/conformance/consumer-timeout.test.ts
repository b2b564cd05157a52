// Consumers that hold deliveries for too long: their channel (session, connection) is closed, and what it
// held goes back.

import type { EventContext } from 'rhea'
import rhea from 'rhea'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients, channelError, consume, getOne, send } from '../support/clients.ts'
import { MqttClients } from '../support/mqtt-clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { StompClient } from '../support/stomp-client.ts'
import { eventually, pause, within } from '../support/wait.ts'

describeBrokers(
  'a consumer timeout',
  (use) => {
    function timedOut(ms: number): string {
      return (
        `PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: ${ms} ms. ` +
        'This timeout value can be configured, see consumers doc guide to learn more'
      )
    }

    it.each(['classic', 'quorum'])('of a %s queue closes the channel', async (type) => {
      const connection = await use().connect()
      const [channel, other] = [await use().channel(connection), await use().channel(connection)]
      const queue = use().name('q')
      await other.assertQueue(queue, {
        arguments: { 'x-queue-type': type, 'x-consumer-timeout': 200 },
      })
      send(other, queue, 'held')
      const inbox = await consume(channel, queue)
      await inbox.bodies(1)
      const error = await channelError(channel, () => {})
      expect(error).toEqual({ code: 406, text: timedOut(200), classId: 0, methodId: 0 })
      const again = await eventually('it comes back', () => getOne(other, queue, { noAck: true }))
      expect(again.content.toString()).toBe('held')
      expect(again.fields.redelivered).toBe(true)
    })

    it('of a consumer wins over that of its queue', async () => {
      const connection = await use().connect()
      const [first, second] = [await use().channel(connection), await use().channel(connection)]
      const queue = use().name('q')
      await first.assertQueue(queue, { arguments: { 'x-consumer-timeout': 100 } })
      send(first, queue, 'a')
      const patient = await consume(second, queue, { arguments: { 'x-consumer-timeout': 600_000 } })
      await patient.bodies(1)
      await pause(600)
      for (const message of patient.messages) second.ack(message)
      await second.checkQueue(queue)
      await second.cancel(patient.consumerTag)
      send(first, queue, 'b')
      const hasty = await consume(first, queue, { arguments: { 'x-consumer-timeout': 300 } })
      await hasty.bodies(1)
      expect((await channelError(first, () => {})).text).toBe(timedOut(300))
    })

    it('holds for what basic.get has taken, and for nothing that is acknowledged in time', async () => {
      const channel = await use().channel()
      const queue = use().name('q')
      await channel.assertQueue(queue, { arguments: { 'x-consumer-timeout': 400 } })
      for (let i = 0; i < 6; i++) {
        send(channel, queue, `${i}`)
        const got = await eventually('a message', () => getOne(channel, queue))
        await pause(150)
        channel.ack(got)
      }
      send(channel, queue, 'last')
      await eventually('a message', () => getOne(channel, queue))
      expect((await channelError(channel, () => {})).text).toBe(timedOut(400))
    })
  },
  { warrenOnly: true, profiles: PROFILES.slice(0, 2) },
)

describe('a consumer timeout of other protocols', () => {
  let broker: Broker
  let clients: Clients

  beforeAll(async () => {
    broker = await startWarren({ settings: ['shards=3'], listen: ['mqtt', 'stomp'], admin: true })
    clients = new Clients(broker)
  })

  afterAll(async () => {
    await clients.close()
    await broker.stop()
  })

  async function held(): Promise<string> {
    const queue = clients.name('q')
    const channel = await clients.channel()
    await channel.assertQueue(queue, { arguments: { 'x-consumer-timeout': 200 } })
    send(channel, queue, 'held')
    return queue
  }

  async function comesBack(queue: string): Promise<void> {
    const channel = await clients.channel()
    const again = await eventually('it comes back', () => getOne(channel, queue, { noAck: true }))
    expect(again.fields.redelivered).toBe(true)
  }

  it('ends a STOMP connection', async () => {
    const queue = await held()
    const client = await StompClient.login(broker.portOf('stomp'))
    client.send('SUBSCRIBE', { destination: `/amq/queue/${queue}`, id: '1', ack: 'client' })
    await client.expect('MESSAGE')
    const error = await client.expect('ERROR')
    expect(error.body.toString()).toContain('delivery acknowledgement timed out')
    await client.whenClosed()
    await comesBack(queue)
  })

  it('ends an AMQP 1.0 session', async () => {
    const queue = await held()
    const { host, port } = broker
    const login = { host, port, username: 'guest', password: 'guest', reconnect: false } as const
    const connection = rhea.create_container().connect(login)
    const error = new Promise<string | undefined>((resolve) => {
      connection.on('session_error', ({ session }: EventContext) => {
        resolve((session?.error as { condition?: string } | undefined)?.condition)
      })
    })
    connection.open_receiver({ source: `/queues/${queue}`, autoaccept: false })
    expect(await within('the session ends', error, 10_000)).toBe('amqp:precondition-failed')
    await comesBack(queue)
    connection.close()
  })

  it('ends an MQTT connection', async () => {
    const definition = { 'consumer-timeout': 200 }
    await broker.admin({ op: 'setPolicy', vhost: '/', name: 'p', pattern: '^mqtt-', definition })
    const raw = await new MqttClients(broker).login(5, {
      clean: false,
      properties: { sessionExpiryInterval: 1000 },
    })
    raw.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'held/#', qos: 1 }] })
    await raw.packet('suback')
    const channel = await clients.channel()
    channel.publish('amq.topic', 'held.a', Buffer.from('m'), { persistent: true })
    await raw.packet('publish')
    expect((await raw.packet('disconnect')).reasonCode).toBe(0x83)
    await raw.untilClosed()
  })
})
