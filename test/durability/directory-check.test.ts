// `warren check-data` on directories that a broker has left behind.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
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
  const broker = await startWarren({ dataDir })
  const channel = await new Clients(broker).channel()
  for (let i = 0; i < 50; i++) {
    await channel.assertQueue(`queue-${i}`, { durable: true })
    await channel.bindQueue(`queue-${i}`, 'amq.topic', 'key')
  }
  expect(await check()).toEqual({
    code: 3,
    output: `PROBLEM: ${dataDir} is in use by process ${broker.process?.pid}: stop the broker first\n`,
  })
  await broker.stop()
})

afterAll(() => {
  rmSync(dataDir, { recursive: true, force: true })
})

test('says what is there, changes nothing, and exits with 0', async () => {
  const before = readdirSync(dataDir, { recursive: true }).sort()
  const { code, output } = await check()
  expect(output).toContain('1 shards, stopped in order')
  expect(output).toContain('metadata: 1 vhosts, 1 users, 6 exchanges, 50 queues, 50 bindings')
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
  expect(output).toMatch(/49 queues/)
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
