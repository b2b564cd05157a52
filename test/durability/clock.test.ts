// A broker whose wall clock stands before its last stop, or years ahead, when it starts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients, drain } from '../support/clients.ts'
import { eventually } from '../support/wait.ts'

const preloaded = pathToFileURL(join(import.meta.dirname, 'moved-clock.js')).href
const hour = 3_600_000
const years = 10 * 365 * 24 * hour
const persistent = { persistent: true }

let dataDir = ''
let running: Broker | undefined

async function start(clockMs: number): Promise<Clients> {
  dataDir ||= mkdtempSync(join(tmpdir(), 'warren-clock-'))
  const env = { NODE_OPTIONS: `--import ${preloaded}`, WARREN_CLOCK_MS: String(clockMs) }
  running = await startWarren({ dataDir, settings: ['shards=2'], env })
  return new Clients(running)
}

async function kill(): Promise<void> {
  running?.process?.kill('SIGKILL')
  await running?.process?.exited
}

afterEach(async () => {
  await kill()
  rmSync(dataDir, { recursive: true, force: true })
  dataDir = ''
})

/** Bodies of a stream from its beginning. */
async function streamed(clients: Clients, count: number): Promise<string[]> {
  const channel = await clients.channel()
  await channel.prefetch(100)
  const bodies: string[] = []
  const args = { arguments: { 'x-stream-offset': 'first' } }
  await channel.consume('log', (got) => got && bodies.push(got.content.toString()), args)
  await eventually('the stream is read', () => bodies.length >= count)
  return bodies
}

test('loses nothing but what has a time, and goes on', async () => {
  const first = await start(0)
  const channel = await first.confirmChannel()
  await channel.assertQueue('kept')
  await channel.assertQueue('brief', { messageTtl: hour })
  await channel.assertQueue('soon', { messageTtl: 3000 })
  const ages = { 'x-queue-type': 'stream', 'x-max-age': '1h' }
  await channel.assertQueue('log', { arguments: ages })
  const delays = { 'x-delayed-type': 'direct' }
  await channel.assertExchange('later', 'x-delayed-message', { arguments: delays })
  await channel.assertQueue('delayed')
  await channel.bindQueue('delayed', 'later', 'd')
  for (const queue of ['kept', 'brief', 'soon', 'log']) {
    channel.sendToQueue(queue, Buffer.from('before'), persistent)
  }
  const headers = { 'x-delay': 3000 }
  channel.publish('later', 'd', Buffer.from('before'), { ...persistent, headers })
  await channel.waitForConfirms()
  await kill()

  // The clock was set back: what is soon to happen is not an hour later for it.
  const second = await start(-hour)
  const after = await second.confirmChannel()
  const counts = async (queue: string): Promise<number> =>
    (await after.checkQueue(queue)).messageCount
  expect(await counts('kept')).toBe(1)
  expect(await counts('brief')).toBe(1)
  for (const queue of ['kept', 'log']) {
    after.sendToQueue(queue, Buffer.from('behind'), persistent)
  }
  await after.waitForConfirms()
  expect(await streamed(second, 2)).toEqual(['before', 'behind'])
  await eventually('what has a time expires', async () => (await counts('soon')) === 0)
  await eventually('what was delayed comes', async () => (await counts('delayed')) === 1)
  // A kill could bring the delayed message twice.
  await running?.stop()

  const third = await start(years)
  const last = await third.confirmChannel()
  await eventually('its time is over', async () => {
    return (await last.checkQueue('brief')).messageCount === 0
  })
  expect(await drain(last, 'kept')).toEqual(['before', 'behind'])
  expect(await drain(last, 'delayed')).toEqual(['before'])
  last.sendToQueue('log', Buffer.from('ahead'), persistent)
  await last.waitForConfirms()
  // One segment stays whatever its age.
  expect(await streamed(third, 3)).toEqual(['before', 'behind', 'ahead'])
})
