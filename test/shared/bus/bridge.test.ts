import { afterEach, describe, expect, test, vi } from 'vitest'
import { slabBytes } from '../../../shared/bus/arena.ts'
import { Bridge } from '../../../shared/bus/bridge.ts'
import { createBridgedStart } from '../../../shared/bus/bridge-memory.ts'
import type { BridgeMeta, BridgeStart } from '../../../shared/bus/bridge-wire.ts'
import { decodeBridgeStart, encodeBridgeStart } from '../../../shared/bus/bridge-wire.ts'
import type { GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { Alarm, NodeWord } from '../../../shared/bus/link.ts'
import { EntryFlag, Outcome, Record } from '../../../shared/bus/wire.ts'
import { eventually } from '../../support/wait.ts'
import type { Entry } from './fake-shard.ts'
import { createGatewayStart, digestEntry, FakeShard, makeEntry, readEntry } from './fake-shard.ts'
import { PipeEnd } from './pipe.ts'
import { publishEntry } from './publish-entry.ts'

interface Stage {
  readonly port: GatewayPort
  readonly shards: readonly FakeShard[]
  readonly nodeWords: Int32Array
  readonly metas: BridgeMeta[]
  readonly gateway: Bridge
  readonly core: Bridge
  /** Ends of the socket: the core's, the gateway's. */
  readonly ends: readonly [PipeEnd, PipeEnd]
  /** Lets everything run until `done`; `read` collects what shards got. */
  until(done: () => boolean): Promise<void>
  readonly seen: object[][]
}

// Megabytes through one thread: slow on a machine that has other things to do.
vi.setConfig({ testTimeout: 60_000 })

const bridges: Bridge[] = []

afterEach(() => {
  for (const bridge of bridges.splice(0)) bridge.close()
})

function makeStage(chunkBytes = 64 * 1024, arenaBytes = 256 * 1024 * 1024, shardCount = 2): Stage {
  const coreStart = createGatewayStart(shardCount, arenaBytes)
  const shards = coreStart.links.map((_, index) => new FakeShard(coreStart, index))
  const start: BridgeStart = {
    gateway: 1,
    name: 'test',
    protocols: [],
    shards: shardCount,
    arenaBytes,
    settings: {},
  }
  const local = createBridgedStart(start)
  const port = new GatewayPort(local)
  const ends = PipeEnd.pair(chunkBytes)
  const metas: BridgeMeta[] = []
  const core = Bridge.forCore(ends[0], coreStart, (meta) => metas.push(meta))
  const gateway = Bridge.forGateway(
    ends[1],
    local,
    (meta) => metas.push(meta),
    (stalled) => port.hold(stalled),
  )
  ends[0].onBytes = (chunk) => core.onBytes(chunk)
  ends[1].onBytes = (chunk) => gateway.onBytes(chunk)
  core.start()
  gateway.start()
  bridges.push(core, gateway)
  const seen: object[][] = shards.map(() => [])
  const until = async (done: () => boolean): Promise<void> => {
    await eventually(
      'all is carried',
      () => {
        port.flush()
        for (const [index, shard] of shards.entries()) {
          shard.flush()
          for (const record of shard.read()) {
            const { entry } = record
            if (record.type === Record.seal) continue
            seen[index]?.push(
              entry === undefined ? record : { ...record, entry: digestEntry(entry) },
            )
          }
          if (shard.arena.takeWaiting()) shard.gatewayRing()
        }
        port.drain()
        return done()
      },
      60_000,
    )
  }
  const nodeWords = new Int32Array(coreStart.nodeWords)
  return { port, shards, nodeWords, metas, gateway, core, ends, until, seen }
}

function keep(port: GatewayPort, into: unknown[]): (link: GatewayLink, at: number) => void {
  return (link, at) => into.push(digestEntry(readEntry(port.arena, link.words, at)))
}

function published(channel: number, flags: number, entry: Entry): object {
  return { type: Record.publish, fields: [channel, flags], entry: digestEntry(entry) }
}

const small = makeEntry('\u0001e\u0003key', 'properties', Buffer.from('a body'), '\u0001\u0002cc')
const huge = makeEntry('\u0000\u0001q', 'p'.repeat(777), Buffer.alloc(3 * slabBytes + 13, 'warren'))
const bare = makeEntry('\u0000\u0000', '', Buffer.alloc(0))

describe.each([1, 7, 4096, 1 << 20])('a bridge whose socket gives %i bytes at a time', (chunk) => {
  // Three slabs in a few bytes each take too long to be a test.
  const large = chunk < 100 ? makeEntry('\u0000\u0001q', '', Buffer.alloc(5000, 'x')) : huge

  test('carries every kind of record from a gateway to its shards, in order', async () => {
    const { port, until, seen } = makeStage(chunk)
    for (const entry of [small, large, bare, small]) {
      expect(publishEntry(port, 1, 5, EntryFlag.persistent, entry)).toBe(true)
    }
    port.link(1).settle(5, 99, Outcome.discard, true)
    port.link(1).credit(2, 70_000)
    port.link(1).grant(5, 3)
    port.notify(1, { op: 'fence', channel: 9 })
    publishEntry(port, 0, 6, 0, small)
    await until(() => seen[1]?.length === 8 && seen[0]?.length === 1)
    expect(seen[0]).toEqual([published(6, 0, small)])
    expect(seen[1]).toEqual([
      published(5, EntryFlag.persistent, small),
      published(5, EntryFlag.persistent, large),
      published(5, EntryFlag.persistent, bare),
      published(5, EntryFlag.persistent, small),
      { type: Record.settle, fields: [5, 99, Outcome.discard, 1] },
      { type: Record.credit, fields: [2, 70_000] },
      { type: Record.grant, fields: [5, 3] },
      { type: Record.control, fields: [0], payload: { op: 'fence', channel: 9 } },
    ])
  })

  test('carries every kind of record from shards to a gateway, in order', async () => {
    const { port, shards, until } = makeStage(chunk)
    const log: unknown[] = []
    const take = keep(port, log)
    const consumer = port.consumers.add({
      onDeliver: (link, at, id, flags) => {
        log.push([link.shard, id, flags])
        take(link, at)
      },
      onCancelled: () => log.push('cancelled'),
    })
    const channel = port.channels.add({
      onConfirm: (count, nack) => log.push(['confirm', count, nack]),
      onReturn: (link, at, code) => {
        log.push(['return', code])
        take(link, at)
      },
      onError: ({ error }) => log.push(error),
      onWant: () => log.push('want'),
      onUnused: (count) => log.push(['unused', count]),
    })
    port.request(
      0,
      { op: 'get', channel, queue: 'q', noAck: true },
      {
        onReply: () => log.push('reply'),
        onGot: (link, at, id, flags, ready) => {
          log.push(['got', id, flags, ready])
          take(link, at)
        },
      },
    )
    port.request(0, { op: 'fence', channel }, { onReply: (reply) => log.push(reply) })
    const shard = shards[0] as FakeShard
    shard.writeEntry(Record.deliver, consumer, 1, EntryFlag.redelivered, small)
    shard.writeEntry(Record.deliver, consumer, 2, 0, large)
    shard.writeEntry(Record.returned, channel, 312, 0, bare)
    shard.writeEntry(Record.got, 1, 4, EntryFlag.settled, small, 17)
    shard.writeWords(Record.confirm, [channel, 3, 1])
    shard.writeWords(Record.want, [channel])
    shard.writeWords(Record.unused, [channel, 8])
    shard.reply(2, { fine: true })
    shard.event({ event: 'consumerCancelled', consumer })
    await until(() => log.at(-1) === 'cancelled')
    expect(log).toEqual([
      [0, 1, EntryFlag.redelivered],
      digestEntry(small),
      [0, 2, 0],
      digestEntry(large),
      ['return', 312],
      digestEntry(bare),
      ['got', 4, EntryFlag.settled, 17],
      digestEntry(small),
      ['confirm', 3, true],
      'want',
      ['unused', 8],
      { fine: true },
      'cancelled',
    ])
  })

  test('carries the answer of an empty queue, which has no entry', async () => {
    const { port, shards, until } = makeStage(chunk)
    const got: number[][] = []
    port.request(
      1,
      { op: 'get', channel: 1, queue: 'q', noAck: true },
      {
        onReply: () => {},
        onGot: (_link, _at, id, flags, ready) => got.push([id, flags, ready]),
      },
    )
    shards[1]?.writeWords(Record.got, [1, 0, EntryFlag.empty, 0, 0, 0, 0, 0, 0, 0, 0])
    await until(() => got.length > 0)
    expect(got).toEqual([[0, EntryFlag.empty, 0]])
  })
})

describe('a bridge', () => {
  test('begins with a start that may come in any pieces', () => {
    const start: BridgeStart = {
      gateway: 3,
      name: 'amqp',
      protocols: ['amqp091'],
      shards: 2,
      arenaBytes: 1 << 33,
      settings: { 'listeners.tcp': [{ name: 'default', host: '', port: 5672 }], list: [] },
    }
    const bytes = Buffer.concat([encodeBridgeStart(start), Buffer.from('rest')])
    for (let size = 0; size < bytes.length - 4; size++) {
      expect(decodeBridgeStart(bytes.subarray(0, size))).toBeUndefined()
    }
    expect(decodeBridgeStart(bytes)).toEqual({ start, rest: Buffer.from('rest') })
  })

  test('carries mail, reports and alarms between records, never inside an entry', async () => {
    const { port, nodeWords, metas, core, gateway, until, seen, shards } = makeStage(999)
    publishEntry(port, 0, 1, 0, huge)
    port.flush()
    gateway.send({ meta: 'report', report: { report: 'ready' } })
    core.send({ meta: 'mail', mail: { mail: 'listen' } })
    Atomics.store(nodeWords, NodeWord.alarms, Alarm.memory)
    shards[0]?.gatewayRing()
    publishEntry(port, 0, 1, 0, small)
    await until(() => metas.length === 3 && seen[0]?.length === 2)
    expect(seen[0]).toEqual([published(1, 0, huge), published(1, 0, small)])
    expect(metas).toContainEqual({ meta: 'report', report: { report: 'ready' } })
    expect(metas).toContainEqual({ meta: 'mail', mail: { mail: 'listen' } })
    expect(metas).toContainEqual({ meta: 'alarms', alarms: Alarm.memory })
  })

  test('stops reading rings while the socket is full, and loses nothing', async () => {
    const { port, shards, ends, until, seen } = makeStage()
    // The core does not read, so the socket of the gateway fills up, then its ring.
    ends[0].pause()
    const body = Buffer.alloc(50_000, 'b')
    let count = 0
    let refused = false
    // As much per turn as a busy socket brings.
    await eventually('the socket is full', () => {
      for (let i = 0; i < 40 && !refused; i++) {
        refused = !publishEntry(port, 0, count, 0, makeEntry('', '', body))
        if (!refused) count++
      }
      port.flush()
      return refused
    })
    expect(ends[1].writableLength).toBeLessThan(1024 * 1024)
    // The port is held at once: the bytes that records refer to are bounded too.
    expect(count * body.length).toBeLessThan(8 * 1024 * 1024)
    expect(publishEntry(port, 0, 0, 0, makeEntry('', '', body))).toBe(false)
    expect(shards[0]?.read()).toEqual([])
    ends[0].resume()
    await until(() => seen[0]?.length === count)
    const entry = makeEntry('', '', body)
    expect(seen[0]).toEqual(Array.from({ length: count }, (_, i) => published(i, 0, entry)))
  })

  test('stops reading the socket while a ring is full, and loses nothing', async () => {
    const { port, ends, until, seen } = makeStage()
    const count = 20_000
    let sent = 0
    await eventually('the socket is stopped', () => {
      // The shard does not read yet; its ring takes about 6 000 records.
      while (sent < count && publishEntry(port, 0, sent, 0, small)) sent++
      port.flush()
      return ends[0].paused
    })
    await until(() => {
      while (sent < count && publishEntry(port, 0, sent, 0, small)) sent++
      return seen[0]?.length === count
    })
    expect(seen[0]).toEqual(Array.from({ length: count }, (_, i) => published(i, 0, small)))
  })

  test('gives slabs back on both sides, so that more than an arena passes', async () => {
    // 32 slabs on each side: 64 MiB. 150 MiB go each way.
    const { port, shards, until, seen } = makeStage(64 * 1024, 1, 1)
    const shard = shards[0] as FakeShard
    const body = Buffer.alloc(slabBytes / 2, 'z')
    const entry = makeEntry('\u0000\u0000', '', body)
    const count = 150
    let sent = 0
    let delivered = 0
    let received = 0
    const consumer = port.consumers.add({
      onDeliver: (link, at) => {
        received++
        if (!readEntry(port.arena, link.words, at).body.equals(body)) throw new Error('torn')
      },
      onCancelled: () => {},
    })
    await until(() => {
      for (let i = 0; i < 4; i++) {
        if (sent < count && publishEntry(port, 0, sent, 0, entry)) sent++
        // As windows do: deliveries under way never fill the arena.
        if (delivered === count || delivered - received > 8) continue
        if (shard.writeEntry(Record.deliver, consumer, 0, 0, entry)) delivered++
      }
      return sent === count && received === count && seen[0]?.length === count
    })
    expect(seen[0]).toEqual(Array.from({ length: count }, (_, i) => published(i, 0, entry)))
    expect(port.arena.used()).toBeLessThan(16)
  })
})
