// AMQP 1.0 frame by frame: what the broker says to what a client says, and to what no library sends.

import { describe, expect, it } from 'vitest'
import { composite } from '../../gateways/amqp10/codec/composite.ts'
import type { Described } from '../../gateways/amqp10/codec/value.ts'
import { bool, symbol, uint, ulong, utf8 } from '../../gateways/amqp10/codec/value.ts'
import {
  AMQP_HEADER,
  Amqp10Peer,
  bodyOf,
  dataMessage,
  decodeSections,
  fields,
  SASL_HEADER,
} from '../support/amqp10-peer.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

const accepted: Described = {
  type: 'described',
  descriptor: ulong(0x24),
  value: { type: 'list', value: [] },
}
const released: Described = { ...accepted, descriptor: ulong(0x26) }

describeBrokers('AMQP 1.0', (use) => {
  const open = (): Promise<Amqp10Peer> => Amqp10Peer.open(use().broker)

  /** A connection with a session, and a queue that a 0-9-1 client has declared. */
  async function withQueue(
    options: { arguments?: Record<string, unknown> } = {},
  ): Promise<{ peer: Amqp10Peer; queue: string; address: string }> {
    const channel = await use().channel()
    const queue = use().name('q10')
    await channel.assertQueue(queue, options)
    const peer = await open()
    await peer.begin()
    return { peer, queue, address: `/queues/${queue}` }
  }

  /** Publishes one message and waits for its outcome. */
  async function publish(
    peer: Amqp10Peer,
    handle: number,
    id: number,
    body: string,
  ): Promise<void> {
    peer.transfer(handle, id, dataMessage(body))
    const { performative } = await peer.expect('disposition')
    expect(performative).toMatchObject({ role: true, settled: true })
    expect(performative.state?.descriptor.value).toBe(0x24)
  }

  describe('handshake', () => {
    it('answers the header of AMQP 1.0 without SASL by that with SASL, and closes', async () => {
      const peer = new Amqp10Peer(use().broker)
      peer.raw(AMQP_HEADER)
      await peer.gone()
      expect(peer.headers).toEqual([SASL_HEADER])
    })

    it('says what it is and can in its open', async () => {
      const peer = new Amqp10Peer(use().broker)
      await peer.login()
      peer.send(0, 'open', { containerId: 'c', hostname: 'vhost:/', channelMax: 9 })
      const { performative } = await peer.expect('open')
      expect(performative).toMatchObject({
        maxFrameSize: 131072,
        channelMax: 9,
        idleTimeOut: 30000,
        offeredCapabilities: ['LINK_PAIR_V1_0', 'ANONYMOUS-RELAY'],
      })
      const names = performative.properties?.map(([key]) => key.value)
      expect(names).toEqual(expect.arrayContaining(['product', 'version', 'platform', 'node']))
      peer.send(0, 'close', {})
      await peer.expect('close')
      await peer.gone()
    })

    it('takes everything up to open in one chunk', async () => {
      const peer = new Amqp10Peer(use().broker)
      peer.socket.cork()
      peer.raw(SASL_HEADER)
      peer.sendAs(1, 0, 'saslInit', {
        mechanism: 'PLAIN',
        initialResponse: Buffer.from('\0guest\0guest'),
      })
      peer.raw(AMQP_HEADER)
      peer.send(0, 'open', { containerId: 'eager' })
      peer.socket.uncork()
      await peer.expect('open')
      peer.destroy()
    })

    it('refuses a vhost that is not there by open and close', async () => {
      const peer = await Amqp10Peer.open(use().broker, { open: { hostname: 'vhost:none' } })
      const { performative } = await peer.expect('close')
      expect(performative.error).toMatchObject({
        condition: 'amqp:unauthorized-access',
        description: "AMQP 1.0 connection failed: virtual host 'none' does not exist",
      })
    })

    it.each([
      ['frames that are too small', { maxFrameSize: 511 }, 'amqp:frame-size-too-small'],
      ['an idle time-out below a second', { idleTimeOut: 999 }, 'amqp:not-allowed'],
    ])('refuses %s', async (_what, fields, condition) => {
      const peer = await Amqp10Peer.open(use().broker, { open: fields })
      const { performative } = await peer.expect('close')
      expect(performative.error?.condition).toBe(condition)
    })
  })

  describe('sessions', () => {
    it('begin with windows, and a handle-max not above the client’s', async () => {
      const peer = await open()
      const begin = await peer.begin(3, { handleMax: 7 })
      expect(begin).toMatchObject({ remoteChannel: 3, nextOutgoingId: 0, handleMax: 7 })
      peer.send(3, 'end', {})
      await peer.expect('end')
      await peer.begin(3)
      peer.destroy()
    })

    it('are refused on a channel that has one, and beyond channel-max', async () => {
      const twice = await open()
      await twice.begin(1)
      twice.send(1, 'begin', { nextOutgoingId: 0, incomingWindow: 1, outgoingWindow: 1 })
      const { performative } = await twice.expect('close')
      expect(performative.error?.condition).toBe('amqp:illegal-state')
      const beyond = await open()
      beyond.send(64, 'begin', { nextOutgoingId: 0, incomingWindow: 1, outgoingWindow: 1 })
      const closed = await beyond.expect('close')
      expect(closed.performative.error?.condition).toBe('amqp:connection:framing-error')
    })

    it.each([
      ['a transfer', 'amqp:session:unattached-handle'],
      ['a flow', 'amqp:session:unattached-handle'],
    ])('end for %s on a handle without a link', async (what, condition) => {
      const peer = await open()
      await peer.begin()
      if (what === 'a flow') peer.grant(5, 1)
      else peer.transfer(5, 0, dataMessage('x'))
      const { performative } = await peer.expect('end')
      expect(performative.error?.condition).toBe(condition)
      peer.send(0, 'end', {})
      await peer.begin()
      peer.destroy()
    })

    it('end for a handle that is in use', async () => {
      const { peer, address } = await withQueue()
      await peer.attachSender(1, address)
      peer.send(0, 'attach', { name: 'other', handle: 1, role: true })
      const { performative } = await peer.expect('end')
      expect(performative.error?.condition).toBe('amqp:session:handle-in-use')
    })

    it('answer a flow that wants an echo', async () => {
      const peer = await open()
      await peer.begin()
      peer.send(0, 'flow', {
        nextIncomingId: 0,
        incomingWindow: 1,
        nextOutgoingId: 0,
        outgoingWindow: 1,
        echo: true,
      })
      const { performative } = await peer.expect('flow')
      expect(performative.handle).toBeUndefined()
      peer.destroy()
    })

    it('send no more transfers than the client’s window takes', async () => {
      const { peer, address } = await withQueue()
      await peer.attachSender(0, address)
      for (let i = 0; i < 5; i++) await publish(peer, 0, i, `m${i}`)
      await peer.begin(1, { incomingWindow: 2 })
      await peer.attachReceiver(0, address, 0, { sndSettleMode: 1 }, 1)
      const flow = { incomingWindow: 2, deliveryCount: 0, echo: true }
      peer.grant(0, 10, flow, 1)
      // The answer to the echo comes behind all five, so behind the window.
      const first = [await peer.expect('transfer'), await peer.expect('transfer')]
      expect(first.map(({ payload }) => bodyOf(payload))).toEqual(['m0', 'm1'])
      peer.send(1, 'flow', {
        nextIncomingId: 2,
        incomingWindow: 10,
        nextOutgoingId: 0,
        outgoingWindow: 1,
      })
      const rest = await Promise.all([0, 1, 2].map(() => peer.expect('transfer')))
      expect(rest.map(({ payload }) => bodyOf(payload))).toEqual(['m2', 'm3', 'm4'])
      expect(peer.frames.filter(({ performative }) => performative.kind === 'transfer')).toEqual([])
      peer.destroy()
    })
  })

  describe('refused links', () => {
    it.each([
      ['a queue that is not there', '/queues/none-at-all', 'amqp:not-found'],
      ['an exchange that is not there', '/exchanges/none-at-all/k', 'amqp:not-found'],
      ['a bad address', '/queues/%zz', 'amqp:invalid-field'],
      ['the default exchange by name', '/exchanges/amq.default/k', 'amqp:invalid-field'],
      ['an address of version 1', '/queue/q', 'amqp:invalid-field'],
    ])('a sender to %s gets an attach and a detach', async (_what, address, condition) => {
      const peer = await open()
      await peer.begin()
      const reply = await peer.attachSender(2, address)
      expect(reply.target).toBeUndefined()
      const { performative } = await peer.expect('detach')
      expect(performative).toMatchObject({ handle: 2, closed: true, error: { condition } })
      peer.send(0, 'detach', { handle: 2, closed: true })
      // The handle is free again, and the session lives.
      await peer.attachSender(2, undefined)
      peer.destroy()
    })

    it.each([
      ['a queue that is not there', '/queues/none-at-all', 'amqp:not-found'],
      ['an exchange', '/exchanges/amq.topic/k', 'amqp:invalid-field'],
    ])('a receiver from %s gets an attach and a detach', async (_what, address, condition) => {
      const peer = await open()
      await peer.begin()
      const reply = await peer.attachReceiver(2, address, 0)
      expect(reply.source).toBeUndefined()
      const { performative } = await peer.expect('detach')
      expect(performative).toMatchObject({ handle: 2, closed: true, error: { condition } })
      peer.destroy()
    })

    it('are those that want transactions, recovery or exactly once', async () => {
      const { peer, address } = await withQueue()
      const coordinator: Described = { ...accepted, descriptor: ulong(0x30) }
      await peer.attachSender(1, address, { target: coordinator })
      await peer.attachSender(2, address, { unsettled: [[utf8('tag'), accepted]] })
      await peer.attachSender(3, address, { rcvSettleMode: 1 })
      await peer.attachSender(4, address, { initialDeliveryCount: undefined })
      const errors = []
      for (let i = 0; i < 4; i++) errors.push((await peer.expect('detach')).performative.error)
      expect(errors.map((error) => error?.condition)).toEqual([
        'amqp:not-implemented',
        'amqp:not-implemented',
        'amqp:not-implemented',
        'amqp:invalid-field',
      ])
      peer.destroy()
    })
  })

  it('a receiver that would settle second is told that it settles first', async () => {
    const { peer, address } = await withQueue()
    const reply = await peer.attachReceiver(1, address, 0, { rcvSettleMode: 1 })
    expect(reply.rcvSettleMode).toBe(0)
    expect(reply.source).toBeDefined()
    peer.destroy()
  })

  describe('publishing', () => {
    it('accepts what is routed, in one disposition for many', async () => {
      const { peer, address } = await withQueue()
      await peer.attachSender(0, address)
      peer.socket.cork()
      for (let i = 0; i < 10; i++) peer.transfer(0, i, dataMessage(`m${i}`))
      peer.socket.uncork()
      let next = 0
      while (next < 10) {
        const { performative } = await peer.expect('disposition')
        expect(performative).toMatchObject({ role: true, first: next, settled: true })
        next = (performative.last ?? performative.first) + 1
      }
      peer.destroy()
    })

    it('releases what goes nowhere', async () => {
      const peer = await open()
      await peer.begin()
      await peer.attachSender(0, '/exchanges/amq.direct/nowhere')
      peer.transfer(0, 0, dataMessage('x'))
      const { performative } = await peer.expect('disposition')
      expect(performative.state?.descriptor.value).toBe(0x26)
      peer.destroy()
    })

    it('puts the frames of a message together, and drops an aborted one', async () => {
      const { peer, address } = await withQueue()
      await peer.attachSender(0, address)
      const message = Buffer.from(dataMessage('in three parts'))
      peer.transfer(0, 0, message.subarray(0, 4), { more: true })
      peer.transfer(0, 0, message.subarray(4, 9), { more: true, deliveryId: undefined })
      peer.transfer(0, 0, message.subarray(9), { deliveryTag: undefined })
      await peer.expect('disposition')
      peer.transfer(0, 1, message.subarray(0, 4), { more: true })
      peer.transfer(0, 1, new Uint8Array(0), { aborted: true })
      await publish(peer, 0, 2, 'after')
      await peer.attachReceiver(1, address, 10, { sndSettleMode: 1 })
      const got = [await peer.expect('transfer'), await peer.expect('transfer')]
      expect(got.map(({ payload }) => bodyOf(payload))).toEqual(['in three parts', 'after'])
      peer.destroy()
    })

    it.each([
      ['another delivery-id', { deliveryId: 9 }],
      ['another settled', { settled: true }],
    ])('detaches for a continuation with %s', async (_what, fields) => {
      const { peer, address } = await withQueue()
      await peer.attachSender(0, address)
      peer.transfer(0, 0, dataMessage('x'), { more: true })
      peer.transfer(0, 0, new Uint8Array(0), fields)
      const { performative } = await peer.expect('detach')
      expect(performative.error?.condition).toBe('amqp:invalid-field')
      peer.destroy()
    })

    it('detaches for a message that is none, and goes on with the session', async () => {
      const { peer, address } = await withQueue()
      await peer.attachSender(0, address)
      peer.transfer(0, 0, Buffer.from([1, 2, 3]))
      const { performative } = await peer.expect('detach')
      expect(performative.error?.condition).toBe('amqp:decode-error')
      await peer.attachSender(1, address)
      await publish(peer, 1, 1, 'still here')
      peer.destroy()
    })

    it('splits what it sends at the client’s max-frame-size', async () => {
      const { address } = await withQueue()
      const peer = await Amqp10Peer.open(use().broker, { open: { maxFrameSize: 512 } })
      await peer.begin()
      await peer.attachSender(0, address)
      const body = 'x'.repeat(2000)
      peer.transfer(0, 0, dataMessage(body))
      await peer.expect('disposition')
      await peer.attachReceiver(1, address, 1, { sndSettleMode: 1 })
      const parts: Buffer[] = []
      for (;;) {
        const { performative, payload } = await peer.expect('transfer')
        parts.push(payload)
        if (performative.more !== true) break
      }
      expect(parts.length).toBeGreaterThan(4)
      expect(bodyOf(Buffer.concat(parts))).toBe(body)
      peer.destroy()
    })

    it('rejects one message of an anonymous terminus, with the reason', async () => {
      const { peer, queue, address } = await withQueue()
      await peer.attachSender(0, undefined)
      const to = (value: string): Buffer =>
        Buffer.concat([
          Buffer.from([0, 0x53, 0x73, 0xc0, value.length + 5, 3, 0x40, 0x40, 0xa1, value.length]),
          Buffer.from(value),
          dataMessage('x'),
        ])
      peer.transfer(0, 0, to('/exchanges/none/k'))
      peer.transfer(0, 1, to('nonsense'))
      peer.transfer(0, 2, dataMessage('no address'))
      peer.transfer(0, 3, to(address))
      const states = new Map<number, Described | undefined>()
      while (states.size < 4) {
        const { first, state } = (await peer.expect('disposition')).performative
        states.set(first, state)
      }
      const condition = (id: number): unknown => {
        const state = states.get(id)
        const error = state?.value.type === 'list' ? state.value.value[0] : undefined
        const list = error?.type === 'described' ? error.value : undefined
        return list?.type === 'list' ? list.value[0]?.value : undefined
      }
      expect(condition(0)).toBe('amqp:not-found')
      expect(condition(1)).toBe('amqp:precondition-failed')
      expect(condition(2)).toBe('amqp:precondition-failed')
      expect(states.get(3)?.descriptor.value, queue).toBe(0x24)
      peer.destroy()
    })

    it('detaches a link whose exchange has gone, with the message released', async () => {
      const channel = await use().channel()
      const exchange = use().name('gone')
      await channel.assertExchange(exchange, 'fanout')
      const peer = await open()
      await peer.begin()
      await peer.attachSender(0, `/exchanges/${exchange}`)
      await channel.deleteExchange(exchange)
      peer.transfer(0, 0, dataMessage('x'))
      const outcome = await peer.expect('disposition')
      expect(outcome.performative.state?.descriptor.value).toBe(0x26)
      const { performative } = await peer.expect('detach')
      expect(performative.error?.condition).toBe('amqp:not-found')
      peer.destroy()
    })
  })

  describe('receiving', () => {
    it('gets what it has credit for, and the rest when it grants more', async () => {
      const { peer, address } = await withQueue()
      await peer.attachSender(0, address)
      for (let i = 0; i < 4; i++) await publish(peer, 0, i, `m${i}`)
      await peer.attachReceiver(1, address, 2, { sndSettleMode: 1 })
      expect(bodyOf((await peer.expect('transfer')).payload)).toBe('m0')
      expect(bodyOf((await peer.expect('transfer')).payload)).toBe('m1')
      peer.grant(1, 1, { deliveryCount: 2, drain: true })
      expect(bodyOf((await peer.expect('transfer')).payload)).toBe('m2')
      const drained = await peer.expectWhere('flow', ({ handle }) => handle === 1)
      expect(drained.performative).toMatchObject({ deliveryCount: 3, linkCredit: 0, drain: true })
      peer.grant(1, 5, { deliveryCount: 3, drain: true })
      expect(bodyOf((await peer.expect('transfer')).payload)).toBe('m3')
      const again = await peer.expectWhere('flow', ({ handle }) => handle === 1)
      expect(again.performative).toMatchObject({ deliveryCount: 8, linkCredit: 0, available: 0 })
      peer.destroy()
    })

    it('settles by range, and gives back what is released', async () => {
      const { peer, address, queue } = await withQueue()
      await peer.attachSender(0, address)
      for (let i = 0; i < 4; i++) await publish(peer, 0, i, `m${i}`)
      await peer.attachReceiver(1, address, 4)
      for (let i = 0; i < 4; i++) {
        const { performative } = await peer.expect('transfer')
        expect(performative).toMatchObject({ handle: 1, deliveryId: i, settled: false })
      }
      peer.send(0, 'disposition', { role: true, first: 0, last: 2, settled: true, state: accepted })
      peer.send(0, 'disposition', { role: true, first: 3, settled: false, state: released })
      const { performative } = await peer.expectWhere('disposition', ({ role }) => !role)
      expect(performative).toMatchObject({ first: 3, settled: true })
      peer.send(0, 'detach', { handle: 1, closed: true })
      await peer.expect('detach')
      const channel = await use().channel()
      expect(await channel.checkQueue(queue)).toMatchObject({ messageCount: 1 })
      const got = await channel.get(queue)
      expect(got && [got.content.toString(), got.fields.redelivered]).toEqual(['m3', true])
      peer.destroy()
    })

    it.each(['detach', 'end', 'close', 'a lost socket'])(
      'gives back what is not settled at %s',
      async (how) => {
        const { peer, address, queue } = await withQueue()
        await peer.attachSender(0, address)
        for (let i = 0; i < 3; i++) await publish(peer, 0, i, `m${i}`)
        await peer.attachReceiver(1, address, 2)
        await peer.expect('transfer')
        await peer.expect('transfer')
        if (how === 'detach') peer.send(0, 'detach', { handle: 1, closed: true })
        else if (how === 'end') peer.send(0, 'end', {})
        else if (how === 'close') peer.send(0, 'close', {})
        else peer.destroy()
        if (how === 'detach' || how === 'end' || how === 'close') await peer.expect(how)
        const other = await open()
        await other.begin()
        await other.attachReceiver(0, address, 3, { sndSettleMode: 1 })
        const got = []
        for (let i = 0; i < 3; i++) got.push(bodyOf((await other.expect('transfer')).payload))
        expect(got, queue).toEqual(['m0', 'm1', 'm2'])
        other.destroy()
        peer.destroy()
      },
    )

    it('hears that its queue was deleted', async () => {
      const { peer, address, queue } = await withQueue()
      await peer.attachReceiver(1, address, 1)
      await (await use().channel()).deleteQueue(queue)
      const { performative } = await peer.expect('detach')
      expect(performative).toMatchObject({
        handle: 1,
        closed: true,
        error: { condition: 'amqp:resource-deleted' },
      })
      peer.destroy()
    })

    it('ends for a message that is larger than it takes', async () => {
      const { peer, address, queue } = await withQueue()
      await peer.attachSender(0, address)
      await publish(peer, 0, 0, 'x'.repeat(1000))
      await peer.attachReceiver(1, address, 1, { maxMessageSize: 500 })
      const { performative } = await peer.expect('detach')
      expect(performative.error?.condition).toBe('amqp:link:message-size-exceeded')
      const channel = await use().channel()
      expect(await channel.get(queue)).not.toBe(false)
      peer.destroy()
    })
  })

  describe('nodes that the broker makes', () => {
    it('are exclusive queues that go with their link', async () => {
      const peer = await open()
      await peer.begin()
      const source = composite('source', { dynamic: true, capabilities: ['temporary-queue'] })
      const reply = await peer.attachReceiver(0, '', 1, { source })
      const made = reply.source?.value
      const address = made?.type === 'list' ? String(made.value[0]?.value) : ''
      expect(address).toMatch(/^\/queues\/amq\.dyn-test-receiver-0-/)
      await peer.attachSender(1, address)
      await publish(peer, 1, 0, 'to myself')
      expect(bodyOf((await peer.expect('transfer')).payload)).toBe('to myself')
      peer.send(0, 'detach', { handle: 0, closed: true })
      await peer.expect('detach')
      await peer.attachSender(2, address)
      const { performative } = await peer.expect('detach')
      expect(performative.error?.condition).toBe('amqp:not-found')
      peer.destroy()
    })

    it('carry answers to a requester of either version', async () => {
      const peer = await open()
      await peer.begin()
      const source = composite('source', {
        dynamic: true,
        expiryPolicy: 'link-detach',
        capabilities: ['rabbitmq:volatile-queue'],
      })
      const reply = await peer.attachReceiver(0, '', 10, { source, sndSettleMode: 1 })
      const made = reply.source?.value
      const address = made?.type === 'list' ? String(made.value[0]?.value) : ''
      expect(address).toMatch(/^\/queues\/amq\.rabbitmq\.reply-to\./)
      const channel = await use().channel()
      const queue = decodeURIComponent(address.slice('/queues/'.length))
      channel.publish('', queue, Buffer.from('answer'))
      expect(bodyOf((await peer.expect('transfer')).payload)).toBe('answer')
      peer.destroy()
    })
  })

  describe('management', () => {
    it('declares, describes, binds, lists, unbinds, purges and deletes', async () => {
      const peer = await open()
      await peer.begin()
      await peer.manage()
      const queue = use().name('managed/q')
      const exchange = use().name('managed-x')
      const path = `/queues/${encodeURIComponent(queue)}`
      const args = fields({ 'x-max-priority': uint(5) })
      const made = await peer.request('PUT', path, fields({ arguments: args }))
      expect(made.status).toBe('201')
      expect((await peer.request('PUT', path, fields({ arguments: args }))).status).toBe('200')
      expect((await peer.request('PUT', path, fields({ durable: bool(false) }))).status).toBe('409')
      expect((await peer.request('PUT', path, fields({ color: bool(false) }))).status).toBe('400')
      const found = await peer.request('GET', path)
      const plain = found.body.type === 'map' ? found.body.value : []
      const of = (key: string): unknown => plain.find(([name]) => name.value === key)?.[1].value
      expect([of('name'), of('type'), of('durable'), of('message_count')]).toEqual([
        queue,
        'classic',
        true,
        0,
      ])
      const type = fields({ type: utf8('topic') })
      expect((await peer.request('PUT', `/exchanges/${exchange}`, type)).status).toBe('204')
      const binding = {
        source: utf8(exchange),
        destination_queue: utf8(queue),
        binding_key: utf8('a.#'),
        arguments: fields({ x: uint(1) }),
      }
      expect((await peer.request('POST', '/bindings', fields(binding))).status).toBe('204')
      const query = `src=${exchange}&dstq=${encodeURIComponent(queue)}&key=a.%23`
      const listed = await peer.request('GET', `/bindings?${query}`)
      const first = listed.body.type === 'list' ? listed.body.value[0] : undefined
      const entries = first?.type === 'map' ? first.value : []
      const location = entries.find(([key]) => key.value === 'location')?.[1].value
      await peer.attachSender(1, `/exchanges/${exchange}/a.b`)
      await publish(peer, 1, 0, 'routed')
      const purged = await peer.request('DELETE', `${path}/messages`)
      expect(purged).toEqual({
        status: '200',
        body: { type: 'map', value: [[utf8('message_count'), ulong(1)]] },
      })
      expect((await peer.request('DELETE', String(location))).status).toBe('204')
      const none = await peer.request('GET', `/bindings?${query}`)
      expect(none.body).toEqual({ type: 'list', value: [] })
      expect((await peer.request('DELETE', path)).status).toBe('200')
      expect((await peer.request('GET', path)).status).toBe('404')
      expect((await peer.request('DELETE', `/exchanges/${exchange}`)).status).toBe('204')
      peer.destroy()
    })

    it.each([
      ['PUT', '/queues/amq.mine', '403'],
      ['PUT', '/exchanges/', '403'],
      ['GET', '/nothing', '404'],
      ['POST', '/queues/q', '405'],
      ['DELETE', '/bindings/nonsense', '400'],
      ['DELETE', '/exchanges/amq.topic', '403'],
      ['DELETE', '/queues/none-at-all', '200'],
      ['DELETE', '/queues/none-at-all/messages', '404'],
    ])('answers %s %s by %s', async (method, path, status) => {
      const peer = await open()
      await peer.begin()
      await peer.manage()
      expect((await peer.request(method, path, fields({}))).status).toBe(status)
      peer.destroy()
    })
  })

  it('delivers header and annotations with what the broker knows', async () => {
    const { peer, queue, address } = await withQueue()
    await peer.attachSender(0, address)
    const annotations = composite('modified', { messageAnnotations: [[symbol('x-a'), uint(1)]] })
    expect(annotations.type).toBe('described')
    await publish(peer, 0, 0, 'hello')
    await peer.attachReceiver(1, address, 1, { sndSettleMode: 1 })
    const sections = decodeSections((await peer.expect('transfer')).payload)
    const header = sections.get(0x70)
    expect(header?.type === 'list' && header.value.map(({ value }) => value)).toEqual([
      false,
      null,
      null,
      true,
      0,
    ])
    const made = sections.get(0x72)
    const entries = made?.type === 'map' ? made.value : []
    expect(Object.fromEntries(entries.map(([k, v]) => [k.value, v.value]))).toEqual({
      'x-exchange': '',
      'x-routing-key': queue,
    })
    peer.destroy()
  })
})

describeBrokers(
  'AMQP 1.0, what takes its time',
  (use) => {
    it.concurrent('refuses a wrong password with an outcome, after a while', async () => {
      const peer = new Amqp10Peer(use().broker)
      await expect(peer.login({ password: 'wrong' })).rejects.toThrow('sasl-outcome 1')
      await peer.gone()
    })

    it.concurrent('keeps a connection alive that asks for it', async () => {
      const peer = await Amqp10Peer.open(use().broker, { open: { idleTimeOut: 1000 } })
      await eventually('an empty frame', () => peer.heartbeats > 0)
      peer.destroy()
    })
  },
  { profiles: PROFILES.slice(0, 1) },
)
