import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Gateway } from '../../../gateways/host/gateway.ts'
import type { ListenerPlan } from '../../../gateways/host/listener-plan.ts'
import type { GatewayStart, ThreadReport } from '../../../shared/bus/mail.ts'
import { Record } from '../../../shared/bus/wire.ts'
import { createGatewayStart, FakeShard } from '../../shared/bus/fake-shard.ts'
import { eventually, pause } from '../../support/wait.ts'
import type { EchoSession } from './echo-session.ts'
import { EchoProtocol } from './echo-session.ts'

let start: GatewayStart
let shard: FakeShard
let echo: EchoProtocol
let reports: ThreadReport[]
let gateway: Gateway
let sockets: Socket[]

const plan: ListenerPlan = {
  protocol: 'echo',
  name: 'default',
  host: '127.0.0.1',
  port: 0,
  backlog: 128,
  noDelay: true,
  keepAlive: false,
  shared: false,
  proxyMs: undefined,
  tls: undefined,
  web: undefined,
}

function open(listeners: readonly ListenerPlan[]): void {
  gateway = new Gateway(start, [{ load: async () => echo, listeners }], (report) =>
    reports.push(report),
  )
  gateway.onMail({ mail: 'listen' })
}

beforeEach(() => {
  start = createGatewayStart(1)
  shard = new FakeShard(start, 0)
  echo = new EchoProtocol()
  reports = []
  sockets = []
})

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  gateway.onMail({ mail: 'shutdown', reason: 'end of test' })
  await eventually('the gateway stops', () => reports.some(({ report }) => report === 'stopped'))
})

async function port(): Promise<number> {
  const found = await eventually('it listens', () =>
    reports.find((report) => report.report === 'listening'),
  )
  return found.report === 'listening' ? found.port : 0
}

async function client(): Promise<{ socket: Socket; session: EchoSession; text: () => string }> {
  const count = echo.sessions.length
  const socket = connect({ port: await port(), host: '127.0.0.1', allowHalfOpen: true })
  sockets.push(socket)
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  const session = await eventually('a session', () => echo.sessions[count])
  return { socket, session, text: () => text }
}

/** A record that concerns nobody. */
function ringGateway(): void {
  shard.writeWords(Record.want, [99])
  shard.flush()
}

describe('a gateway', () => {
  test('says that it is ready, where it listens, and that it has stopped', async () => {
    open([plan])
    expect(reports).toEqual([{ report: 'ready' }])
    expect(await port()).toBeGreaterThan(0)
    expect(reports[1]).toMatchObject({ protocol: 'echo', address: '127.0.0.1' })
  })

  test('says which address it cannot have', async () => {
    const other = createServer()
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done))
    const address = other.address()
    const taken = typeof address === 'object' && address !== null ? address.port : 0
    open([{ ...plan, port: taken }])
    const failed = await eventually('it fails', () =>
      reports.find((report) => report.report === 'failed'),
    )
    expect(failed).toMatchObject({ text: expect.stringContaining(`127.0.0.1:${taken}`) })
    expect(failed).toMatchObject({ text: expect.stringContaining('EADDRINUSE') })
    other.close()
  })

  test('tells sessions on shutdown, lets them end, then stops', async () => {
    open([plan])
    const { socket, session, text } = await client()
    const ended = new Promise<void>((done) => socket.once('end', done))
    gateway.onMail({ mail: 'shutdown', reason: 'maintenance' })
    await ended
    socket.end()
    expect(text()).toBe('bye')
    expect(session.calls).toContain('shutdown maintenance')
    await eventually('it stops', () => reports.at(-1)?.report === 'stopped')
  })
})

