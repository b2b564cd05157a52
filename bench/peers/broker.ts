/** A broker under measurement, started by the runner or found running. */

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Target } from '../load/connection.ts'
import { openConnection } from '../load/connection.ts'

/** What the runner needs to know of it. */
export type Broker = {
  readonly label: string
  /** Product and version as the broker announces them. */
  readonly version: string
  readonly target: Target
  /** From spawn to the first connection; undefined when it ran already. */
  readonly startMs: number | undefined
  /** Resident memory before any load; undefined when its process is not ours. */
  readonly idleMegabytes: number | undefined
  /** Resident memory now; undefined when its process is not ours. */
  megabytes(): number | undefined
  /** The end of what it printed, if it has ended by itself; '' while it runs. */
  lastWords(): string
  /** Kills it, starts it again on the same data, and returns the milliseconds from spawn to a connection. */
  restart(): Promise<number>
  stop(): Promise<void>
}

/** How to start one. */
export type Launch = {
  readonly label: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly port: number
  /** Ports of further protocols. */
  readonly ports?: Partial<Target>
  readonly readyTimeoutMs: number
  /** Process whose memory counts, when it is not the spawned one. */
  readonly pid?: () => number | undefined
  /** After the process ended. */
  readonly cleanUp: () => void
}

/** Time a broker gets to end after SIGTERM. */
const STOP_TIMEOUT_MS = 15_000
const PROBE_INTERVAL_MS = 20
/** Last bytes of a broker's output, shown when it fails to start. */
const OUTPUT_KEPT = 4000

/** guest on `/`, as every broker of the field starts with. */
export function guestOn(host: string, port: number): Target {
  return { host, port, user: 'guest', password: 'guest', vhost: '/' }
}

/** Starts the process and waits until a client can open a connection. */
export async function launchBroker(launch: Launch): Promise<Broker> {
  const launched = new LaunchedBroker(launch)
  await launched.start()
  return launched
}

class LaunchedBroker implements Broker {
  readonly label: string
  readonly target: Target
  version: string
  startMs: number | undefined
  idleMegabytes: number | undefined
  readonly #launch: Launch
  #child: ChildProcess | undefined
  #output: string
  readonly #kill: () => void

  constructor(launch: Launch) {
    this.label = launch.label
    this.target = { ...guestOn('127.0.0.1', launch.port), ...launch.ports }
    this.version = ''
    this.startMs = undefined
    this.idleMegabytes = undefined
    this.#launch = launch
    this.#child = undefined
    this.#output = ''
    this.#kill = () => this.#child !== undefined && killGroup(this.#child)
    process.once('exit', this.#kill)
  }

  async start(): Promise<void> {
    const startedAt = performance.now()
    const child = this.#spawn()
    const deadline = startedAt + this.#launch.readyTimeoutMs
    for (;;) {
      const version = await announcedVersion(this.target)
      if (version !== undefined) {
        this.version = version
        this.startMs = performance.now() - startedAt
        this.idleMegabytes = this.megabytes()
        return
      }
      if (hasEnded(child) || performance.now() > deadline) {
        await this.stop()
        throw new Error(`${this.label} did not start:\n${this.#output}`)
      }
      await sleep(PROBE_INTERVAL_MS)
    }
  }

  megabytes(): number | undefined {
    return residentMegabytes(this.#launch.pid?.() ?? this.#child?.pid)
  }

  lastWords(): string {
    return this.#child !== undefined && hasEnded(this.#child) ? this.#output : ''
  }

  async restart(): Promise<number> {
    const child = this.#child
    if (child !== undefined && !hasEnded(child)) {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      killGroup(child)
      await ended
    }
    await this.start()
    return this.startMs ?? Number.NaN
  }

  async stop(): Promise<void> {
    process.off('exit', this.#kill)
    if (this.#child !== undefined) await stopProcess(this.#child, this.#launch.pid?.())
    this.#launch.cleanUp()
  }

  #spawn(): ChildProcess {
    const { command, args, env } = this.#launch
    const child = spawn(command, [...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group of its own, so that nothing it started survives it.
      detached: true,
    })
    const keep = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-OUTPUT_KEPT)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.on('error', (error) => keep(Buffer.from(String(error))))
    this.#child = child
    return child
  }
}

/** A broker that runs already and stays. */
export async function attachBroker(label: string, target: Target): Promise<Broker> {
  const version = await announcedVersion(target)
  if (version === undefined) throw new Error(`no broker answers on ${target.host}:${target.port}`)
  const stop = (): Promise<void> => Promise.resolve()
  const lastWords = (): string => ''
  const megabytes = (): undefined => undefined
  const restart = (): never => {
    throw new Error(`${label} was found running: it is not ours to kill`)
  }
  const facts = { label, version, target, startMs: undefined, idleMegabytes: undefined }
  return { ...facts, megabytes, lastWords, restart, stop }
}

/** A port that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        resolve(address !== null && typeof address === 'object' ? address.port : 0),
      )
    })
  })
}

async function announcedVersion(target: Target): Promise<string | undefined> {
  try {
    const connection = await openConnection(target)
    const version = `${connection.serverProperty('product')} ${connection.serverProperty('version')}`
    await connection.close(STOP_TIMEOUT_MS)
    return version
  } catch {
    return undefined
  }
}

/** Ends `child`, and `pid` where that is the process which must end first. */
async function stopProcess(child: ChildProcess, pid: number | undefined): Promise<void> {
  if (hasEnded(child) || child.pid === undefined) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  process.kill(pid ?? child.pid, 'SIGTERM')
  const kill = setTimeout(() => killGroup(child), STOP_TIMEOUT_MS)
  await ended
  clearTimeout(kill)
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || hasEnded(child)) return
  process.kill(-child.pid, 'SIGKILL')
}

/** VmRSS on Linux. */
function residentMegabytes(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined
  try {
    const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return line?.[1] === undefined ? undefined : Number(line[1]) / 1024
  } catch {
    return undefined
  }
}
