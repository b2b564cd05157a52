// Runs Warren as its users do, as a process of its own with a port and a data directory; or
// attaches to the broker that WARREN_TEST_BROKER=host:port names, so that the same tests can
// judge another broker.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { amqpOnly, announcedPorts, freeListener } from './listeners.ts'
import { eventually, within } from './wait.ts'

/** A broker that tests can connect to. */
export interface Broker {
  readonly host: string
  readonly port: number
  /** The port of a listener that StartOptions.listen asked for. */
  portOf(protocol: string): number
  /** Undefined for a broker that the tests did not start. */
  readonly process: WarrenProcess | undefined
  /** Carries out an operator's command; only where the broker was started with `admin`. */
  admin(command: AdminCommand): Promise<AdminReply>
  stop(): Promise<void>
}

/** See AdminOp in core/topology/registry-op.ts, and core/shard/admin-commands.ts. */
export type AdminCommand = Readonly<Record<string, unknown>>

export type AdminReply = Readonly<Record<string, unknown>> & {
  readonly error?: { readonly code: number; readonly text: string }
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface WarrenProcess {
  readonly pid: number
  readonly exited: Promise<Exit>
  /** Everything that it has printed so far, both streams in order of arrival. */
  output(): string
  kill(signal: NodeJS.Signals): void
}

export interface StartOptions {
  /** `key=value` settings as for `--set`. */
  readonly settings?: readonly string[]
  /** Further protocols to serve, each on a free port: `stomp`, `http/web-stomp`, `mqtt/ssl`, ... */
  readonly listen?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** The program in place of the one that was built. */
  readonly main?: string
  /** Stays after the stop; without it, a new one that goes. */
  readonly dataDir?: string
  /** The broker takes operators' commands from the test. */
  readonly admin?: boolean
}

const MAIN = fileURLToPath(new URL('../../dist/core/main.js', import.meta.url))
const ADMIN_NODE = fileURLToPath(new URL('./admin-node.js', import.meta.url))

/**
 * The broker named by WARREN_TEST_BROKER, if there is one. Where it speaks other protocols is said by
 * WARREN_TEST_PORTS: `stomp=61613,http/web-stomp=15674`.
 */
export function externalBroker(): Broker | undefined {
  const address = process.env['WARREN_TEST_BROKER']
  if (address === undefined || address === '') return undefined
  const [host = '127.0.0.1', port = '5672'] = address.split(':')
  const ports = new Map(
    (process.env['WARREN_TEST_PORTS'] ?? '').split(',').map((each) => {
      const [protocol = '', at] = each.split('=')
      return [protocol, Number(at)] as const
    }),
  )
  const portOf = (protocol: string): number => {
    const found = ports.get(protocol)
    if (found === undefined) throw new Error(`WARREN_TEST_PORTS does not name ${protocol}`)
    return found
  }
  return {
    host,
    port: Number(port),
    portOf,
    process: undefined,
    admin: noDoor,
    stop: async () => {},
  }
}

/** Starts Warren on a free loopback port and waits until it serves. */
export async function startWarren(options: StartOptions = {}): Promise<Broker> {
  const port = await freePort()
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'warren-test-')))
  const settings = [
    `listeners.tcp.local=127.0.0.1:${port}`,
    ...(options.listen ?? []).map(freeListener),
    ...(options.settings ?? []),
  ]
  const door = options.admin === true ? new AdminDoor(dataDir, settings, options.env) : undefined
  const args = ['start', '--data-dir', dataDir, ...settings.flatMap((item) => ['--set', item])]
  const child = door?.process ?? runWarren(args, options.env, options.main)
  try {
    await waitUntilReady(child)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    try {
      await within('the broker stops', child.exited)
    } finally {
      child.kill('SIGKILL')
      await child.exited
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
    }
  }
  const ports = announcedPorts(child.output())
  const portOf = (protocol: string): number => {
    const found = ports.get(protocol)
    if (found === undefined) throw new Error(`no listener ${protocol} was announced`)
    return found
  }
  const admin = door === undefined ? noDoor : (command: AdminCommand) => door.ask(command)
  return { host: '127.0.0.1', port, portOf, process: child, admin, stop }
}

function noDoor(): Promise<AdminReply> {
  throw new Error('this broker was not started with the option admin')
}

/** A broker process that answers commands. */
class AdminDoor {
  readonly process: WarrenProcess
  readonly #child: ChildProcess
  readonly #waiting: Map<number, (reply: AdminReply) => void> = new Map()
  #last = 0

  constructor(dataDir: string, settings: readonly string[], env: StartOptions['env'] = {}) {
    this.#child = spawn(process.execPath, [ADMIN_NODE, dataDir, ...settings], {
      env: { ...process.env, ...amqpOnly, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    })
    this.process = watch(this.#child)
    this.#child.on('message', ({ request, reply }: { request: number; reply: AdminReply }) => {
      this.#waiting.get(request)?.(reply)
      this.#waiting.delete(request)
    })
  }

  ask(command: AdminCommand): Promise<AdminReply> {
    const request = ++this.#last
    const answer = new Promise<AdminReply>((resolve) => {
      this.#waiting.set(request, resolve)
    })
    this.#child.send({ request, command })
    return within(`the answer to ${String(command['op'])}`, answer)
  }
}

/**
 * Runs the `warren` command; the caller waits for what it expects of it. Protocols other than AMQP
 * are off unless `args` or `env` say where they listen.
 */
export function runWarren(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  main: string = MAIN,
): WarrenProcess {
  if (!existsSync(main)) throw new Error(`${main} is missing: run "npm run build" first`)
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, ...amqpOnly, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return watch(child)
}

/** Resolves when the broker has printed that it is ready; fails when it exits before. */
export async function waitUntilReady(child: WarrenProcess): Promise<void> {
  let exit: Exit | undefined
  void child.exited.then((value) => {
    exit = value
  })
  const settled = (): boolean => READY.test(child.output()) || exit !== undefined
  try {
    await eventually('the broker prints that it is ready', settled)
  } catch (error) {
    throw new Error(`${String(error)}; it has printed:\n${child.output()}`)
  }
  if (exit !== undefined) {
    throw new Error(`warren exited with ${exit.code ?? exit.signal}:\n${child.output()}`)
  }
}

/**
 * A loopback port that was free a moment ago, and below those that systems give to clients: one of the
 * many connections of other tests could have it before the broker.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_240, 32_768)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** True when something accepts connections there. */
export function accepts(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host })
    const answer = (value: boolean) => () => {
      socket.destroy()
      resolve(value)
    }
    socket.once('connect', answer(true))
    socket.once('error', answer(false))
  })
}

const READY = /\bready\b/i

/** Nothing that was started here outlives this process. */
const running: Set<ChildProcess> = new Set()

function killAll(): void {
  for (const child of running) child.kill('SIGKILL')
}

function watch(child: ChildProcess): WarrenProcess {
  let output = ''
  const take = (chunk: Buffer): void => {
    output += chunk.toString('utf8')
  }
  child.stdout?.on('data', take)
  child.stderr?.on('data', take)
  if (running.size === 0) process.once('exit', killAll)
  running.add(child)
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => {
      running.delete(child)
      if (running.size === 0) process.off('exit', killAll)
      resolve({ code, signal })
    })
  })
  return {
    pid: child.pid ?? -1,
    exited,
    output: () => output,
    kill: (signal) => {
      child.kill(signal)
    },
  }
}
