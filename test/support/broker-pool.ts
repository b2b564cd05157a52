// Brokers that test files take over from each other: a start costs about a second of CPU, and what
// a file leaves behind must not disturb the next one anyway. Vitest's main process keeps them, so
// that they outlive the process of a test file; a lease is a connection to it.

import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { inject } from 'vitest'
import type { TestProject } from 'vitest/node'
import type { Broker, StartOptions } from './broker.ts'
import { startWarren } from './broker.ts'
import { PATIENCE_MS, within } from './wait.ts'

/** What a pooled broker can be asked for. */
export type PoolOptions = Required<Pick<StartOptions, 'settings' | 'listen'>>

/** A broker that nobody else uses until it is given back. */
export interface Lease {
  readonly broker: Broker
  /** Only `healthy` ones are given to others: no test has failed on them. */
  giveBack(healthy: boolean): Promise<void>
}

declare module 'vitest' {
  interface ProvidedContext {
    brokerPoolPort: number
  }
}

interface Pooled {
  readonly key: string
  readonly broker: Broker
  idle: boolean
  exited: boolean
}

type Answer = { readonly port: number; readonly ports: Readonly<Record<string, number>> }

const LEASE_TIMEOUT_MS = 2 * PATIENCE_MS
const LAST_LINES = 30

/** Vitest's global set-up: opens the pool, and stops its brokers after the last test file. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const pool: Pooled[] = []
  const server = createServer((socket) => {
    void serve(pool, socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  project.provide('brokerPoolPort', (server.address() as AddressInfo).port)
  return async () => {
    server.close()
    const stopped = await Promise.allSettled(pool.map(stopOrderly))
    const failed = stopped.filter((each) => each.status === 'rejected')
    if (failed.length === 0) return
    // Vitest prints what a tear-down throws, and says nothing of it in its exit code.
    process.exitCode = 1
    throw new Error(failed.map(({ reason }) => String(reason)).join('\n'))
  }
}

/** In a test file: a broker with these settings, started or given back by another file. */
export async function leaseBroker(options: PoolOptions): Promise<Lease> {
  const socket = connect(inject('brokerPoolPort'), '127.0.0.1')
  const line = nextLine(socket)
  socket.write(`${JSON.stringify(options)}\n`)
  const answer: Answer | string = JSON.parse(
    await within('a broker of the pool', line, LEASE_TIMEOUT_MS),
  )
  if (typeof answer === 'string') throw new Error(answer)
  const portOf = (protocol: string): number => {
    const port = answer.ports[protocol]
    if (port === undefined) throw new Error(`no listener ${protocol} was asked for`)
    return port
  }
  const giveBack = async (healthy: boolean): Promise<void> => {
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    socket.end(healthy ? 'healthy\n' : 'suspect\n')
    socket.resume()
    await within('the pool takes a broker back', closed)
  }
  const broker: Broker = {
    host: '127.0.0.1',
    port: answer.port,
    portOf,
    // A test that takes no process for "not ours" would check nothing.
    get process(): undefined {
      throw new Error('tests that look at the process ask for a broker that is theirs `alone`')
    },
    admin: () => {
      throw new Error('tests that send commands ask for a broker with `admin`')
    },
    stop: async () => {},
  }
  return { broker, giveBack }
}

async function serve(pool: Pooled[], socket: Socket): Promise<void> {
  socket.on('error', () => {})
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  const request = await lines.next()
  if (request.done === true) return
  let pooled: Pooled
  try {
    pooled = await take(pool, request.value)
  } catch (error) {
    socket.end(`${JSON.stringify(String(error))}\n`)
    return
  }
  const { listen }: PoolOptions = JSON.parse(request.value)
  const { broker } = pooled
  const ports = Object.fromEntries(listen.map((protocol) => [protocol, broker.portOf(protocol)]))
  socket.write(`${JSON.stringify({ port: broker.port, ports } satisfies Answer)}\n`)
  // A file whose process ends without a word has not given back anything that others can use.
  const verdict = await lines.next()
  if (verdict.value === 'healthy') pooled.idle = true
  else {
    pool.splice(pool.indexOf(pooled), 1)
    await broker.stop().catch(() => {})
  }
  socket.end()
}

async function take(pool: Pooled[], key: string): Promise<Pooled> {
  const idle = pool.find((each) => each.idle && !each.exited && each.key === key)
  if (idle !== undefined) {
    idle.idle = false
    return idle
  }
  const broker = await startWarren(JSON.parse(key))
  const pooled: Pooled = { key, broker, idle: false, exited: false }
  void broker.process?.exited.then(() => {
    pooled.exited = true
  })
  pool.push(pooled)
  return pooled
}

/** Stops a broker that has served many files; fails where it has crashed or does not stop well. */
async function stopOrderly({ broker }: Pooled): Promise<void> {
  await broker.stop()
  const exit = await broker.process?.exited
  if (exit?.code !== 0) {
    const last = broker.process?.output().split('\n').slice(-LAST_LINES).join('\n')
    throw new Error(`a broker of the pool ended with ${exit?.code ?? exit?.signal}:\n${last}`)
  }
}

function nextLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    createInterface({ input: socket }).once('line', resolve)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the pool of brokers hung up')))
  })
}
