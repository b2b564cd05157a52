// Streams by AMQP 1.0: what a 1.0 publisher said comes back as it was, from wherever a filter says.

import type { EventContext, Message, Connection as RheaConnection } from 'rhea'
import rhea from 'rhea'
import { afterEach, expect, it } from 'vitest'
import type { Clients } from '../support/clients.ts'
import { consume } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

describeBrokers(
  'streams by AMQP 1.0',
  (use) => {
    const open: RheaConnection[] = []

    afterEach(() => {
      for (const connection of open.splice(0)) connection.close()
    })

    function connect(): RheaConnection {
      const { host, port } = use().broker
      const login = { host, port, username: 'guest', password: 'guest', reconnect: false } as const
      const connection = rhea.create_container().connect(login)
      open.push(connection)
      return connection
    }

    async function filled(messages: readonly Message[]): Promise<string> {
      const name = await declared(use)
      const sender = connect().open_sender(`/queues/${name}`)
      let accepted = 0
      sender.on('accepted', () => accepted++)
      sender.once('sendable', () => {
        for (const message of messages) sender.send(message)
      })
      await eventually('all are accepted', () => accepted === messages.length)
      return name
    }

    function receive(name: string, offset: unknown, credit: number): Message[] {
      const got: Message[] = []
      const spec = 'rabbitmq:stream-offset-spec'
      const filter = { [spec]: rhea.types.wrap_described(offset, spec) }
      const source = { address: `/queues/${name}`, filter }
      const receiver = connect().open_receiver({ source, credit_window: credit })
      receiver.on('message', ({ message }: EventContext) => {
        if (message !== undefined) got.push(message)
      })
      return got
    }

    it('keeps what 0-9-1 has no room for', async () => {
      const sent: Message = {
        message_id: 77,
        subject: 'subject',
        to: 'somewhere',
        group_sequence: 3,
        application_properties: { count: 1, text: 'x' },
        message_annotations: { 'x-own': 'mine' },
        body: 'text',
      }
      const name = await filled([sent, { body: { nested: 1 } }])
      const got = receive(name, 'first', 10)
      await eventually('both have come', () => got.length === 2)
      expect(got[0]).toMatchObject(sent)
      expect(got[0]?.message_annotations).toMatchObject({ 'x-stream-offset': 0 })
      expect(got[1]?.body).toEqual({ nested: 1 })
    })

    it('reads on as far as link credit goes, from an offset or a name', async () => {
      const bodies = Array.from({ length: 100 }, (_, i) => ({ body: `m${i}` }))
      const name = await filled(bodies)
      const all = receive(name, 'first', 3)
      const some = receive(name, rhea.types.wrap_ulong(90), 50)
      await eventually('all have come', () => all.length === 100 && some.length === 10)
      expect(all.map(({ body }) => String(body))).toEqual(bodies.map(({ body }) => body))
      expect(String(some[0]?.body)).toBe('m90')
    })

    it('shows 0-9-1 the same messages', async () => {
      const name = await filled([
        {
          body: rhea.message.data_section(Buffer.from('data')),
          correlation_id: 'c',
          content_type: 't',
        },
      ])
      const channel = await use().channel()
      await channel.prefetch(5)
      const inbox = await consume(channel, name, { arguments: { 'x-stream-offset': 'first' } })
      expect(await inbox.bodies(1)).toEqual(['data'])
      const properties = { correlationId: 'c', contentType: 't' }
      expect(inbox.messages[0]?.properties).toMatchObject(properties)
    })
  },
  { profiles: PROFILES.slice(1) },
)

async function declared(use: () => Clients): Promise<string> {
  const channel = await use().channel()
  const name = use().name('stream')
  await channel.assertQueue(name, { arguments: { 'x-queue-type': 'stream' } })
  return name
}
