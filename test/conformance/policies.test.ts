// Policies and limits, set by an operator while clients are connected.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AdminCommand, AdminReply, Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients, channelError, connectionError, getOne } from '../support/clients.ts'

// amqplib does not tell the text; test/core/topology/policies.test.ts has it.
const refused = 'ConnectionClose'

describe.each([1, 3])('policies and limits with %i shards', (shards) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'warren-policies-'))
  let broker: Broker
  let clients: Clients

  async function start(): Promise<void> {
    broker = await startWarren({ settings: [`shards=${shards}`], admin: true, dataDir })
    clients = new Clients(broker)
  }

  async function must(command: AdminCommand): Promise<AdminReply> {
    const reply = await broker.admin(command)
    expect(reply.error).toBe(undefined)
    return reply
  }

  beforeAll(start)

  afterAll(async () => {
    await clients.tidy()
    await clients.close()
    await broker.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  test('an alternate exchange by policy takes effect at once, and goes at once', async () => {
    const channel = await clients.confirmChannel()
    await channel.assertExchange('x', 'direct')
    await channel.assertQueue('unroutable')
    await channel.bindQueue('unroutable', 'amq.fanout', '')
    const publish = async (text: string): Promise<void> => {
      channel.publish('x', 'nowhere', Buffer.from(text))
      await channel.waitForConfirms()
    }
    await publish('before')
    const definition = { 'alternate-exchange': 'amq.fanout' }
    const policy = { vhost: '/', name: 'ae', pattern: '^x$', applyTo: 'exchanges', definition }
    await must({ op: 'setPolicy', ...policy })
    await publish('with')
    await must({ op: 'clearPolicy', vhost: '/', name: 'ae' })
    await publish('after')
    expect((await getOne(channel, 'unroutable'))?.content.toString()).toBe('with')
    expect(await channel.get('unroutable')).toBe(false)
  })

  test('queues get other settings at once, on the shard that owns them', async () => {
    const channel = await clients.channel()
    for (const queue of ['p1', 'p2', 'p3', 'p4']) await channel.assertQueue(queue)
    const set = { op: 'setPolicy', vhost: '/', pattern: '^p', definition: { 'max-length': 7 } }
    await must({ ...set, name: 'length' })
    for (const queue of ['p1', 'p2', 'p3', 'p4']) {
      const { settings } = await must({ op: 'queueStatus', vhost: '/', queue })
      expect(settings).toMatchObject({ lengthMax: 7 })
    }
  })

  test('a policy and limits survive kill -9', async () => {
    await must({ op: 'setVhostLimits', vhost: '/', limits: { 'max-queues': 100 } })
    await must({
      op: 'setPolicy',
      vhost: '/',
      name: 'kept',
      pattern: '^kept$',
      priority: 9,
      definition: { 'message-ttl': 60_000 },
    })
    await clients.tidy()
    broker.process?.kill('SIGKILL')
    await broker.process?.exited
    await start()
    const { items } = await must({ op: 'listPolicies' })
    expect(items).toContainEqual({
      vhost: '/',
      name: 'kept',
      pattern: '^kept$',
      'apply-to': 'all',
      definition: { 'message-ttl': 60_000 },
      priority: 9,
    })
    const channel = await clients.channel()
    await channel.assertQueue('kept')
    const status = await must({ op: 'queueStatus', vhost: '/', queue: 'kept' })
    expect(status['settings']).toMatchObject({ messageTtlMs: 60_000 })
    const limits = await must({ op: 'listVhostLimits' })
    expect(limits['items']).toEqual([{ vhost: '/', value: { 'max-queues': 100 } }])
  })

  test('a vhost with its limit of queues refuses one more', async () => {
    await must({ op: 'addVhost', name: 'small' })
    await must({ op: 'setVhostLimits', vhost: 'small', limits: { 'max-queues': 1 } })
    const all = { configure: '.*', write: '.*', read: '.*' }
    await must({ op: 'setPermissions', user: 'guest', vhost: 'small', ...all })
    const connection = await clients.connect({ vhost: 'small' })
    const channel = await clients.channel(connection)
    await channel.assertQueue('one')
    expect(await channelError(channel, () => channel.assertQueue('two'))).toMatchObject({
      code: 406,
      text: "PRECONDITION_FAILED - cannot declare queue 'two': queue limit in vhost 'small' (1) is reached",
    })
  })

  test('connections and channels of a user are limited', async () => {
    const all = { configure: '.*', write: '.*', read: '.*' }
    await must({ op: 'addUser', name: 'few', password: 'few', tags: [] })
    await must({ op: 'setPermissions', user: 'few', vhost: '/', ...all })
    const limits = { 'max-connections': 1, 'max-channels': 1 }
    await must({ op: 'setUserLimits', user: 'few', limits })
    const connection = await clients.connect({ user: 'few', password: 'few' })
    await expect(clients.connect({ user: 'few', password: 'few' })).rejects.toThrow(refused)
    const first = await connection.createChannel()
    await first.close()
    await connection.createChannel()
    const error = await connectionError(connection, () => {
      connection.createChannel().catch(() => undefined)
    })
    expect(error).toMatchObject({
      code: 530,
      text: "NOT_ALLOWED - number of channels opened for user 'few' has reached the maximum allowed user limit of (1)",
    })
    await must({ op: 'setUserLimits', user: 'few', limits: { 'max-connections': 0 } })
    await expect(clients.connect({ user: 'few', password: 'few' })).rejects.toThrow(refused)
  })

  test('a vhost with its limit of connections refuses one more, and takes it when one has gone', async () => {
    await must({ op: 'setVhostLimits', vhost: 'small', limits: { 'max-connections': 1 } })
    await clients.tidy()
    const only = await clients.connect({ vhost: 'small' })
    await expect(clients.connect({ vhost: 'small' })).rejects.toThrow(refused)
    await only.close()
    await clients.connect({ vhost: 'small' })
  })
})
