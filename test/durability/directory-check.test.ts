// `warren check-data` on directories that a broker has left behind.

import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { runWarren, startWarren } from '../support/broker.ts'
import { Clients } from '../support/clients.ts'

let dataDir = ''

async function check(dir = dataDir): Promise<{ code: number | null; output: string }> {
  const child = runWarren(['check-data', dir])
  const { code } = await child.exited
  return { code, output: child.output() }
}

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'warren-check-'))
  const broker = await startWarren({ dataDir, listen: ['mqtt'] })
  const channel = await new Clients(broker).channel()
  for (let i = 0; i < 50; i++) {
    await channel.assertQueue(`queue-${i}`, { durable: true })
    await channel.bindQueue(`queue-${i}`, 'amq.topic', 'key')
  }
  expect(await check()).toEqual({
    code: 3,
    output: `PROBLEM: ${dataDir} is in use by process ${broker.process?.pid}: stop the broker first\n`,
  })
  await channel.assertQueue('log', { durable: true, arguments: { 'x-queue-type': 'stream' } })
  for (let i = 0; i < 7; i++) channel.sendToQueue('log', Buffer.from(`m${i}`))
  await keepRetained(broker)
  await broker.stop()
})

/** A retained message is a row of the keyed store. */
async function keepRetained(broker: Broker): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${broker.portOf('mqtt')}`, {
    username: 'guest',
    password: 'guest',
  })
  await client.publishAsync('topic', 'kept', { qos: 1, retain: true })
  await client.endAsync()
}

afterAll(() => {
  rmSync(dataDir, { recursive: true, force: true })
})

test('says what is there, changes nothing, and exits with 0', async () => {
  const before = readdirSync(dataDir, { recursive: true }).sort()
  const { code, output } = await check()
  expect(output).toContain('1 shards, stopped in order')
  expect(output).toContain('metadata: 1 vhosts, 1 users, 6 exchanges, 51 queues, 50 bindings')
  expect(output).toContain("stream 'log' in vhost '/': 7 messages in 1 segments")
  expect(output).toMatch(/rows of gateways: 1 in '[^']+'/)
  expect(output).toMatch(/everything can be read\n$/)
  expect(code).toBe(0)
  expect(readdirSync(dataDir, { recursive: true }).sort()).toEqual(before)
})

test('names each damaged row and what lacks it, and exits with 1', async () => {
  const file = join(dataDir, 'metadata', 'data.mdb')
  const sound = readFileSync(file)
  const spoilt = Buffer.from(sound)
  // The last copy is the one in use: pages are never written over while they are.
  for (let at = spoilt.indexOf('\xa8queue-37', 0, 'latin1'); at >= 0; ) {
    spoilt[at + 3] = 0
    at = spoilt.indexOf('\xa8queue-37', at + 1, 'latin1')
  }
  writeFileSync(file, spoilt)
  const { code, output } = await check()
  writeFileSync(file, sound)
  expect(output).toMatch(/PROBLEM: .*data\.mdb: the row 07\w+ is damaged/)
  expect(output).toMatch(/50 queues/)
  expect(code).toBe(1)
})

test('reads the rows beside a damaged page', async () => {
  const file = join(dataDir, 'metadata', 'data.mdb')
  const sound = readFileSync(file)
  const spoilt = Buffer.from(sound)
  spoilt.fill(0xff, sound.indexOf('queue-37') & ~4095, (sound.indexOf('queue-37') & ~4095) + 4096)
  spoilt.fill(
    0xff,
    sound.lastIndexOf('queue-37') & ~4095,
    (sound.lastIndexOf('queue-37') & ~4095) + 4096,
  )
  writeFileSync(file, spoilt)
  const { code, output } = await check()
  writeFileSync(file, sound)
  expect(output).toMatch(/PROBLEM: .*data\.mdb: page \d+ has another page's number/)
  expect(output).toMatch(/metadata: 1 vhosts/)
  expect(code).toBe(1)
})

test('finds damage in streams and in what gateways keep, and what does not belong there', async () => {
  const folder = join(dataDir, 'shard-0', 'streams')
  const [id = ''] = readdirSync(folder)
  const [segment = ''] = readdirSync(join(folder, id)).filter((name) => name.endsWith('.segment'))
  const files = [join(folder, id, segment), join(dataDir, 'keyed', 'data.mdb')] as const
  const sound = files.map((file) => readFileSync(file))
  writeFileSync(files[0], spoil(sound[0], (sound[0]?.length ?? 0) - 3))
  // Both copies of the page with the row.
  writeFileSync(files[1], spoil(sound[1], 8192, 8192 * 2))
  mkdirSync(join(dataDir, 'shard-7'))
  writeFileSync(join(dataDir, 'notes.txt'), '')
  const { code, output } = await check()
  for (const [i, file] of files.entries()) writeFileSync(file, sound[i] ?? '')
  rmSync(join(dataDir, 'shard-7'), { recursive: true })
  rmSync(join(dataDir, 'notes.txt'))
  expect(output).toMatch(/stream 'log' .*\.segment at \d+: the last \d+ bytes are no whole chunks/)
  expect(output).toMatch(/PROBLEM: .*keyed.*data\.mdb: page \d+/)
  expect(output).toMatch(/PROBLEM: .*shard-7: there are 1 shards/)
  expect(output).toMatch(/notes\.txt: not a part of the data directory/)
  expect(code).toBe(1)
})

test.each([
  ['its folder', (id: string) => join('streams', id)],
  ['the folder of all streams', () => 'streams'],
])('misses a stream when %s is gone', async (_, place) => {
  const shard = join(dataDir, 'shard-0')
  const [id = ''] = readdirSync(join(shard, 'streams'))
  const [path, aside] = [join(shard, place(id)), join(dataDir, '..', `gone-${id}-${process.pid}`)]
  renameSync(path, aside)
  const { code, output } = await check()
  renameSync(aside, path)
  expect(output).toContain("PROBLEM: stream 'log' in vhost '/': its messages are gone\n")
  expect(code).toBe(1)
})

/** A copy with each byte of [from, to) turned around. */
function spoil(bytes: Buffer = Buffer.alloc(0), from = 0, to = from + 1): Buffer {
  const copy = Buffer.from(bytes)
  for (let at = from; at < Math.min(to, copy.length); at++) copy[at] = (copy[at] ?? 0) ^ 0xff
  return copy
}

test('exits with 3 where there is nothing to check, with 2 at a wrong command line', async () => {
  expect((await check(join(dataDir, 'none'))).code).toBe(3)
  const empty = mkdtempSync(join(tmpdir(), 'warren-check-'))
  expect((await check(empty)).code).toBe(3)
  rmSync(empty, { recursive: true })
  const child = runWarren(['check-data'])
  expect((await child.exited).code).toBe(2)
  const help = runWarren(['check-data', '--help'])
  await help.exited
  expect(help.output()).toMatch(/Exit codes:\n +0 +everything can be read/)
})
