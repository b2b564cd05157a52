import { describe, expect, test } from 'vitest'
import { slabBytes } from '../../../../shared/bus/arena.ts'
import type { GatewayLink } from '../../../../shared/bus/gateway-port.ts'
import { Alarm, NodeWord } from '../../../../shared/bus/link.ts'
import { Outcome, Record } from '../../../../shared/bus/wire.ts'
import { makeEntry } from '../../../shared/bus/fake-shard.ts'
import { StompRig } from './session-rig.ts'

const entry = makeEntry('\0\x01k', '\0\0', Buffer.from('x'))

/** Fills the ring to a shard with records that mean nothing to it. */
function fill(link: GatewayLink): void {
  while (link.grant(9999, 0)) {
    // Until it is full.
  }
}

function send(body: string, more = ''): string {
  return `SEND\ndestination:/queue/q\n${more}\n${body}\0\n`
}

/** Logged in, subscribed to /queue/q with deliveries 0 to 4; returns the id of each to acknowledge. */
function subscribed(rig: StompRig, ack: string): string[] {
  rig.write(`SUBSCRIBE\nid:s\ndestination:/amq/queue/q\nack:${ack}\n\n\0`)
  const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
  for (let id = 0; id < 5; id++) rig.shard.writeEntry(Record.deliver, slot, id, 0, entry)
  rig.drain()
  rig.records.length = 0
  return [...rig.text().matchAll(/^ack:(.*)$/gm)].map(([, id = '']) => id)
}

describe('a full ring', () => {
  test('holds a SEND back, and reading with it', () => {
    const rig = new StompRig().login()
    fill(rig.port.link(0))
    rig.feed(send('one') + send('two') + send('three', 'receipt:3\n'))
    expect(rig.session.blocked).toBe(true)
    rig.drain()
    expect(rig.session.blocked).toBe(true)
    rig.settle()
    expect(rig.published()).toEqual(['one', 'two', 'three'])
    expect(rig.session.blocked).toBe(false)
  })

  test('holds acknowledgements back in order', () => {
    const rig = new StompRig().login()
    const ids = subscribed(rig, 'client-individual')
    fill(rig.port.link(0))
    rig.feed(ids.map((id) => `ACK\nid:${id}\n\n\0`).join(''))
    expect(rig.session.blocked).toBe(true)
    rig.settle()
    expect(rig.ofType(Record.settle).map((fields) => fields[1])).toEqual([0, 1, 2, 3, 4])
  })

  test('keeps a SEND of many slabs whole', () => {
    const rig = new StompRig(undefined, { 'stomp.max_frame_size': slabBytes * 4 }).login()
    const body = 'z'.repeat(slabBytes * 2 + 17)
    fill(rig.port.link(0))
    rig.feed(send(body, `content-length:${body.length}\n`))
    rig.settle()
    expect(rig.published().map((each) => each.length)).toEqual([body.length])
    expect(rig.published()[0] === body).toBe(true)
  })
})

describe('a full arena', () => {
  test('stops a SEND before it has begun, and it comes again', () => {
    const rig = new StompRig(slabBytes * 4, { 'stomp.max_frame_size': slabBytes * 8 }).login()
    const taken: number[] = []
    for (
      let slab = rig.port.arena.acquire(77, 0);
      slab >= 0;
      slab = rig.port.arena.acquire(77, 0)
    ) {
      taken.push(slab)
    }
    const body = 'y'.repeat(slabBytes)
    rig.feed(send(body) + send('small'))
    rig.settle()
    expect(rig.session.blocked).toBe(true)
    expect(rig.published()).toEqual([])
    for (const slab of taken) rig.port.arena.free(slab)
    rig.session.onDeadline(rig.now)
    rig.settle()
    rig.drain()
    rig.settle()
    expect(rig.published().map((each) => each.length)).toEqual([slabBytes, 5])
  })
})

