// Alarms that come and go while clients are connected: publishers are blocked, consumers go on,
// publishers are unblocked.

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ChannelModel, ConfirmChannel } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients, consume } from '../support/clients.ts'
import { eventually, within } from '../support/wait.ts'

const MIB = 1024 * 1024
const alarmMs = 90_000

/** `connection.blocked` with its reason, or `connection.unblocked`. */
function next(connection: ChannelModel, event: 'blocked' | 'unblocked'): Promise<string> {
  const said = new Promise<string>((resolve) => {
    connection.once(event, (reason?: string) => resolve(reason ?? ''))
  })
  return within(event, said, alarmMs)
}

async function publisher(
  clients: Clients,
): Promise<{ connection: ChannelModel; channel: ConfirmChannel }> {
  const connection = await clients.connect()
  return { connection, channel: await connection.createConfirmChannel() }
}

describe.each([
  ['gateway thread', []],
  ['gateway process', ['gateways.amqp.isolation=process']],
])('memory alarm [%s]', (_, settings) => {
  let clients: Clients

  beforeAll(async () => {
    const limit = ['vm_memory_high_watermark.absolute=320MiB', 'shards=1']
    clients = new Clients(await startWarren({ settings: [...limit, ...settings] }))
  })
  afterAll(async () => {
    await clients.close()
    await clients.broker.stop()
  })

  test('blocks who publishes, lets consumers go on, and clears when they have made room', async () => {
    const { connection, channel } = await publisher(clients)
    const queue = clients.name('alarm')
    await channel.assertQueue(queue, { durable: false })
    const blocked = next(connection, 'blocked')
    let isBlocked = false
    void blocked.then(() => {
      isBlocked = true
    })
    const body = Buffer.alloc(MIB, 1)
    let sent = 0
    while (!isBlocked && sent < 700) {
      await new Promise((resolve) => {
        channel.sendToQueue(queue, body)
        sent++
        setImmediate(resolve)
      })
      // Confirmed, or blocked meanwhile.
      if (sent % 16 === 0) await Promise.race([channel.waitForConfirms(), blocked])
    }
    expect(await blocked).toBe('low on memory')
    const unblocked = next(connection, 'unblocked')
    const consumer = await consume(await clients.channel(), queue, { noAck: true })
    await unblocked
    await within('all is confirmed', channel.waitForConfirms(), alarmMs)
    await eventually('all is delivered', () => consumer.messages.length === sent, alarmMs)
  }, 300_000)
})

describe('disk alarm', () => {
  const folder = mkdtempSync(join(tmpdir(), 'warren-alarms-'))
  const state = join(folder, 'disk')
  let broker: Broker
  let clients: Clients

  /** What the disk is like from now on. */
  function disk(how: 'roomy' | 'low' | 'refusing'): void {
    writeFileSync(`${state}.new`, how)
    renameSync(`${state}.new`, state)
  }

  beforeAll(async () => {
    disk('roomy')
    const preload = pathToFileURL(join(import.meta.dirname, 'small-disk.js'))
    broker = await startWarren({
      settings: ['disk_free_limit.absolute=100MB', 'shards=1'],
      env: { NODE_OPTIONS: `--import ${preload.href}`, WARREN_SMALL_DISK: state },
    })
    clients = new Clients(broker)
  })
  afterEach(() => clients.tidy())
  afterAll(async () => {
    await clients.close()
    await broker.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test('comes when little is free, and goes when there is more again', async () => {
    const { connection, channel } = await publisher(clients)
    const queue = clients.name('low')
    await channel.assertQueue(queue, { durable: true })
    channel.sendToQueue(queue, Buffer.from('before'), { persistent: true })
    await channel.waitForConfirms()
    const blocked = next(connection, 'blocked')
    disk('low')
    await eventually('the alarm is raised', () =>
      /disk alarm: less than 100 MB free/.test(broker.process?.output() ?? ''),
    )
    channel.sendToQueue(queue, Buffer.from('during'), { persistent: true })
    expect(await blocked).toBe('low on disk')
    const consumer = await consume(await clients.channel(), queue)
    expect((await consumer.bodies(1))[0]).toBe('before')
    const unblocked = next(connection, 'unblocked')
    disk('roomy')
    await unblocked
    await channel.waitForConfirms()
    expect(await consumer.bodies(2)).toEqual(['before', 'during'])
  }, 300_000)

  test('a disk that takes no writes confirms nothing, and everything once it does', async () => {
    const { connection, channel } = await publisher(clients)
    const queue = clients.name('full')
    await channel.assertQueue(queue, { durable: true })
    channel.sendToQueue(queue, Buffer.from('before'), { persistent: true })
    await channel.waitForConfirms()
    disk('refusing')
    const blocked = next(connection, 'blocked')
    let confirmed = false
    channel.sendToQueue(queue, Buffer.from('during'), { persistent: true }, () => {
      confirmed = true
    })
    await eventually('the log says that it is refused', () =>
      /disk alarm: writes fail/.test(broker.process?.output() ?? ''),
    )
    // A connection is told when it publishes.
    channel.sendToQueue(queue, Buffer.from('blocked'), { persistent: true })
    expect(await blocked).toBe('low on disk')
    expect(confirmed).toBe(false)
    const unblocked = next(connection, 'unblocked')
    disk('roomy')
    await unblocked
    await channel.waitForConfirms()
    const consumer = await consume(await clients.channel(), queue)
    expect(await consumer.bodies(3)).toEqual(['before', 'during', 'blocked'])
  }, 300_000)
})
