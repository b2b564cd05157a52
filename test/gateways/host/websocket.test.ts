import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ClientOptions } from 'ws'
import { WebSocket } from 'ws'
import { Gateway } from '../../../gateways/host/gateway.ts'
import type { ListenerPlan, TlsPlan, WebPlan } from '../../../gateways/host/listener-plan.ts'
import { basicLogin } from '../../../gateways/host/web-server.ts'
import type { ThreadReport } from '../../../shared/bus/mail.ts'
import { createGatewayStart } from '../../shared/bus/fake-shard.ts'
import { makeCertificates } from '../../support/certificates.ts'
import { eventually, pause } from '../../support/wait.ts'
import type { EchoSession } from './echo-session.ts'
import { EchoProtocol } from './echo-session.ts'

const web: WebPlan = {
  path: '/ws',
  origins: [],
  subprotocols: ['v11.stomp', 'v12.stomp', 'other'],
  binary: false,
  payloadBytesMax: 100_000,
  idleMs: 0,
  httpAuth: true,
}

const plan: ListenerPlan = {
  protocol: 'http/web-echo',
  name: 'default',
  host: '127.0.0.1',
  port: 0,
  backlog: 128,
  noDelay: true,
  keepAlive: false,
  shared: false,
  proxyMs: undefined,
  tls: undefined,
  web,
}

let echo: EchoProtocol
let other: EchoProtocol
let reports: ThreadReport[]
let gateway: Gateway
let clients: WebSocket[]

beforeEach(() => {
  echo = new EchoProtocol()
  other = new EchoProtocol()
  reports = []
  clients = []
})

afterEach(async () => {
  for (const client of clients) client.terminate()
  gateway.onMail({ mail: 'shutdown', reason: 'end of test' })
  await eventually('the gateway stops', () => reports.some(({ report }) => report === 'stopped'))
})

async function open(changes: Partial<ListenerPlan> = {}): Promise<number> {
  const loadWeb = async (name: string): Promise<EchoProtocol> => (name === 'other' ? other : echo)
  const services = [{ load: async () => echo, listeners: [{ ...plan, ...changes }], loadWeb }]
  gateway = new Gateway(createGatewayStart(1), services, (report) => reports.push(report))
  gateway.onMail({ mail: 'listen' })
  const found = await eventually('it listens', () =>
    reports.find((report) => report.report === 'listening'),
  )
  return found.report === 'listening' ? found.port : 0
}

interface WebClient {
  readonly socket: WebSocket
  /** What came, and whether as binary messages. */
  readonly messages: { readonly text: string; readonly binary: boolean }[]
  text(): string
  closed: number | undefined
}

async function client(
  url: string,
  protocols: readonly string[] = [],
  options: ClientOptions = {},
): Promise<WebClient> {
  const socket = new WebSocket(url, [...protocols], options)
  clients.push(socket)
  const messages: WebClient['messages'] = []
  const made: WebClient = {
    socket,
    messages,
    text: () => messages.map(({ text }) => text).join(''),
    closed: undefined,
  }
  socket.on('message', (bytes, binary) => messages.push({ text: String(bytes), binary }))
  socket.on('close', (code) => {
    made.closed = code
  })
  await new Promise<void>((done, failed) => {
    socket.once('open', done)
    socket.once('error', failed)
  })
  return made
}

function session(of = echo): Promise<EchoSession> {
  return eventually('a session', () => of.sessions[0])
}

