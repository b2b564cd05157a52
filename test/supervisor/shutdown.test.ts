// Signals and exit codes, as an operator's service manager sees them.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { afterEach, describe, expect, it } from 'vitest'
import type { Broker, WarrenProcess } from '../support/broker.ts'
import { accepts, externalBroker, freePort, runWarren, startWarren } from '../support/broker.ts'
import { Clients, connectionError } from '../support/clients.ts'
import { canInspectProcesses, childrenOf, residentBytes } from '../support/process-tree.ts'
import { GATEWAY_PROFILES } from '../support/profiles.ts'
import { RawClient } from '../support/raw-client.ts'
import { eventually, within } from '../support/wait.ts'

const FORCED = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
const MIB = 1024 * 1024

const suite = externalBroker() === undefined ? describe : describe.skip

suite.each(GATEWAY_PROFILES)('shutdown [$name]', (profile) => {
  let broker: Broker | undefined

  async function start(): Promise<Broker & { process: WarrenProcess }> {
    broker = await startWarren({ settings: profile.settings })
    if (broker.process === undefined) throw new Error('no process')
    return { ...broker, process: broker.process }
  }

  afterEach(async () => {
    await broker?.stop()
    broker = undefined
  })

  it('tells every client on SIGTERM and exits with 0', async () => {
    const started = await start()
    const { process, port } = started
    const clients = new Clients({ ...started, stop: async () => {} })
    const library = await clients.connect()
    const raw = await clients.raw()
    const error = connectionError(library, () => process.kill('SIGTERM'))
    expect(await error).toMatchObject({ code: 320, text: FORCED })
    expect(await raw.next(0)).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 320, replyText: FORCED, classId: 0, methodId: 0 },
    })
    raw.send(0, 'connection.close-ok')
    expect(await within('the broker exits', process.exited)).toEqual({
      code: 0,
      signal: null,
    })
    expect(await accepts(port)).toBe(false)
  })

  // A machine that does much else may need a second try to be in time.
  it('exits within 5 s although a client neither reads nor answers', { retry: 2 }, async () => {
    const { process, port } = await start()
    const deaf = await RawClient.connect(port)
    await deaf.login()
    deaf.socket.pause()
    const silent = await RawClient.connect(port)
    process.kill('SIGTERM')
    expect((await within('the broker exits', process.exited, 5500)).code).toBe(0)
    deaf.destroy()
    silent.destroy()
  })

  it('exits at once on a second SIGTERM', async () => {
    const { process, port } = await start()
    const deaf = await RawClient.connect(port)
    await deaf.login()
    process.kill('SIGTERM')
    // The close shows that the first signal has been taken.
    await deaf.expect(0, 'connection.close')
    process.kill('SIGTERM')
    // 0 would be that of a stop that waited for the client.
    expect((await within('the broker exits', process.exited)).code).toBe(1)
    deaf.destroy()
  })

  it.runIf(canInspectProcesses)('leaves no process behind', async () => {
    const { process } = await start()
    const children = childrenOf(process.pid)
    process.kill('SIGTERM')
    await process.exited
    await eventually('its children are gone', () =>
      children.every((pid) => residentBytes(pid) === 0),
    )
  })

  it('stops on SIGINT too', async () => {
    const { process } = await start()
    process.kill('SIGINT')
    expect((await within('the broker exits', process.exited)).code).toBe(0)
  })
})

suite('start', () => {
  async function run(...args: readonly string[]): Promise<{ code: number | null; output: string }> {
    const child = runWarren(args)
    try {
      const { code } = await within('warren exits', child.exited)
      return { code, output: child.output() }
    } finally {
      child.kill('SIGKILL')
    }
  }

  it('names each listener and says when it is ready', async () => {
    const broker = await startWarren()
    try {
      expect(broker.process?.output()).toContain(`127.0.0.1:${broker.port}`)
    } finally {
      await broker.stop()
    }
  })

  it.runIf(canInspectProcesses)('takes less than 150 MB when idle', async () => {
    const broker = await startWarren({ settings: ['shards=1'] })
    try {
      await new Clients(broker).roundTrip()
      expect(residentBytes(broker.process?.pid ?? 0) / MIB).toBeLessThan(150)
    } finally {
      await broker.stop()
    }
  })

  it('exits with 1 and says why when its port is taken', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => {
      taken.listen(0, '127.0.0.1', resolve)
    })
    const address = taken.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const dataDir = await mkdtemp(join(tmpdir(), 'warren-test-'))
    try {
      const listener = `listeners.tcp.local=127.0.0.1:${port}`
      const { code, output } = await run('start', '--data-dir', dataDir, '--set', listener)
      expect(code).toBe(1)
      expect(output).toContain(String(port))
      expect(output).toMatch(/in use/)
      expect(output).not.toMatch(/^\s+at /m)
    } finally {
      taken.close()
      await rm(dataDir, { recursive: true, force: true })
    }
  })

  it.each([
    ['an unknown key', 'no_such_key=1', 'no_such_key'],
    ['a bad value', 'heartbeat=soon', 'heartbeat'],
    ['a value out of bounds', 'shards=0', 'shards'],
  ])('exits with 2 on %s', async (_title, setting, named) => {
    const { code, output } = await run('start', '--set', setting)
    expect(code).toBe(2)
    expect(output).toContain(named)
    expect(output).not.toMatch(/^\s+at /m)
  })

  it('names the file and the line of a mistake', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'warren-test-'))
    try {
      const file = join(dir, 'broker.conf')
      await writeFile(file, '# a comment\nheartbeat = 30\nno_such_key = 1\n')
      for (const command of [['start'], ['config', 'check']]) {
        const { code, output } = await run(...command, '--config', file)
        expect(code).toBe(2)
        expect(output).toContain(`${file}:3`)
      }
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  })

  it('takes the default user and password from the environment', async () => {
    const env = { RABBITMQ_DEFAULT_USER: 'ada', RABBITMQ_DEFAULT_PASS: 'lovelace' }
    const broker = await startWarren({ env })
    try {
      const connection = await connect(`amqp://ada:lovelace@127.0.0.1:${broker.port}`)
      await connection.close()
      await expect(connect(`amqp://guest:guest@127.0.0.1:${broker.port}`)).rejects.toThrow('403')
    } finally {
      await broker.stop()
    }
  })

  it('runs two brokers side by side', async () => {
    const brokers = await Promise.all([startWarren(), startWarren()])
    try {
      for (const broker of brokers) await new Clients(broker).roundTrip()
    } finally {
      for (const broker of brokers) await broker.stop()
    }
    expect(await freePort()).toBeGreaterThan(0)
  })
})
