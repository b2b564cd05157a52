// Filters on streams by AMQP 1.0: what passes, what it costs, and what a drain says of it.

import { describe, expect, it } from 'vitest'
import { composite } from '../../gateways/amqp10/codec/composite.ts'
import type { AmqpMap, AmqpValue } from '../../gateways/amqp10/codec/value.ts'
import { map, symbol, uint, utf8 } from '../../gateways/amqp10/codec/value.ts'
import { Amqp10Peer, bodyOf, dataMessage, section } from '../support/amqp10-peer.ts'
import { describeBrokers } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

function described(key: string, name: string, value: AmqpValue): AmqpMap[number] {
  return [symbol(key), { type: 'described', descriptor: symbol(name), value }]
}

const first = described('offset', 'rabbitmq:stream-offset-spec', utf8('first'))
const sql = (expression: string): AmqpMap[number] =>
  described('sql-filter', 'amqp:sql-filter', utf8(expression))
const even = sql('parity = 0')

describeBrokers('filters of AMQP 1.0 on streams', (use) => {
  /** A stream of `count` messages m0, m1 ... whose `n` and `parity` are application properties. */
  async function filled(count: number): Promise<{ peer: Amqp10Peer; address: string }> {
    const channel = await use().channel()
    const name = use().name('filtered')
    await channel.assertQueue(name, { arguments: { 'x-queue-type': 'stream' } })
    const peer = await Amqp10Peer.open(use().broker)
    await peer.begin()
    const address = `/queues/${name}`
    await peer.attachSender(0, address)
    publish(peer, 0, count)
    await settled(peer, count)
    return { peer, address }
  }

  function publish(peer: Amqp10Peer, from: number, count: number): void {
    for (let i = from; i < from + count; i++) {
      const fields: AmqpMap = [
        [utf8('n'), uint(i)],
        [utf8('parity'), uint(i % 2)],
      ]
      peer.transfer(0, i, Buffer.concat([section(0x74, map(fields)), dataMessage(`m${i}`)]))
    }
  }

  async function settled(peer: Amqp10Peer, count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      const { performative } = await peer.expect('disposition')
      left -= (performative.last ?? performative.first) - performative.first + 1
    }
  }

  async function bodies(peer: Amqp10Peer, count: number): Promise<string[]> {
    const got: string[] = []
    while (got.length < count) got.push(bodyOf((await peer.expect('transfer')).payload))
    return got
  }

  describe.each([
    ['settled', 1],
    ['unsettled', 0],
  ])('%s', (_what, sndSettleMode) => {
    it('costs no credit for what does not pass', async () => {
      const { peer, address } = await filled(40)
      const source = composite('source', { address: utf8(address), filter: [first, even] })
      const reply = await peer.attachReceiver(1, address, 5, { sndSettleMode, source })
      expect(reply.offeredCapabilities).toContain('AMQP_FILTEX_SQL_V1_0')
      expect(await bodies(peer, 5)).toEqual(['m0', 'm2', 'm4', 'm6', 'm8'])
      // No more than that: the answer to an echo comes behind whatever was sent.
      peer.grant(1, 0, { deliveryCount: 5, echo: true })
      const { performative } = await peer.expectWhere('flow', ({ handle }) => handle === 1)
      expect(performative).toMatchObject({ deliveryCount: 5, linkCredit: 0 })
      expect(peer.frames.filter((each) => each.performative.kind === 'transfer')).toEqual([])
      peer.grant(1, 100, { deliveryCount: 5 })
      const rest = await bodies(peer, 15)
      expect(rest).toEqual(Array.from({ length: 15 }, (_, i) => `m${10 + 2 * i}`))
      publish(peer, 40, 3)
      expect(await bodies(peer, 2)).toEqual(['m40', 'm42'])
      peer.destroy()
    })

    it('drains to the end of the stream, over what does not pass', async () => {
      const { peer, address } = await filled(40)
      const filter = [first, sql('n > 33 AND parity = 1')]
      const source = composite('source', { address: utf8(address), filter })
      await peer.attachReceiver(1, address, 0, { sndSettleMode, source })
      for (const [count, expected] of [
        [0, ['m35', 'm37']],
        [2, ['m39']],
      ] as const) {
        peer.grant(1, 2, { deliveryCount: count, drain: true })
        const { performative } = await peer.expectWhere('flow', ({ handle }) => handle === 1)
        expect(performative).toMatchObject({ deliveryCount: count + 2, linkCredit: 0, drain: true })
        expect(await bodies(peer, expected.length)).toEqual(expected)
      }
      peer.grant(1, 1, { deliveryCount: 4, drain: true })
      const { performative } = await peer.expectWhere('flow', ({ handle }) => handle === 1)
      expect(performative).toMatchObject({ deliveryCount: 5, linkCredit: 0 })
      publish(peer, 40, 2)
      peer.grant(1, 1, { deliveryCount: 5 })
      expect(await bodies(peer, 1)).toEqual(['m41'])
      peer.destroy()
    })
  })

  it('says which filters are in place, and drops those it does not understand', async () => {
    const { peer, address } = await filled(4)
    const wanted = described('mine', 'amqp:application-properties-filter', {
      type: 'map',
      value: [[utf8('n'), uint(3)]],
    })
    const filter = [first, wanted, sql('parity ='), described('x', 'some:filter', utf8('y'))]
    const source = composite('source', { address: utf8(address), filter })
    const reply = await peer.attachReceiver(1, address, 10, { sndSettleMode: 1, source })
    const list = reply.source?.value
    expect(list?.type === 'list' ? list.value[7] : undefined).toEqual(map([first, wanted]))
    const reasons = map([
      [symbol('sql-filter'), utf8('a value expected at the end')],
      [symbol('x'), utf8('no filter is described as some:filter')],
    ])
    expect(reply.properties).toEqual([[symbol('warren:ignored-filters'), reasons]])
    expect(await bodies(peer, 1)).toEqual(['m3'])
    peer.destroy()
  })

  it('does not filter queues, and says so', async () => {
    const channel = await use().channel()
    const name = use().name('plain')
    await channel.assertQueue(name)
    const peer = await Amqp10Peer.open(use().broker)
    await peer.begin()
    const address = `/queues/${name}`
    const source = composite('source', { address: utf8(address), filter: [even] })
    const reply = await peer.attachReceiver(1, address, 10, { sndSettleMode: 1, source })
    const list = reply.source?.value
    expect(list?.type === 'list' ? list.value[7] : undefined).toEqual(map([]))
    channel.sendToQueue(name, Buffer.from('odd'), { headers: { parity: 1 } })
    expect(await bodies(peer, 1)).toEqual(['odd'])
    peer.destroy()
  })

  it('gives what a filtered link has settled back to no one', async () => {
    const { peer, address } = await filled(200)
    const source = composite('source', { address: utf8(address), filter: [first, sql('n = 199')] })
    await peer.attachReceiver(1, address, 1, { sndSettleMode: 0, source })
    expect(await bodies(peer, 1)).toEqual(['m199'])
    peer.send(0, 'detach', { handle: 1, closed: true })
    await peer.expectWhere('detach', ({ handle }) => handle === 1)
    peer.send(0, 'close', {})
    await peer.expect('close')
    await eventually('the end', () => peer.closed)
  })
})
