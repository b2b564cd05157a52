// Users, virtual hosts and permissions from the configuration.

import { expect, it } from 'vitest'
import type { FieldValue } from '../support/amqp-wire.ts'
import { channelError, drain, getOne, send } from '../support/clients.ts'
import { CORE_PROFILES, describeBrokers } from '../support/profiles.ts'
import type { Incoming, RawClient } from '../support/raw-client.ts'

const USER = { user: 'limited', password: 'secret' }
const SETTINGS = [
  'default_vhosts.1=other',
  'default_users.limited.password=secret',
  'default_users.limited.configure=^own-',
  'default_users.limited.write=^(own-|drop-)',
  'default_users.limited.read=^(own-|shelf-)',
  'default_users.limited.vhost_pattern=^/$',
  'default_users.imposter.password=secret',
  'default_users.imposter.tags=impersonator',
  'default_users.slow.password=secret',
  'default_users.slow.configure=^(a+)+$',
  'default_users.slow.write=^(a|aa)+$',
  'default_users.slow.read=^(.*a){30}$',
]

// Patterns that go back and forth need ages to see that this does not match.
const HARD = `${'a'.repeat(200)}b`

describeBrokers(
  'permissions',
  (use) => {
    type Step = [method: string, fields: Record<string, FieldValue>]

    async function refused(step: Step, login = USER): Promise<Incoming> {
      const raw = await use().raw(login)
      const [method, fields] = step
      if (method === 'basic.publish') raw.publish(1, { ...fields, body: 'x' })
      else raw.send(1, method, fields)
      return await raw.next(1)
    }

    const access = (permission: string, kind: string, name: string): object => ({
      name: 'channel.close',
      fields: {
        replyCode: 403,
        replyText: `ACCESS_REFUSED - ${permission} access to ${kind} '${name}' in vhost '/' refused for user 'limited'`,
      },
    })

    async function ready(...names: readonly string[]): Promise<void> {
      const channel = await use().channel()
      for (const name of names) {
        await channel.assertQueue(name)
        await channel.assertExchange(name, 'topic')
      }
    }

    it('allows what the patterns match', async () => {
      const connection = await use().connect(USER)
      const channel = await use().channel(connection)
      const [queue, exchange] = [use().name('own-q'), use().name('own-x')]
      await channel.assertQueue(queue)
      await channel.assertExchange(exchange, 'topic')
      await channel.bindQueue(queue, exchange, '#')
      channel.publish(exchange, 'k', Buffer.from('x'))
      expect(await drain(channel, queue)).toEqual(['x'])
      await channel.purgeQueue(queue)
      await channel.unbindQueue(queue, exchange, '#')
      await channel.deleteExchange(exchange)
      await channel.deleteQueue(queue)
    })

    it.each<[Step, string]>([
      [['queue.declare', { queue: 'theirs' }], 'queue'],
      [['queue.delete', { queue: 'theirs' }], 'queue'],
      [['exchange.declare', { exchange: 'theirs', type: 'topic' }], 'exchange'],
      [['exchange.delete', { exchange: 'theirs' }], 'exchange'],
    ])('refuses %j without configure', async (step, kind) => {
      use().name('theirs')
      await ready('theirs')
      expect(await refused(step)).toMatchObject(access('configure', kind, 'theirs'))
      await (await use().channel()).deleteQueue('theirs')
      await (await use().channel()).deleteExchange('theirs')
    })

    it('refuses a server-named queue whose name the pattern does not match', async () => {
      const reply = await refused(['queue.declare', { exclusive: true }])
      expect(reply.fields['replyText']).toMatch(
        /^ACCESS_REFUSED - configure access to queue 'amq\.gen-[^']+' in vhost '\/' refused for user 'limited'$/,
      )
    })

    it('refuses to read without read', async () => {
      const name = use().name('drop-box')
      await ready(name)
      for (const method of ['basic.get', 'basic.consume', 'queue.purge']) {
        expect(await refused([method, { queue: name }])).toMatchObject(
          access('read', 'queue', name),
        )
      }
    })

    it('refuses to publish without write', async () => {
      const name = use().name('shelf-x')
      await ready(name)
      expect(await refused(['basic.publish', { exchange: name }])).toMatchObject(
        access('write', 'exchange', name),
      )
      expect(await refused(['basic.publish', { routingKey: name }])).toMatchObject(
        access('write', 'exchange', 'amq.default'),
      )
    })

    it('checks both ends of a binding', async () => {
      const [own, box, shelf] = [use().name('own-b'), use().name('drop-b'), use().name('shelf-b')]
      await ready(own, box, shelf)
      const binds: [string, string, object | undefined][] = [
        [own, shelf, undefined],
        [box, own, undefined],
        [shelf, own, access('write', 'queue', shelf)],
        [own, box, access('read', 'exchange', box)],
      ]
      for (const [queue, exchange, answer] of binds) {
        for (const method of ['queue.bind', 'queue.unbind']) {
          const reply = await refused([method, { queue, exchange, routingKey: 'k' }])
          expect(reply, `${method} ${queue} ${exchange}`).toMatchObject(
            answer ?? { name: `${method}-ok` },
          )
        }
      }
      const between: [string, string, object | undefined][] = [
        [box, shelf, undefined],
        [shelf, own, access('write', 'exchange', shelf)],
        [own, box, access('read', 'exchange', box)],
      ]
      for (const [destination, source, answer] of between) {
        const reply = await refused(['exchange.bind', { destination, source, routingKey: 'k' }])
        expect(reply).toMatchObject(answer ?? { name: 'exchange.bind-ok' })
      }
    })

    it('wants any permission for a passive declaration', async () => {
      const [box, theirs] = [use().name('drop-p'), use().name('theirs')]
      await ready(box, theirs)
      expect((await refused(['queue.declare', { queue: box, passive: true }])).name).toBe(
        'queue.declare-ok',
      )
      expect(await refused(['queue.declare', { queue: theirs, passive: true }])).toMatchObject({
        name: 'channel.close',
        fields: { replyCode: 403 },
      })
    })

    it('wants write on the alternate exchange and on the dead letter exchange', async () => {
      const own = use().name('own-ae')
      const alternate = { 'alternate-exchange': 'shelf-ae' }
      expect(
        await refused(['exchange.declare', { exchange: own, type: 'topic', arguments: alternate }]),
      ).toMatchObject(access('write', 'exchange', 'shelf-ae'))
      const dead = { 'x-dead-letter-exchange': 'shelf-dl' }
      expect(
        await refused(['queue.declare', { queue: own, durable: true, arguments: dead }]),
      ).toMatchObject(access('write', 'exchange', 'shelf-dl'))
    })

    it('refuses a virtual host that the user may not enter', async () => {
      const raw = await use().socket()
      const { answer } = await raw.authenticate(USER)
      raw.tuneOk(answer)
      raw.send(0, 'connection.open', { virtualHost: 'other' })
      expect(await raw.next(0)).toMatchObject({
        name: 'connection.close',
        fields: {
          replyCode: 530,
          replyText: "NOT_ALLOWED - access to vhost 'other' refused for user 'limited'",
        },
      })
    })

    it('keeps virtual hosts apart', async () => {
      const here = await use().channel()
      // guest has permissions in the default virtual host only.
      const login = { user: 'imposter', password: 'secret', vhost: 'other' }
      const connection = await use().connect(login)
      const other = await use().channel(connection)
      const queue = use().name('twin')
      await here.assertQueue(queue)
      await other.assertQueue(queue, { autoDelete: true })
      send(here, queue, 'here')
      send(other, queue, 'other')
      expect(await drain(here, queue)).toEqual(['here'])
      expect(await drain(other, queue)).toEqual(['other'])
      await other.deleteQueue(queue)
      const error = await channelError(other, () => other.checkQueue('nowhere'))
      expect(error.text).toBe("NOT_FOUND - no queue 'nowhere' in vhost 'other'")
    })

    it('lets an impersonator set any user-id', async () => {
      const channel = await use().channel(
        await use().connect({ user: 'imposter', password: 'secret' }),
      )
      const { queue } = await channel.assertQueue('', { exclusive: true })
      channel.sendToQueue(queue, Buffer.from('x'), { userId: 'somebody' })
      expect((await getOne(channel, queue))?.properties.userId).toBe('somebody')
    })

    it.each<[string, Step, object]>([
      ['publish', ['basic.publish', { exchange: 'gone' }], access('write', 'exchange', 'gone')],
      ['get', ['basic.get', { queue: 'gone' }], access('read', 'queue', 'gone')],
      ['consume', ['basic.consume', { queue: 'gone' }], access('read', 'queue', 'gone')],
      ['purge', ['queue.purge', { queue: 'gone' }], access('read', 'queue', 'gone')],
      ['delete', ['queue.delete', { queue: 'gone' }], access('configure', 'queue', 'gone')],
      [
        'bind',
        ['queue.bind', { queue: 'gone', exchange: 'amq.topic' }],
        access('write', 'queue', 'gone'),
      ],
    ])('looks no name up for %s that the user may not use', async (_title, step, answer) => {
      expect(await refused(step)).toMatchObject(answer)
    })

    it.each<[string, Step]>([
      ['configure', ['queue.declare', { queue: HARD }]],
      ['write', ['basic.publish', { exchange: HARD }]],
      ['read', ['basic.get', { queue: HARD }]],
    ])('checks %s quickly whatever the pattern is', async (_permission, step) => {
      const started = Date.now()
      const reply = await refused(step, { user: 'slow', password: 'secret' })
      expect(reply.name).toBe('channel.close')
      expect(Date.now() - started).toBeLessThan(2000)
    })

    it('closes only the channel', async () => {
      const raw: RawClient = await use().raw(USER)
      expect(await raw.call(1, 'queue.declare', { queue: 'theirs' })).toMatchObject({
        name: 'channel.close',
      })
      raw.send(1, 'channel.close-ok')
      await raw.openChannel(1)
      const queue = use().name('own-after')
      expect((await raw.call(1, 'queue.declare', { queue, durable: true })).name).toBe(
        'queue.declare-ok',
      )
    })
  },
  { warrenOnly: true, settings: SETTINGS, profiles: CORE_PROFILES },
)