describe('a connection', () => {
  beforeEach(() => open([plan]))

  test('knows its peer', async () => {
    const { socket, session } = await client()
    expect(session.host.peer).toMatchObject({
      name: `127.0.0.1:${socket.localPort} -> 127.0.0.1:${await port()}`,
      loopback: true,
      tls: false,
      certificateUser: undefined,
    })
  })

  test('carries bytes both ways in order', async () => {
    const { socket, session, text } = await client()
    const sent = Array.from({ length: 50_000 }, (_, i) => `${i},`).join('')
    socket.write(sent)
    await eventually('all comes back', () => text().length === sent.length)
    expect(text()).toBe(sent)
    expect(session.bytes.toString()).toBe(sent)
    expect(session.flushes).toBeGreaterThan(0)
  })

  test('is not fed while blocked, is asked to resume when the bus moves, and loses nothing', async () => {
    const { socket, session, text } = await client()
    session.blockEach = true
    const sent = 'x'.repeat(300_000)
    socket.write(sent)
    await eventually('the first chunk', () => session.received.length === 1)
    await pause(50)
    expect(session.received).toHaveLength(1)
    await eventually('all comes back', () => {
      ringGateway()
      return text().length === sent.length
    })
    expect(session.calls.length).toBeGreaterThanOrEqual(session.received.length - 1)
  })

  test('takes in what a peer sent before its end, even while blocked', async () => {
    const { socket, session, text } = await client()
    session.blocked = true
    socket.end('last words')
    await pause(50)
    expect(session.received).toEqual([])
    ringGateway()
    await eventually('it is over', () => session.closes.length === 1)
    expect(session.bytes.toString()).toBe('last words')
    expect(text()).toBe('last words')
    expect(session.closes).toEqual([undefined])
  })

  test('flushes before it ends, and takes no more input', async () => {
    const { socket, session, text } = await client()
    socket.write('QUIT')
    await new Promise<void>((done) => socket.once('end', done))
    expect(text()).toBe('QUIT')
    socket.write('more')
    socket.end()
    await eventually('it is over', () => session.closes.length === 1)
    expect(session.bytes.toString()).toBe('QUIT')
  })

  test('tells its session once that the peer has reset it', async () => {
    const { socket, session } = await client()
    socket.resetAndDestroy()
    await eventually('it is over', () => session.closes.length > 0)
    await pause(20)
    expect(session.closes).toHaveLength(1)
    expect(session.closes[0]?.message).toContain('ECONNRESET')
  })

  test('ends when its session throws a DecodeError', async () => {
    const { socket, session } = await client()
    const ended = new Promise<void>((done) => socket.once('end', () => done()))
    socket.write('GARBAGE')
    await ended
    expect(session.closes[0]?.message).toBe('garbage')
    expect(reports.at(-1)).toMatchObject({ report: 'log', level: 'warn' })
  })

  test('calls the deadline when it has come', async () => {
    const { session } = await client()
    session.deadlineAt = performance.now() + 100
    await eventually('the deadline', () => session.calls.includes('deadline'))
  })

  test('gives no window back while the peer does not read, and goes on when it does', async () => {
    const { socket, session, text } = await client()
    socket.pause()
    session.echoes = false
    const piece = Buffer.alloc(100_000, 'w')
    let sent = 0
    let flushes = -1
    while (session.flushes !== flushes) {
      flushes = session.flushes
      session.send(piece)
      session.host.out.touch()
      gateway.loop.end()
      sent += piece.length
      expect(sent).toBeLessThan(100_000_000)
    }
    await pause(50)
    expect(session.flushes).toBe(flushes)
    socket.resume()
    await eventually('all is read', () => text().length === sent)
    expect(session.flushes).toBe(flushes + 1)
  })

  test('reads no more from a peer that does not take its answers', async () => {
    const { socket } = await client()
    socket.pause()
    const session = echo.sessions[0] as EchoSession
    let accepted = true
    let written = 0
    // Until this side's own queue grows: the broker has stopped reading.
    while (accepted && written < 200_000_000) {
      accepted = socket.write(Buffer.alloc(1_000_000))
      written += 1_000_000
      if (!accepted) {
        accepted = await Promise.race([
          new Promise<boolean>((done) => socket.once('drain', () => done(true))),
          pause(300).then(() => false),
        ])
      }
    }
    expect(written).toBeLessThan(100_000_000)
    expect(session.bytes.length).toBeLessThan(50_000_000)
    socket.resume()
    await eventually('it goes on', () => session.bytes.length === written)
  })

  test('hands views over without a copy and tells when they are gone, also after a reset', async () => {
    const { socket, session } = await client()
    let sent = 0
    const view = Buffer.from(new SharedArrayBuffer(3_000_000))
    view.fill('v')
    let received = 0
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    session.send(Buffer.from('head'))
    session.host.out.view(view, () => sent++)
    session.send(Buffer.from('tail'))
    gateway.loop.end()
    await eventually('the view arrives', () => received === view.length + 8)
    expect(sent).toBe(1)
    socket.pause()
    for (let i = 0; i < 5; i++) session.host.out.view(view, () => sent++)
    session.host.out.touch()
    gateway.loop.end()
    expect(sent).toBeLessThan(6)
    socket.resetAndDestroy()
    await eventually('all are let go', () => sent === 6)
  })
})
