// What is declared, across stops and kills of the broker.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { freePort, runWarren } from '../support/broker.ts'
import { Clients, exists, getOne } from '../support/clients.ts'
import { keptData, killed } from '../support/restarts.ts'
import { eventually, within } from '../support/wait.ts'

interface Node {
  readonly broker: Broker
  readonly clients: Clients
}

const data = keptData()
/** Among settings: the broker takes operators' commands. */
const withAdmin = 'cluster_name=admin'

async function start(...settings: readonly string[]): Promise<Node> {
  const broker = await data.start({ settings, admin: settings.includes(withAdmin) })
  return { broker, clients: new Clients(broker) }
}

async function kill({ broker }: Node): Promise<void> {
  await killed(broker)
}

async function stop({ broker }: Node): Promise<void> {
  await broker.stop()
}

/** Runs `warren start` on the data directory where it cannot start. */
async function refused(...settings: readonly string[]): Promise<string> {
  const port = `listeners.tcp.local=127.0.0.1:${await freePort()}`
  const set = [port, ...settings].flatMap((each) => ['--set', each])
  const child = runWarren(['start', '--data-dir', data.path, ...set])
  const { code } = await within('it exits', child.exited, 10_000)
  expect(code).toBe(1)
  return child.output()
}

describe.each([
  ['an orderly stop', stop, 'stopped in order'],
  ['kill -9', kill, 'not stopped in order'],
])('after %s', (_, end, said) => {
  test('durable exchanges, queues, bindings and their arguments are back, transient ones are not', async () => {
    const first = await start('shards=2')
    const channel = await first.clients.channel()
    await channel.assertExchange('x', 'topic', { durable: true, alternateExchange: 'alt' })
    await channel.assertExchange('alt', 'fanout', { durable: true, internal: true })
    await channel.assertExchange('passing', 'fanout', { durable: false })
    for (const queue of ['q1', 'q2', 'q3']) await channel.assertQueue(queue, { durable: true })
    await channel.assertQueue('limited', { durable: true, maxLength: 3 })
    await channel.assertQueue('transient', { durable: false })
    const { queue: own } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue('q1', 'x', 'a.#')
    await channel.bindQueue('q2', 'alt', '')
    await channel.bindQueue('q3', 'amq.headers', '', { 'x-match': 'all', n: 1 })
    await channel.bindQueue('transient', 'amq.fanout', '')
    await channel.bindQueue('q2', 'amq.fanout', '')
    await channel.deleteQueue('q3')
    await channel.assertQueue('q3', { durable: true })
    await channel.bindQueue('q3', 'amq.headers', '', { 'x-match': 'all', n: 2 })
    await end(first)

    const second = await start()
    const { clients } = second
    expect(second.broker.process?.output()).toContain(said)
    for (const queue of ['q1', 'q2', 'q3', 'limited']) {
      expect(await exists(clients, (each) => each.checkQueue(queue))).toBe(true)
    }
    for (const queue of ['transient', own]) {
      expect(await exists(clients, (each) => each.checkQueue(queue))).toBe(false)
    }
    expect(await exists(clients, (each) => each.checkExchange('passing'))).toBe(false)
    const wrongLimit = { durable: true, maxLength: 4 }
    expect(await exists(clients, (each) => each.assertQueue('limited', wrongLimit))).toBe(false)

    const again = await clients.confirmChannel()
    again.publish('x', 'a.b', Buffer.from('by topic'))
    again.publish('x', 'b', Buffer.from('by alternate'))
    again.publish('amq.headers', '', Buffer.from('old'), { headers: { n: 1 } })
    again.publish('amq.headers', '', Buffer.from('by header'), { headers: { n: 2 } })
    await again.waitForConfirms()
    expect(await getOne(again, 'q1')).toMatchObject({ content: Buffer.from('by topic') })
    expect(await getOne(again, 'q2')).toMatchObject({ content: Buffer.from('by alternate') })
    expect(await getOne(again, 'q3')).toMatchObject({ content: Buffer.from('by header') })
  })

  test('users and vhosts of the first start stay, later ones of the configuration are added', async () => {
    await end(await start('default_user=first', 'default_pass=secret', 'default_vhosts.1=one'))
    const second = await start(
      'default_user=second',
      'default_vhosts.1=one',
      'default_vhosts.2=two',
      'default_users.late.password=secret',
      'default_users.late.vhost_pattern=^(one|two)$',
    )
    const login = { user: 'first', password: 'secret' }
    await second.clients.connect(login)
    for (const user of ['second', 'guest']) {
      await expect(second.clients.connect({ user, password: 'guest' })).rejects.toThrow(/403/)
    }
    for (const vhost of ['one', 'two']) {
      await second.clients.connect({ user: 'late', password: 'secret', vhost })
    }
    await expect(
      second.clients.connect({ user: 'late', password: 'secret', vhost: '/' }),
    ).rejects.toThrow(/ConnectionClose/)
    await end(second)
    const third = await start('default_users.late.password=changed')
    await third.clients.connect({ user: 'late', password: 'secret', vhost: 'two' })
  })
})

