// Who may do what by MQTT, where a client gets its vhost from, and what keeps clients in bounds.

import { connect as connectTls } from 'node:tls'
import { connect as amqpConnect } from 'amqplib'
import type { IClientOptions } from 'mqtt'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { AdminCommand, Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import type { Certificates } from '../support/certificates.ts'
import { makeCertificates } from '../support/certificates.ts'
import { connectPacket, MqttClients, name } from '../support/mqtt-clients.ts'
import { eventually } from '../support/wait.ts'

async function must(broker: Broker, command: AdminCommand): Promise<void> {
  expect((await broker.admin(command)).error).toBe(undefined)
}

async function addUser(broker: Broker, user: string, write: string, read: string): Promise<void> {
  await must(broker, { op: 'addUser', name: user, password: user, tags: [] })
  const permissions = { configure: '^mqtt-subscription-', write: '.*', read: '.*' }
  await must(broker, { op: 'setPermissions', user, vhost: '/', ...permissions })
  await must(broker, {
    op: 'setTopicPermissions',
    user,
    vhost: '/',
    exchange: 'amq.topic',
    write,
    read,
  })
}

describe('by default', () => {
  let broker: Broker
  let clients: MqttClients
  beforeAll(async () => {
    broker = await startWarren({ listen: ['mqtt'], admin: true, settings: ['shards=1'] })
    clients = new MqttClients(broker)
    await addUser(broker, 'device', '^out\\.{client_id}\\.', '^in\\.{client_id}\\.')
    await must(broker, { op: 'addVhost', name: 'other' })
    const all = { configure: '.*', write: '.*', read: '.*' }
    await must(broker, { op: 'setPermissions', user: 'guest', vhost: 'other', ...all })
  }, 30_000)
  afterEach(() => clients.tidy())
  afterAll(() => broker.stop())

  const login = { username: 'device', password: Buffer.from('device') }

  test('topic permissions hold for the client’s own id', async () => {
    const watcher = await clients.connect()
    await watcher.client.subscribeAsync('out/#', { qos: 1 })
    for (const clientId of [name('a'), name('b')]) {
      const own = await clients.connect({ username: 'device', password: 'device', clientId })
      await own.client.publishAsync(`out/${clientId}/x`, clientId, { qos: 1 })
      await own.client.publishAsync(`out/${clientId}/r`, clientId, { qos: 1, retain: true })
      const granted = await own.client.subscribeAsync(`in/${clientId}/+`, { qos: 1 })
      expect(granted[0]?.qos).toBe(1)
    }
    expect(await watcher.got(4)).toHaveLength(4)
  })

  test.each([
    [
      'a publish',
      {
        cmd: 'publish',
        topic: 'out/other/x',
        payload: '',
        qos: 1,
        messageId: 1,
        dup: false,
        retain: false,
      },
    ],
    [
      'a retained publish',
      { cmd: 'publish', topic: 'out/other/x', payload: 'x', qos: 0, dup: false, retain: true },
    ],
    [
      'a subscription of QoS 0',
      { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'in/#', qos: 0 }] },
    ],
    [
      'a subscription of QoS 1',
      { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'in/#', qos: 1 }] },
    ],
  ] as const)('%s beyond them ends the connection', async (_, packet) => {
    const raw = await clients.login(5, { ...login, clientId: name('d') })
    raw.send(packet as Parameters<typeof raw.send>[0])
    expect((await raw.packet('disconnect')).reasonCode).toBe(0x87)
    const reader = await clients.connect()
    await reader.client.subscribeAsync('out/other/x')
    await reader.client.publishAsync('out/other/x', 'end', { qos: 1 })
    expect(await reader.got(1)).toEqual(['out/other/x end 0'])
  })

  test('a will beyond them is refused with CONNACK', async () => {
    const raw = await clients.raw(5)
    const will = { topic: 'out/other', payload: Buffer.from('x'), qos: 0, retain: false }
    raw.send(connectPacket(5, { ...login, will }))
    expect((await raw.packet('connack')).reasonCode).toBe(0x87)
  })

  test('a user who may not enter the vhost is told so', async () => {
    const raw = await clients.raw(4)
    raw.send(connectPacket(4, { ...login, username: 'other:device' }))
    expect((await raw.packet('connack')).returnCode).toBe(5)
  })

  test('vhosts by user name and by port are worlds apart', async () => {
    const here = await clients.connect()
    const there = await clients.connect({ username: 'other:guest' })
    for (const { client } of [here, there]) await client.subscribeAsync('w/#', { qos: 1 })
    await there.client.publishAsync('w/1', 'there', { qos: 1, retain: true })
    await here.client.publishAsync('w/2', 'here', { qos: 1 })
    expect(await here.got(1)).toEqual(['w/2 here 1'])
    expect(await there.got(1)).toEqual(['w/1 there 1'])
    const value = { [String(clients.port)]: 'other' }
    await must(broker, { op: 'setGlobalParameter', name: 'mqtt_port_to_vhost_mapping', value })
    await eventually('the port’s vhost is other', async () => {
      const peer = await clients.connect()
      await peer.client.subscribeAsync('w/#', { qos: 1 })
      await peer.client.publishAsync('w/3', 'end', { qos: 0 })
      return (await peer.got(1))[0] === 'w/1 there 1 r'
    })
    await must(broker, { op: 'clearGlobalParameter', name: 'mqtt_port_to_vhost_mapping' })
  })

  test('no credentials log in as the anonymous user', async () => {
    const raw = await clients.raw(5)
    raw.send(connectPacket(5, { username: undefined, password: undefined }))
    expect((await raw.packet('connack')).reasonCode).toBe(0)
  })
})

