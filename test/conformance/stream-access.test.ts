// Who may do what by the stream protocol, also when that changes while they do it; TLS; and where
// clients are told to come to.

import { createRequire } from 'node:module'
import type * as Streams from 'rabbitmq-stream-js-client'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { AdminCommand, Broker } from '../support/broker.ts'
import { externalBroker, startWarren } from '../support/broker.ts'
import type { Certificates } from '../support/certificates.ts'
import { makeCertificates } from '../support/certificates.ts'
import {
  Command,
  oneMessage,
  plain,
  StreamPeer,
  text,
  u8,
  u16,
  u32,
} from '../support/stream-peer.ts'
import { eventually } from '../support/wait.ts'

const { connect, Offset } = createRequire(import.meta.url)(
  'rabbitmq-stream-js-client',
) as typeof Streams

const ok = 1
const streamUnavailable = 6
const accessRefused = 16
const suite = externalBroker() === undefined ? describe : describe.skip

suite('stream protocol: access and addresses', () => {
  let broker: Broker
  let certificates: Certificates
  const peers: StreamPeer[] = []

  beforeAll(async () => {
    certificates = makeCertificates('cert-user')
    broker = await startWarren({
      listen: ['stream', 'stream/ssl'],
      admin: true,
      settings: [
        'shards=2',
        `ssl_options.cacertfile=${certificates.caFile}`,
        `ssl_options.certfile=${certificates.serverCertFile}`,
        `ssl_options.keyfile=${certificates.serverKeyFile}`,
        'stream.advertised_host=streams.example',
        'stream.advertised_port=15552',
      ],
    })
    for (const name of ['a', 'b']) {
      await must({ op: 'addUser', name, password: name, tags: [] })
      await allow(name, '.*', '.*')
    }
  }, 30_000)
  afterEach(() => {
    for (const peer of peers.splice(0)) peer.end()
  })
  afterAll(async () => {
    await broker.stop()
    certificates.remove()
  })

  async function must(command: AdminCommand): Promise<void> {
    expect((await broker.admin(command)).error).toBe(undefined)
  }

  async function allow(user: string, write: string, read: string): Promise<void> {
    await must({ op: 'setPermissions', user, vhost: '/', configure: '.*', write, read })
  }

  async function login(user: string): Promise<StreamPeer> {
    const peer = await StreamPeer.login(broker.portOf('stream'), user)
    peers.push(peer)
    return peer
  }

  /** Publishes to and reads a stream, which is created where there is none. */
  async function use(peer: StreamPeer, stream: string, id: number = 1): Promise<void> {
    await peer.call(Command.create, text(stream), u32(0))
    expect((await peer.call(...declare(id, stream))).code).toBe(ok)
    expect((await peer.call(...subscribe(id, stream))).code).toBe(ok)
  }

  it('serves over TLS, and sends such clients back to the TLS listener', async () => {
    const client = await connect({
      hostname: '127.0.0.1',
      port: broker.portOf('stream/ssl'),
      username: 'guest',
      password: 'guest',
      vhost: '/',
      ssl: { ca: certificates.ca.toString(), cert: '', key: '' },
    })
    try {
      const stream = 'over-tls'
      await client.createStream({ stream, arguments: {} })
      const publisher = await client.declarePublisher({ stream })
      const body = Buffer.alloc(300_000, 'tls')
      await publisher.send(body)
      await publisher.flush()
      const got: Buffer[] = []
      await client.declareConsumer({ stream, offset: Offset.first() }, (message) => {
        got.push(message.content)
      })
      await eventually('it has come', () => got.length > 0)
      expect(got[0]?.equals(body)).toBe(true)
      const [info] = await client.queryMetadata({ streams: [stream] })
      const { host, port } = info?.leader ?? {}
      expect([host, port]).toEqual(['127.0.0.1', broker.portOf('stream/ssl')])
    } finally {
      await client.close()
    }
  })

  it('tells others the address that is configured', async () => {
    const peer = await login('guest')
    await use(peer, 'advertised')
    peer.send(Command.metadata, u32(99), u32(1), text('advertised'))
    const { body } = await peer.next(Command.metadata | 0x8000)
    const broker = Buffer.concat([u32(1), u16(0), text('streams.example'), u32(15_552)])
    expect(body.subarray(4, 4 + broker.length).equals(broker)).toBe(true)
  })

  it('ends what a user may no longer do when it says who it is again', async () => {
    const [peer, other] = [await login('a'), await login('b')]
    for (const each of [peer, other]) await use(each, 'shared')
    await use(peer, 'kept', 2)
    await allow('a', '^kept$', '^kept$')
    expect((await peer.call(Command.authenticate, plain('a', 'a'))).code).toBe(ok)
    const update = await peer.next(Command.metadataUpdate)
    expect(update.body).toEqual(Buffer.concat([u16(streamUnavailable), text('shared')]))
    expect((await peer.call(...declare(5, 'shared'))).code).toBe(accessRefused)
    expect((await peer.call(...subscribe(5, 'shared'))).code).toBe(accessRefused)
    // What it may do still, and others, go on.
    peer.send(Command.publish, oneMessage(2, 7, 'kept'))
    expect((await peer.next(Command.confirm)).body.readUInt32BE(9)).toBe(7)
    other.send(Command.publish, oneMessage(1, 8, 'theirs'))
    expect((await other.next(Command.deliver)).body.includes('theirs')).toBe(true)
    expect(peer.frames.filter(({ key }) => key === Command.deliver)).toHaveLength(1)
    await allow('a', '.*', '.*')
  })

  it('takes nothing more from a publisher whose permission is taken away', async () => {
    const peer = await login('a')
    await use(peer, 'shared')
    await allow('a', '^kept$', '.*')
    peer.send(Command.publish, oneMessage(1, 9, 'too late'))
    await peer.next(Command.metadataUpdate)
    await allow('a', '.*', '.*')
    const other = await login('a')
    await use(other, 'shared')
    other.send(Command.publish, oneMessage(1, 10, 'in time'))
    await other.next(Command.confirm)
    await other.next(Command.deliver)
    const bodies = other.frames.filter(({ key }) => key === Command.deliver)
    expect(bodies.some(({ body }) => body.includes('too late'))).toBe(false)
  })

  it('closes the connections of a user that is deleted', async () => {
    const [peer, other] = [await login('b'), await login('a')]
    await use(peer, 'shared')
    await must({ op: 'deleteUser', name: 'b' })
    await eventually('it is closed', () => peer.closed)
    await use(other, 'shared')
  })
})

type Call = [key: number, ...parts: Buffer[]]

function declare(id: number, stream: string): Call {
  return [Command.declarePublisher, u8(id), text(''), text(stream)]
}

/** From the first message on. */
function subscribe(id: number, stream: string): Call {
  return [Command.subscribe, u8(id), text(stream), u16(1), u16(10), u32(0)]
}