test('a paused queue stays paused, and a new vhost has what the configuration says, after kill -9', async () => {
  const settings = [
    withAdmin,
    'vhost_max=3',
    'default_limits.vhosts.few.pattern=^small',
    'default_limits.vhosts.few.max_queues=1',
    'default_policies.operator.ttl.vhost_pattern=^small',
    'default_policies.operator.ttl.queue_pattern=^t',
    'default_policies.operator.ttl.message_ttl=60000',
  ]
  const first = await start(...settings)
  const channel = await first.clients.confirmChannel()
  await channel.assertQueue('paused')
  channel.sendToQueue('paused', Buffer.from('m'), { persistent: true })
  await channel.waitForConfirms()
  await first.broker.admin({ op: 'pauseQueue', vhost: '/', queue: 'paused' })
  for (const name of ['small', 'large']) await first.broker.admin({ op: 'addVhost', name })
  const full = await first.broker.admin({ op: 'addVhost', name: 'another' })
  expect(full.error?.text).toContain('vhost limit of 3 is reached')
  await kill(first)
  const { broker, clients } = await start(...settings)
  const status = await broker.admin({ op: 'queueStatus', vhost: '/', queue: 'paused' })
  expect(status).toMatchObject({ paused: true, messages: 1 })
  expect(await getOne(await clients.channel(), 'paused')).toBeUndefined()
  await broker.admin({ op: 'resumeQueue', vhost: '/', queue: 'paused' })
  const got = await eventually('it goes on', async () => getOne(await clients.channel(), 'paused'))
  expect(got.content.toString()).toBe('m')
  const policies = await broker.admin({ op: 'listPolicies', operator: true })
  expect(policies['items']).toEqual([
    {
      vhost: 'small',
      name: 'ttl',
      pattern: '^t',
      'apply-to': 'queues',
      definition: { 'message-ttl': 60_000 },
      priority: 0,
    },
  ])
  const limits = await broker.admin({ op: 'listVhostLimits' })
  expect(limits['items']).toEqual([{ vhost: 'small', value: { 'max-queues': 1 } }])
}, 60_000)

test('kill -9 right after declare-ok, bind-ok and delete-ok takes nothing back', async () => {
  for (let round = 0; round < 3; round++) {
    const node = await start()
    const channel = await node.clients.channel()
    const names = Array.from({ length: 20 }, (_, i) => `q-${round}-${i}`)
    await Promise.all(names.map((name) => channel.assertQueue(name, { durable: true })))
    const last = await Promise.race([
      ...names.map((name) => channel.bindQueue(name, 'amq.topic', name).then(() => name)),
    ])
    if (round > 0) await channel.deleteQueue(`q-${round - 1}-0`)
    await kill(node)
    const again = await start()
    const look = await again.clients.channel()
    for (const name of names) await look.checkQueue(name)
    const confirms = await again.clients.confirmChannel()
    confirms.publish('amq.topic', last, Buffer.from('x'))
    await confirms.waitForConfirms()
    expect(await getOne(confirms, last)).toBeDefined()
    const deleted = `q-${round - 1}-0`
    if (round > 0) {
      expect(await exists(again.clients, (each) => each.checkQueue(deleted))).toBe(false)
    }
    await kill(again)
  }
})