describe('with limits', () => {
  let broker: Broker
  let clients: MqttClients
  beforeAll(async () => {
    const settings = [
      'shards=1',
      'mqtt.allow_anonymous=false',
      'mqtt.disconnect_on_unauthorized=false',
      'mqtt.receive_maximum=2',
      'mqtt.max_packet_size_unauthenticated=200',
      'mqtt.max_packet_size_authenticated=10000',
      'mqtt.max_keepalive=100',
      'mqtt.max_session_expiry_interval_seconds=50',
      'mqtt.slow_consumer_limit=64KiB',
      'mqtt.login_timeout=1000',
    ]
    broker = await startWarren({ listen: ['mqtt'], admin: true, settings })
    clients = new MqttClients(broker)
    await addUser(broker, 'device', '^out', '^in')
  }, 30_000)
  afterEach(() => clients.tidy())
  afterAll(() => broker.stop())

  test('CONNACK tells them', async () => {
    const raw = await clients.raw(5)
    const properties = { sessionExpiryInterval: 1000 }
    raw.send(connectPacket(5, { keepalive: 0, clean: false, properties }))
    expect((await raw.packet('connack')).properties).toMatchObject({
      receiveMaximum: 2,
      maximumPacketSize: 10_000,
      serverKeepAlive: 100,
      sessionExpiryInterval: 50,
    })
  })

  test('more unacknowledged publishes than allowed end the connection', async () => {
    const raw = await clients.login(5)
    const publish = {
      cmd: 'publish',
      topic: 'x',
      payload: '',
      qos: 2,
      dup: false,
      retain: false,
    } as const
    for (const messageId of [1, 2, 3]) raw.send({ ...publish, messageId })
    expect((await raw.packet('disconnect')).reasonCode).toBe(0x93)
  })

  test('a packet larger than allowed ends the connection', async () => {
    const before = await clients.raw(4)
    before.send(connectPacket(4, { clientId: 'x'.repeat(200) }))
    await before.untilClosed()
    const after = await clients.login(5)
    after.write(Buffer.from([0x30, 0xff, 0x7f]))
    expect((await after.packet('disconnect')).reasonCode).toBe(0x95)
  })

  test('who is not allowed is told, and the connection goes on', async () => {
    const login = { username: 'device', password: Buffer.from('device') }
    const raw = await clients.login(5, login)
    const publish = { cmd: 'publish', payload: '', qos: 1, dup: false, retain: false } as const
    raw.send({ ...publish, topic: 'no', messageId: 1 })
    raw.send({ ...publish, topic: 'out', messageId: 2 })
    const acks = [await raw.packet('puback'), await raw.packet('puback')]
    expect(acks.map(({ messageId, reasonCode }) => [messageId, reasonCode])).toEqual([
      [1, 0x87],
      [2, 0x10],
    ])
    const subscriptions = [0, 1].flatMap((qos) => [
      { topic: 'no', qos: qos as 0 | 1 },
      { topic: 'in', qos: qos as 0 | 1 },
    ])
    raw.send({ cmd: 'subscribe', messageId: 3, subscriptions })
    expect((await raw.packet('suback')).granted).toEqual([0x87, 0, 0x87, 1])
  })

  test('without credentials there is no way in, and who says nothing is not waited for', async () => {
    const raw = await clients.raw(5)
    const silent = await clients.raw(5)
    raw.send(connectPacket(5, { username: undefined, password: undefined }))
    await silent.untilClosed()
    expect((await raw.packet('connack')).reasonCode).toBe(0x86)
  })

  test('messages for a client that does not read are dropped, and it still works', async () => {
    const slow = await clients.login(4)
    slow.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'slow', qos: 0 }] })
    await slow.packet('suback')
    slow.pause()
    const other = await clients.connect()
    await other.client.subscribeAsync('$SYS/broker/publish/messages/dropped')
    const payload = Buffer.alloc(9000, 1)
    const dropped = async (): Promise<boolean> => {
      for (let i = 0; i < 200; i++) await other.client.publishAsync('slow', payload)
      await other.client.unsubscribeAsync('$SYS/broker/publish/messages/dropped')
      await other.client.subscribeAsync('$SYS/broker/publish/messages/dropped')
      return Number(other.inbox.at(-1)?.payload) > 0
    }
    await eventually('messages are dropped', dropped, 20_000)
    slow.resume()
    slow.send({ cmd: 'pingreq' })
    await slow.packet('pingresp')
  })
})