describe('an alarm', () => {
  test('stops a publisher behind its SEND, and nobody else', () => {
    const rig = new StompRig().login()
    Atomics.store(rig.port.nodeWords, NodeWord.alarms, Alarm.memory)
    rig.write('BEGIN\ntransaction:t\n\n\0')
    expect(rig.session.blocked).toBe(false)
    rig.write(send('one') + send('two'))
    expect(rig.published()).toEqual(['one'])
    expect(rig.session.blocked).toBe(true)
    Atomics.store(rig.port.nodeWords, NodeWord.alarms, 0)
    rig.session.onDeadline(rig.now)
    rig.settle()
    expect(rig.published()).toEqual(['one', 'two'])
  })
})

describe('a subscription', () => {
  test('with ack:client settles a range by one record', () => {
    const rig = new StompRig().login()
    const ids = subscribed(rig, 'client')
    rig.write(`ACK\nid:${ids[3]}\n\n\0NACK\nid:${ids[4]}\nrequeue:false\n\n\0`)
    const settled = rig.ofType(Record.settle).map((fields) => fields.slice(1))
    expect(settled).toEqual([
      [3, Outcome.complete, 1],
      [4, Outcome.discard, 1],
    ])
  })

  test('gives window back for what the socket has taken', () => {
    const rig = new StompRig().login()
    rig.write('SUBSCRIBE\nid:s\ndestination:/amq/queue/q\n\n\0')
    const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
    const large = makeEntry('\0\x01k', '\0\0', Buffer.alloc(100_000, 'w'))
    rig.shard.writeEntry(Record.deliver, slot, 0, 0, large)
    rig.drain()
    rig.settle()
    const credits = rig.ofType(Record.credit).map((fields) => fields[1] ?? 0)
    expect(credits.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(100_000)
  })

  test('whose answer is still to come holds up what follows it', () => {
    const rig = new StompRig().login()
    rig.answers.set('consume', undefined)
    rig.write(`SUBSCRIBE\nid:s\ndestination:/amq/queue/q\nreceipt:1\n\n\0${send('after')}`)
    expect(rig.published()).toEqual([])
    expect(rig.session.blocked).toBe(true)
    expect(rig.text()).toBe('')
    rig.session.onClosed(undefined)
    rig.settle()
    expect(rig.askedOf('closeConnection')).toHaveLength(1)
  })
})

describe('a SEND', () => {
  test('like the one before is the same message', () => {
    const rig = new StompRig().login()
    rig.write(send('a', 'foo:bar\n') + send('b', 'foo:bar\n') + send('c', 'foo:baz\n'))
    const [a, b, c] = rig.entries()
    expect(b).toEqual({ ...a, body: Buffer.from('b') })
    expect(c?.props).not.toBe(a?.props)
  })

  test('with a receipt is answered by its confirm, one without is not confirmed', () => {
    const rig = new StompRig().login()
    rig.write(send('a') + send('b', 'receipt:one\n') + send('c') + send('d', 'receipt:two\n'))
    expect(rig.text()).toBe('')
    const [channel = 0] = rig.ofType(Record.publish)[0] ?? []
    rig.shard.writeWords(Record.confirm, [channel, 1, 0])
    rig.drain()
    expect(rig.text()).toBe('RECEIPT\nreceipt-id:one\n\n\0\n')
    rig.shard.writeWords(Record.confirm, [channel, 1, 1])
    rig.drain()
    expect(rig.text()).toMatch(/^ERROR\nmessage:Message rejected\n(.*\n)*receipt-id:two\n/)
    expect(rig.ended).toBe(false)
  })

  test('that a shard refuses ends the connection with its text', () => {
    const rig = new StompRig().login()
    rig.write(send('a'))
    const [channel = 0] = rig.ofType(Record.publish)[0] ?? []
    const error = { scope: 'channel', code: 403, text: 'ACCESS_REFUSED - no' }
    rig.shard.event({ event: 'channelError', channel, error })
    rig.drain()
    expect(rig.text()).toMatch(/^ERROR\nmessage:access_refused\n(.*\n)*\nACCESS_REFUSED - no\0\n$/)
    expect(rig.ended).toBe(true)
  })
})