describe('a data directory', () => {
  test('is used by one process at a time', async () => {
    const node = await start()
    const pid = node.broker.process?.pid
    expect(await refused()).toBe(
      `warren: data directory ${data.path} is in use by process ${pid}\n`,
    )
    await kill(node)
    await stop(await start())
    expect(readdirSync(data.path)).not.toContain('lock')
  })

  test.skipIf(!existsSync('/proc/self'))('where none can be made is refused at once', async () => {
    const file = join(tmpdir(), `warren-file-${process.pid}`)
    writeFileSync(file, '')
    const cause = /data directory (\S+) cannot be used: (.*)\n$/
    try {
      for (const [dir, why] of [
        ['/proc/warren/data', /no folder can be made in \/proc|may not be written/],
        [join(file, 'data'), /ENOTDIR/],
        [file, /is a file/],
      ] as const) {
        const child = runWarren(['start', '--data-dir', dir])
        const { code } = await within(`it refuses ${dir}`, child.exited, 10_000)
        expect(code).toBe(1)
        const [, named, text] = cause.exec(child.output()) ?? []
        expect(named).toBe(dir)
        expect(text).toMatch(why)
      }
    } finally {
      rmSync(file)
    }
  })

  test('of a newer format is refused', async () => {
    await stop(await start())
    const file = join(data.path, 'node.json')
    const facts = JSON.parse(readFileSync(file, 'utf8')) as object
    writeFileSync(file, JSON.stringify({ ...facts, format: 99, version: '9.9.9' }))
    expect(await refused()).toMatch(
      /has format 99, written by Warren 9\.9\.9; this is Warren .*reads formats up to/,
    )
  })

  test('keeps its number of shards', async () => {
    await stop(await start('shards=2'))
    expect(await refused('shards=3')).toContain('was made with shards = 2')
    const node = await start()
    await node.clients.connect()
  })

  test('with damaged metadata is refused and stays as it is', async () => {
    const node = await start()
    const channel = await node.clients.channel()
    for (let i = 0; i < 100; i++) await channel.assertQueue(`q${i}`, { durable: true })
    await stop(node)
    const file = join(data.path, 'metadata', 'data.mdb')
    const sound = readFileSync(file)
    const spoilt = Buffer.from(sound)
    // Inside of a row; everywhere, since LMDB leaves older copies in pages that nobody reads.
    for (let at = spoilt.indexOf('q77'); at >= 0; at = spoilt.indexOf('q77', at)) {
      spoilt[at + 1] = 0x38
    }
    writeFileSync(file, spoilt)
    expect(await refused()).toMatch(
      /damaged: (the row 07.* is damaged|page \d+ has keys out of order)/,
    )
    writeFileSync(file, Buffer.from(sound).fill(0x55, 8192))
    expect(await refused()).toContain('data.mdb is damaged: ')
    writeFileSync(file, sound)
    const again = await start()
    await (await again.clients.channel()).checkQueue('q77')
  })

  test('whose metadata is missing is refused', async () => {
    const node = await start()
    await eventually('the shard has its folder', () => readdirSync(data.path).includes('shard-0'))
    await stop(node)
    rmSync(join(data.path, 'metadata'), { recursive: true })
    expect(await refused()).toContain('data.mdb is missing, though messages are there')
    rmSync(join(data.path, 'node.json'))
    expect(await refused()).toMatch(/holds shard-0 but no node\.json/)
  })

  test('that cannot be made is told', async () => {
    data.path = mkdtempSync(join(tmpdir(), 'warren-durability-'))
    const whole = data.path
    writeFileSync(join(whole, 'file'), '')
    data.path = join(whole, 'file', 'inside')
    expect(await refused()).toMatch(/data directory .* cannot be used: ENOTDIR/)
    data.path = whole
  })
})
