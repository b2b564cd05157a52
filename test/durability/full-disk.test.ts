// Declarations on a disk that takes no more: the limit for the size of files that a process may have is
// set and lifted while the broker runs, so that LMDB's own writes fail as on a full disk.

import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { Clients, exists, getOne } from '../support/clients.ts'
import { keptData, killed } from '../support/restarts.ts'
import { eventually } from '../support/wait.ts'

const hasLimits = spawnSync('prlimit', ['--version']).status === 0

const data = keptData()

function start(): Promise<Broker> {
  return data.start({ settings: ['shards=1'] })
}

/** From now on no file of the broker may be larger; undefined: as large as it likes. */
function limitFiles(broker: Broker, bytes: number | undefined): void {
  const limit = `--fsize=${bytes ?? 'unlimited'}:`
  const { status, stderr } = spawnSync('prlimit', ['--pid', `${broker.process?.pid}`, limit])
  if (status !== 0) throw new Error(`prlimit: ${stderr}`)
}

/** The refusal's text; undefined: it was declared. */
async function declare(
  clients: Clients,
  name: string,
  durable = true,
): Promise<string | undefined> {
  const channel = await clients.channel()
  channel.on('error', () => {})
  return await channel.assertQueue(name, { durable }).then(
    () => undefined,
    (error: Error) => error.message,
  )
}

test.skipIf(!hasLimits)(
  'a full disk refuses declarations whole, and takes them when there is room',
  async () => {
    const broker = await start()
    const clients = new Clients(broker)
    const channel = await (await clients.connect()).createConfirmChannel()
    await channel.assertQueue('before', { durable: true })
    channel.sendToQueue('before', Buffer.from('kept'), { persistent: true })
    await channel.waitForConfirms()
    limitFiles(broker, statSync(join(data.path, 'metadata', 'data.mdb')).size)

    const taken: string[] = []
    const refusals: string[] = []
    // LMDB has a few free pages in its file.
    for (let i = 0; i < 200 && refusals.length < 3; i++) {
      const name = `q${i}`.padEnd(200, 'x')
      const refusal = await declare(clients, name)
      if (refusal === undefined) {
        taken.push(name)
        continue
      }
      refusals.push(refusal)
      expect(refusal).toMatch(/406.*PRECONDITION_FAILED - the disk is full or refuses writes/)
      expect(await exists(clients, (each) => each.checkQueue(name))).toBe(false)
    }
    expect(refusals).toHaveLength(3)
    expect(await declare(clients, 'transient', false)).toBe(undefined)
    expect((await getOne(channel, 'before', { noAck: true }))?.content.toString()).toBe('kept')

    limitFiles(broker, undefined)
    await eventually('there is room', async () => (await declare(clients, 'after')) === undefined)
    await killed(broker)
    expect(broker.process?.output()).toContain('the metadata can be written again')

    const again = new Clients(await start())
    for (const name of ['before', 'after', ...taken])
      expect(await exists(again, (each) => each.checkQueue(name))).toBe(true)
    for (let i = taken.length; i < taken.length + 3; i++) {
      expect(await exists(again, (each) => each.checkQueue(`q${i}`.padEnd(200, 'x')))).toBe(false)
    }
  },
)