describe('over TLS, strictly', () => {
  let certificates: Certificates
  let broker: Broker
  let clients: MqttClients
  beforeAll(async () => {
    certificates = makeCertificates('device')
    const settings = [
      'shards=1',
      'mqtt.ban_after=2',
      'mqtt.ban_time=1000',
      'mqtt.slow_consumer_limit=64KiB',
      'mqtt.slow_consumer_policy=disconnect',
      `ssl_options.cacertfile=${certificates.caFile}`,
      `ssl_options.certfile=${certificates.serverCertFile}`,
      `ssl_options.keyfile=${certificates.serverKeyFile}`,
      'ssl_options.verify=verify_peer',
      'ssl_options.fail_if_no_peer_cert=false',
      'ssl_cert_login_from=common_name',
      'mqtt.ssl_cert_login=true',
      'mqtt.ssl_cert_client_id_from=distinguished_name',
    ]
    broker = await startWarren({ listen: ['mqtt/ssl'], admin: true, settings })
    clients = new MqttClients(broker)
    await addUser(broker, 'device', '.*', '.*')
    await must(broker, { op: 'addVhost', name: 'fleet' })
    const all = { configure: '.*', write: '.*', read: '.*' }
    for (const user of ['device', 'guest']) {
      await must(broker, { op: 'setPermissions', user, vhost: 'fleet', ...all })
    }
    const value = { device: 'fleet' }
    await must(broker, { op: 'setGlobalParameter', name: 'mqtt_default_vhosts', value })
  }, 30_000)
  afterEach(() => clients.tidy())
  afterAll(async () => {
    await broker.stop()
    certificates.remove()
  })

  const url = (): string => `mqtts://127.0.0.1:${broker.portOf('mqtt/ssl')}`
  const withCertificate = (clientId: string): IClientOptions => {
    const { ca, clientCert: cert, clientKey: key } = certificates
    const nobody = { username: undefined, password: undefined } as object
    return { protocolVersion: 5, clientId, ca, cert, key, ...nobody }
  }

  test('a certificate says the user, the vhost and the client id', async () => {
    const device = await clients.connect(withCertificate('CN=device,O=test'), url())
    await device.client.subscribeAsync('w', { qos: 1 })
    const amqp = await amqpConnect(`amqp://guest:guest@127.0.0.1:${broker.port}/fleet`)
    const channel = await amqp.createConfirmChannel()
    channel.publish('amq.topic', 'w', Buffer.from('in its vhost'), { persistent: true })
    await channel.waitForConfirms()
    await amqp.close()
    expect(await device.got(1)).toEqual(['w in its vhost 1'])
    await expect(clients.connect(withCertificate('another'), url())).rejects.toThrow(/Not auth/)
  })

  test('a client that does not read is disconnected, where the policy says so', async () => {
    const slow = await clients.connect(withCertificate('CN=device,O=test'), url())
    await slow.client.subscribeAsync('slow')
    slow.client.stream.pause()
    let closed = false
    slow.client.on('close', () => {
      closed = true
    })
    const amqp = await amqpConnect(`amqp://guest:guest@127.0.0.1:${broker.port}/fleet`)
    const channel = await amqp.createConfirmChannel()
    const body = Buffer.alloc(60_000, 1)
    await eventually('it is disconnected', async () => {
      for (let i = 0; i < 50; i++) channel.publish('amq.topic', 'slow', body)
      await channel.waitForConfirms()
      return broker.process?.output().includes('the client reads too slowly') === true
    })
    await amqp.close()
    slow.client.stream.resume()
    await eventually('its connection is closed', () => closed)
  })

  test('an address that sends malformed packets is refused for a while', async () => {
    const { ca } = certificates
    const attempt = (bytes: Uint8Array): Promise<string> => {
      return new Promise((resolve) => {
        const socket = connectTls({ port: broker.portOf('mqtt/ssl'), host: '127.0.0.1', ca })
        let got = ''
        socket.on('secureConnect', () => socket.write(bytes))
        socket.on('data', (data: Buffer) => {
          got = data.toString('hex')
          socket.destroy()
        })
        socket.on('error', () => undefined)
        socket.on('close', () => resolve(got))
      })
    }
    const malformed = Buffer.from([0x10, 2, 0, 0])
    const unnamed = Buffer.from([0x10, 12, 0, 4, 77, 81, 84, 84, 4, 0, 0, 0, 0, 0])
    // What is well-formed has an answer.
    expect(await attempt(unnamed)).toBe('20020002')
    for (let i = 0; i < 2; i++) expect(await attempt(malformed)).toBe('')
    expect(await attempt(unnamed)).toBe('')
    await eventually('the ban ends', async () => (await attempt(unnamed)) === '20020002')
  })
})