describe('a WebSocket', () => {
  test('carries bytes both ways, as text or as binary messages', async () => {
    const port = await open()
    const plain = await client(`ws://127.0.0.1:${port}/ws`, ['v12.stomp'])
    plain.socket.send('h\u00e9llo')
    plain.socket.send(Buffer.from(' you'))
    await eventually('the echo', () => plain.text() === 'h\u00e9llo you')
    expect(plain.messages[0]?.binary).toBe(false)
    const binary = await client(`ws://127.0.0.1:${port}/ws/amqp`, ['other'])
    binary.socket.send('x')
    await eventually('the echo', () => binary.messages[0]?.binary === true)
    expect(other.sessions).toHaveLength(1)
  })

  test('is one message per flush, of whatever pieces', async () => {
    const port = await open()
    const { messages } = await client(`ws://127.0.0.1:${port}/ws`)
    const { host } = await session()
    host.out.reserve(4)
    host.out.at += host.out.bytes.write('head', host.out.at)
    let gone = 0
    host.out.view(Buffer.alloc(70_000, 'v'), () => gone++)
    host.out.reserve(4)
    host.out.at += host.out.bytes.write('tail', host.out.at)
    host.out.touch()
    gateway.loop.end()
    await eventually('the message', () => messages[0]?.text.length === 70_008)
    expect(messages).toHaveLength(1)
    expect(gone).toBe(1)
  })

  test('takes the first sub-protocol of the client that is served, or none', async () => {
    const port = await open()
    const url = `ws://127.0.0.1:${port}/ws`
    expect((await client(url, ['soap', 'v12.stomp', 'v11.stomp'])).socket.protocol).toBe(
      'v12.stomp',
    )
    expect((await client(url)).socket.protocol).toBe('')
    expect(echo.sessions[0]?.host.peer.web?.subprotocol).toBe('v12.stomp')
    expect(echo.sessions[1]?.host.peer.web?.subprotocol).toBe('')
  })

  test('is refused elsewhere, and to other origins', async () => {
    const port = await open({ web: { ...web, origins: ['https://shop.example'] } })
    const url = `ws://127.0.0.1:${port}`
    await expect(client(`${url}/nowhere`)).rejects.toThrow('404')
    await expect(client(`${url}/ws`)).rejects.toThrow('403')
    await expect(client(`${url}/ws`, [], { origin: 'https://evil.example' })).rejects.toThrow('403')
    await client(`${url}/ws`, [], { origin: 'https://shop.example' })
    const page = await fetch(`http://127.0.0.1:${port}/ws`)
    expect(page.status).toBe(426)
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404)
  })

  test('brings the login of HTTP Basic authentication', async () => {
    const port = await open()
    await client(`ws://kim:se%3Acret@127.0.0.1:${port}/ws`)
    expect((await session()).host.peer.web?.login).toEqual({ user: 'kim', password: 'se:cret' })
    expect(basicLogin('Basic !!')).toBeUndefined()
    expect(basicLogin('Bearer abc')).toBeUndefined()
  })

  test('that sends too large a message is closed with 1009', async () => {
    const port = await open()
    const made = await client(`ws://127.0.0.1:${port}/ws`)
    made.socket.send(Buffer.alloc(100_001))
    await eventually('it is closed', () => made.closed === 1009)
    await eventually('the session hears', () => echo.sessions[0]?.closes.length === 1)
  })

  test('ends in order from either side', async () => {
    const port = await open()
    const asked = await client(`ws://127.0.0.1:${port}/ws`)
    asked.socket.send('QUIT')
    await eventually('it is closed', () => asked.closed === 1000)
    expect(asked.text()).toBe('QUIT')
    await eventually('the session hears', () => echo.sessions[0]?.closes.length === 1)
    const leaving = await client(`ws://127.0.0.1:${port}/ws`)
    const second = await eventually('a session', () => echo.sessions[1])
    second.blocked = true
    leaving.socket.send('last words')
    leaving.socket.close()
    await eventually('it is closed', () => leaving.closed !== undefined)
    gateway.loop.poke()
    await eventually('the session hears', () => second.closes.length === 1)
    expect(second.bytes.toString()).toBe('last words')
    expect(second.closes).toEqual([undefined])
  })

  test('that vanishes, or sends no WebSocket frames, ends its session', async () => {
    const port = await open()
    const { socket } = await client(`ws://127.0.0.1:${port}/ws`)
    await session()
    socket.terminate()
    await eventually('the session hears', () => echo.sessions[0]?.closes.length === 1)
    const raw = connect(port, '127.0.0.1')
    raw.on('error', () => {})
    raw.write(
      'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    const second = await eventually('a session', () => echo.sessions[1])
    raw.write(Buffer.alloc(100, 0xff))
    await eventually('the session hears', () => second.closes.length === 1)
    raw.destroy()
  })

  test('is not read while its session is blocked', async () => {
    const port = await open()
    const { socket, text } = await client(`ws://127.0.0.1:${port}/ws`)
    const { received } = await session()
    const blocked = await session()
    blocked.blocked = true
    blocked.resumes = false
    for (let i = 0; i < 400; i++) socket.send('x'.repeat(50_000))
    await pause(300)
    expect(received).toEqual([])
    expect(socket.bufferedAmount).toBeGreaterThan(1_000_000)
    blocked.resumes = true
    gateway.loop.poke()
    await eventually('all comes back', () => text().length === 400 * 50_000)
  })

  test('that is silent is asked, and dropped when it does not answer', async () => {
    const port = await open({ web: { ...web, idleMs: 1500 } })
    const lively = await client(`ws://127.0.0.1:${port}/ws`)
    const deaf = await client(`ws://127.0.0.1:${port}/ws`, [], { autoPong: false })
    await eventually('the deaf one is dropped', () => deaf.closed === 1006)
    expect(lively.closed).toBeUndefined()
  })

  test('may come through a proxy', async () => {
    const port = await open({ proxyMs: 300 })
    const raw = connect(port, '127.0.0.1')
    raw.on('error', () => {})
    raw.write(
      'PROXY TCP4 10.1.2.3 10.0.0.2 777 80\r\nGET /ws HTTP/1.1\r\nHost: x\r\n' +
        'Upgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    expect((await session()).host.peer).toMatchObject({
      name: '10.1.2.3:777 -> 10.0.0.2:80',
      address: '10.1.2.3',
      loopback: false,
    })
    raw.destroy()
    const silent = connect(port, '127.0.0.1')
    await new Promise<void>((done) => silent.once('close', () => done()).resume())
  })

  test('may be encrypted, and come through a proxy all the same', async () => {
    const certificates = makeCertificates('kim')
    const tls: TlsPlan = {
      certFile: certificates.serverCertFile,
      keyFile: certificates.serverKeyFile,
      caFile: certificates.caFile,
      passphrase: '',
      verifyPeer: false,
      requirePeer: false,
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      handshakeMs: 3000,
      loginFrom: 'common_name',
    }
    const port = await open({ tls, proxyMs: 3000 })
    const raw = connect(port, '127.0.0.1')
    await new Promise<void>((done) => raw.once('connect', () => done()))
    raw.write('PROXY TCP4 10.1.2.3 10.0.0.2 777 443\r\n')
    const made = await client(`wss://127.0.0.1:${port}/ws`, ['v12.stomp'], {
      createConnection: () => connectTls({ socket: raw, rejectUnauthorized: false }),
    })
    made.socket.send('secret')
    await eventually('the echo', () => made.text() === 'secret')
    const { peer } = echo.sessions[0]?.host ?? {}
    expect(peer).toMatchObject({ tls: true, address: '10.1.2.3', localPort: 443 })
    certificates.remove()
  }, 60_000)
})
