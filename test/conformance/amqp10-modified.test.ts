// The outcome `modified`: what a receiver says of a message goes with it.

import { expect, it } from 'vitest'
import { composite } from '../../gateways/amqp10/codec/composite.ts'
import type { AmqpMap, AmqpValue, Described } from '../../gateways/amqp10/codec/value.ts'
import { bool, list, map, symbol, uint, ulong, utf8 } from '../../gateways/amqp10/codec/value.ts'
import { Amqp10Peer, dataMessage, decodeSections, section } from '../support/amqp10-peer.ts'
import { getOne } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

function modified(
  annotations: AmqpMap,
  fields: { deliveryFailed?: boolean; undeliverableHere?: boolean } = {},
): Described {
  return composite('modified', { ...fields, messageAnnotations: annotations }) as Described
}

/** Annotations of a message by name, without those that every message has. */
function annotationsOf(payload: Uint8Array): Record<string, AmqpValue> {
  const found = decodeSections(payload).get(0x72)
  const entries = found?.type === 'map' ? found.value : []
  const all = entries.map(([key, value]) => [String(key.value), value] as const)
  return Object.fromEntries(all.filter(([key]) => !/^x-(exchange|routing-key)$/.test(key)))
}

describeBrokers(
  'modified with annotations',
  (use) => {
    async function start(
      type: string,
    ): Promise<{ peer: Amqp10Peer; queue: string; dead: string; address: string }> {
      const channel = await use().channel()
      const queue = use().name('modified')
      const dead = use().name('dead')
      const toDead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead }
      await channel.assertQueue(dead)
      await channel.assertQueue(queue, { arguments: { 'x-queue-type': type, ...toDead } })
      const peer = await Amqp10Peer.open(use().broker)
      await peer.begin()
      const address = `/queues/${queue}`
      await peer.attachSender(0, address)
      return { peer, queue, dead, address }
    }

    async function publish(peer: Amqp10Peer, message: Uint8Array): Promise<void> {
      peer.transfer(0, 0, message)
      await peer.expect('disposition')
    }

    function settle(peer: Amqp10Peer, first: number, state: Described): void {
      peer.send(0, 'disposition', { role: true, first, settled: true, state })
    }

    it('shows them at the next delivery, and in dead letters, whoever reads them', async () => {
      const { peer, dead, address } = await start('quorum')
      const own = section(
        0x72,
        map([
          [symbol('x-a'), ulong(1)],
          [symbol('x-b'), utf8('mine')],
        ]),
      )
      await publish(peer, Buffer.concat([own, dataMessage('hello')]))
      await peer.attachReceiver(1, address, 10)
      expect(annotationsOf((await peer.expect('transfer')).payload)).toEqual({
        'x-a': ulong(1),
        'x-b': utf8('mine'),
      })
      const said: AmqpMap = [
        [symbol('x-b'), utf8('yours')],
        [symbol('x-opt-list'), list([utf8('one'), uint(2)])],
        [symbol('x-death'), utf8('is not theirs to say')],
      ]
      settle(peer, 0, modified(said, { deliveryFailed: true }))
      const second = (await peer.expect('transfer')).payload
      const long = (value: number): AmqpValue => ({ type: 'long', value })
      expect(annotationsOf(second)).toEqual({
        'x-a': ulong(1),
        'x-b': utf8('yours'),
        'x-opt-list': list([utf8('one'), uint(2)]),
        'x-delivery-count': long(1),
        'x-acquired-count': long(1),
      })
      const header = decodeSections(second).get(0x70)
      expect(header?.type === 'list' && header.value.slice(3).map(({ value }) => value)).toEqual([
        false,
        1,
      ])
      settle(peer, 1, modified([[symbol('x-opt-why'), bool(true)]], { undeliverableHere: true }))
      const channel = await use().channel()
      const got = await eventually('the dead letter', () => getOne(channel, dead))
      expect(got.content.toString()).toBe('hello')
      expect(got.properties.headers).toMatchObject({
        'x-a': 1,
        'x-b': 'yours',
        'x-opt-list': ['one', 2],
        'x-opt-why': true,
        'x-last-death-reason': 'rejected',
      })
      channel.nack(got)
      await peer.attachReceiver(2, `/queues/${dead}`, 1)
      const last = await peer.expectWhere('transfer', ({ handle }) => handle === 2)
      expect(annotationsOf(last.payload)).toMatchObject({
        'x-a': ulong(1),
        'x-b': utf8('yours'),
        'x-opt-why': bool(true),
        'x-last-death-reason': utf8('rejected'),
      })
      peer.destroy()
    })

    it('puts them into messages of 0-9-1 publishers, of one disposition all', async () => {
      const { peer, queue, address } = await start('quorum')
      const channel = await use().channel()
      const options = { headers: { plain: 'p', 'x-own': 'o' } }
      for (const body of ['a', 'b']) channel.sendToQueue(queue, Buffer.from(body), options)
      await peer.attachReceiver(1, address, 2)
      for (let i = 0; i < 2; i++) await peer.expect('transfer')
      const state = modified([[symbol('x-opt-said'), utf8('again')]])
      peer.send(0, 'disposition', { role: true, first: 0, last: 1, settled: false, state })
      await peer.expectWhere('disposition', ({ role }) => !role)
      for (const body of ['a', 'b']) {
        const got = await eventually('it again', () => getOne(channel, queue))
        expect(got.content.toString()).toBe(body)
        expect(got.properties.headers).toEqual({
          plain: 'p',
          'x-own': 'o',
          'x-opt-said': 'again',
          'x-acquired-count': 1,
        })
      }
      peer.destroy()
    })

    it('ignores them in classic queues, and ends sessions for names that may not be', async () => {
      const { peer, address } = await start('classic')
      await publish(peer, dataMessage('plain'))
      await peer.attachReceiver(1, address, 10)
      await peer.expect('transfer')
      settle(peer, 0, modified([[symbol('x-opt'), utf8('y')]]))
      expect(annotationsOf((await peer.expect('transfer')).payload)).toEqual({})
      settle(peer, 1, modified([[symbol('opt'), utf8('y')]]))
      const { performative } = await peer.expect('end')
      expect(performative.error?.condition).toBe('amqp:invalid-field')
      peer.destroy()
    })
  },
  { profiles: PROFILES.slice(1, 2) },
)
