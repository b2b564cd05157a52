import { beforeEach, describe, expect, test } from 'vitest'
import { slabBytes } from '../../../shared/bus/arena.ts'
import type { ControlReply } from '../../../shared/bus/control.ts'
import type { ChannelSink, DeliverySink } from '../../../shared/bus/gateway-port.ts'
import { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { EntryFlag, Outcome, Record } from '../../../shared/bus/wire.ts'
import type { Entry } from './fake-shard.ts'
import { createGatewayStart, FakeShard, makeEntry, readEntry } from './fake-shard.ts'
import { publishEntry } from './publish-entry.ts'

let port: GatewayPort
let shards: FakeShard[]
let log: unknown[]

beforeEach(() => {
  const start = createGatewayStart(2)
  port = new GatewayPort(start)
  shards = [new FakeShard(start, 0), new FakeShard(start, 1)]
  log = []
})

function shard(index: number): FakeShard {
  return shards[index] as FakeShard
}

const channelSink: ChannelSink = {
  onConfirm: (count, nack) => log.push(['confirm', count, nack]),
  onReturn: (link, at, code) => {
    log.push(['return', code, readEntry(port.arena, link.words, at).exrk])
  },
  onError: (event) => log.push(['error', event.error.code]),
  onWant: (link) => log.push(['want', link.shard]),
  onUnused: (count) => log.push(['unused', count]),
}

function deliverySink(seen: [number, number, Entry][]): DeliverySink {
  return {
    onDeliver: (link, at, id, flags) => {
      seen.push([id, flags, readEntry(port.arena, link.words, at)])
    },
    onCancelled: () => log.push('cancelled'),
  }
}

describe('the gateway port', () => {
  test('publishes whole entries', () => {
    const entry = makeEntry('\u0001e\u0001k', 'props', Buffer.from('body'))
    expect(publishEntry(port, 1, 3, EntryFlag.mandatory, entry)).toBe(true)
    port.flush()
    expect(shard(0).read()).toEqual([])
    expect(shard(1).read()).toEqual([
      { type: Record.publish, fields: [3, EntryFlag.mandatory], entry },
    ])
  })

  test('publishes bodies that need several slabs, with extra keys', () => {
    const body = Buffer.alloc(2 * slabBytes + 12345, 'abcdefg')
    const entry = makeEntry('\u0000\u0001k', 'p', body, '\u0001\u0002cc')
    expect(publishEntry(port, 0, 1, 0, entry)).toBe(true)
    port.flush()
    const [seen] = shard(0).read()
    expect(seen?.entry?.extra).toBe(entry.extra)
    expect(seen?.entry?.body.equals(body)).toBe(true)
  })

  test('seals full slabs behind their last publish, so that they come back', () => {
    const body = Buffer.alloc(60_000)
    for (let round = 0; round < 2000; round++) {
      publishEntry(port, 0, 1, 0, makeEntry('', '', body))
      if (round % 20 === 0) {
        port.flush()
        shard(0).read()
        // Nothing is kept by the shard, so only slabs in the making are in use.
        expect(port.arena.used()).toBeLessThanOrEqual(3)
      }
    }
  })

  test('settles, gives credit and grants in the order of the calls', () => {
    const link = port.link(0)
    link.settle(2, 77, Outcome.requeue, true)
    link.credit(5, 4096)
    link.grant(2, 9)
    port.flush()
    expect(shard(0).read()).toEqual([
      { type: Record.settle, fields: [2, 77, Outcome.requeue, 1] },
      { type: Record.credit, fields: [5, 4096] },
      { type: Record.grant, fields: [2, 9] },
    ])
  })

  test('hands deliveries to their consumer, and drops those of one that is gone', () => {
    const seen: [number, number, Entry][] = []
    const gone = port.consumers.add(deliverySink([]))
    const consumer = port.consumers.add(deliverySink(seen))
    port.consumers.remove(gone)
    const entry = makeEntry('\u0000\u0001q', 'pp', Buffer.from('hello'))
    const large = makeEntry('\u0000\u0001q', '', Buffer.alloc(3 * slabBytes, 'xyz'))
    shard(0).writeEntry(Record.deliver, consumer, 11, 0, entry)
    shard(1).writeEntry(Record.deliver, gone, 12, 0, entry)
    shard(1).writeEntry(Record.deliver, consumer, 13, EntryFlag.redelivered, large)
    for (const each of shards) each.flush()
    expect(port.drain()).toBe(true)
    expect(port.drain()).toBe(false)
    expect(seen.map(([id, flags]) => [id, flags])).toEqual([
      [11, 0],
      [13, EntryFlag.redelivered],
    ])
    expect(seen[0]?.[2]).toEqual(entry)
    expect(seen[1]?.[2].body.equals(large.body)).toBe(true)
  })

  test('a pinned slab is not used again before it is unpinned', () => {
    const { arena, reclaimer } = shard(0)
    let pinned = -1
    const consumer = port.consumers.add({
      onDeliver: (link, at) => {
        pinned = link.words[at] as number
        link.pin(pinned)
      },
      onCancelled: () => {},
    })
    const entry = makeEntry('', '', Buffer.alloc(slabBytes))
    shard(0).writeEntry(Record.deliver, consumer, 1, 0, entry)
    shard(0).writeEntry(Record.deliver, 0, 2, 0, entry)
    shard(0).flush()
    port.drain()
    expect(reclaimer.sweep()).toBe(1)
    expect(arena.owner(pinned)).not.toBe(0)
    port.link(0).unpin(pinned)
    expect(reclaimer.sweep()).toBe(0)
    expect(arena.owner(pinned)).toBe(0)
  })

  test('tells channels what shards say about them', () => {
    const channel = port.channels.add(channelSink)
    shard(1).writeWords(Record.confirm, [channel, 10, 0])
    shard(1).writeWords(Record.confirm, [channel, 1, 1])
    shard(1).writeEntry(
      Record.returned,
      channel,
      312,
      0,
      makeEntry('\u0000\u0001k', '', Buffer.alloc(0)),
    )
    shard(1).writeWords(Record.want, [channel])
    shard(1).writeWords(Record.unused, [channel, 4])
    const error = { scope: 'channel', code: 404, text: '' }
    shard(1).event({ event: 'channelError', channel, error })
    shard(1).flush()
    port.drain()
    expect(log).toEqual([
      ['confirm', 10, false],
      ['confirm', 1, true],
      ['return', 312, '\u0000\u0001k'],
      ['want', 1],
      ['unused', 4],
      ['error', 404],
    ])
  })

  test('tells consumers and connections what ended them', () => {
    const consumer = port.consumers.add(deliverySink([]))
    const connection = port.connections.add({ onClosed: ({ error }) => log.push(error.code) })
    shard(0).event({ event: 'consumerCancelled', consumer })
    const error = { scope: 'connection', code: 320, text: '' }
    shard(0).event({ event: 'connectionClosed', connection, error })
    shard(0).event({ event: 'connectionClosed', connection: 99, error })
    shard(0).flush()
    port.drain()
    expect(log).toEqual(['cancelled', 320])
  })

  test('answers each request once, also with larger payloads than a ring', () => {
    const replies: ControlReply[] = []
    port.request(0, { op: 'fence', channel: 4 }, { onReply: (reply) => replies.push(reply) })
    port.flush()
    const [seen] = shard(0).read()
    expect(seen?.payload).toEqual({ op: 'fence', channel: 4 })
    const text = 'x'.repeat(600_000)
    shard(0).reply(seen?.fields[0] ?? 0, { text })
    for (let i = 0; i < 10 && replies.length === 0; i++) {
      shard(0).flush()
      port.drain()
    }
    expect(replies).toEqual([{ text }])
    shard(0).reply(seen?.fields[0] ?? 0, { text })
    shard(0).flush()
    port.drain()
    expect(replies).toHaveLength(1)
  })

  test('answers get by a record, with the number of messages left', () => {
    port.request(
      1,
      { op: 'get', channel: 1, queue: 'q', noAck: false },
      {
        onReply: () => log.push('reply'),
        onGot: (link, at, id, flags, ready) => {
          log.push([id, flags, ready, readEntry(port.arena, link.words, at).body.toString()])
        },
      },
    )
    port.flush()
    const request = shard(1).read()[0]?.fields[0] ?? 0
    shard(1).writeEntry(Record.got, request, 8, 0, makeEntry('', '', Buffer.from('m')), 42)
    shard(1).flush()
    port.drain()
    expect(log).toEqual([[8, 0, 42, 'm']])
  })

  test('takes no publishes while held, but everything else', () => {
    const entry = makeEntry('', '', Buffer.from('x'))
    port.hold(true)
    expect(publishEntry(port, 0, 1, 0, entry)).toBe(false)
    expect(port.link(0).credit(5, 100)).toBe(true)
    port.flush()
    expect(shard(0).read()).toEqual([{ type: Record.credit, fields: [5, 100] }])
    port.hold(false)
    expect(publishEntry(port, 0, 1, 0, entry)).toBe(true)
  })

  test('refuses publishes while the ring is full and is woken when there is room', async () => {
    const entry = makeEntry('', '', Buffer.from('x'))
    let published = 0
    while (publishEntry(port, 0, 1, 0, entry)) published++
    expect(published).toBeGreaterThan(5000)
    port.flush()
    const woken = new Promise<void>((done) => {
      expect(port.sleep(port.mark(), done)).toBe(false)
    })
    expect(shard(0).read()).toHaveLength(published)
    await woken
    expect(publishEntry(port, 0, 1, 0, entry)).toBe(true)
  })
})
