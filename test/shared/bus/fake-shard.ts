// The shard's end of a link, in the same thread as the gateway's: reads what a gateway wrote as
// plain values, and writes what a shard would.

import { createHash } from 'node:crypto'
import { Arena, createArena } from '../../../shared/bus/arena.ts'
import { pack, unpack } from '../../../shared/bus/control.ts'
import { createDoorbell, Doorbell } from '../../../shared/bus/doorbell.ts'
import { ControlAssembler, Lane } from '../../../shared/bus/lane.ts'
import type { LinkMemory } from '../../../shared/bus/link.ts'
import { createLink, createNodeWords } from '../../../shared/bus/link.ts'
import type { GatewayStart } from '../../../shared/bus/mail.ts'
import { RingReader, RingWriter } from '../../../shared/bus/ring.ts'
import { SlabReclaimer } from '../../../shared/bus/slab-reclaimer.ts'
import { SlabWriter } from '../../../shared/bus/slab-writer.ts'
import {
  deliverEntryAt,
  entryWords,
  extentWords,
  publishEntryAt,
  Record,
} from '../../../shared/bus/wire.ts'

/** An entry's bytes by part. */
export interface Entry {
  readonly exrk: string
  readonly extra: string
  readonly props: string
  readonly body: Buffer
}

/** What a gateway wrote: the record's name, its fields, and its entry or control payload. */
export interface Seen {
  readonly type: number
  readonly fields: readonly number[]
  readonly entry?: Entry
  readonly payload?: unknown
}

export function makeEntry(exrk: string, props: string, body: Buffer, extra: string = ''): Entry {
  return { exrk, extra, props, body }
}

/** The same with a digest for the body, which is quick to compare and small to keep. */
export function digestEntry(entry: Entry): object {
  const { body, ...rest } = entry
  const digest = createHash('sha1').update(body).digest('hex')
  return { ...rest, size: body.length, digest }
}

/** The memory of a gateway with `shards` shards; `arenaBytes` of message room. */
export function createGatewayStart(
  shards: number,
  arenaBytes: number = 256 * 1024 * 1024,
): GatewayStart {
  const arena = createArena(arenaBytes)
  const slabCount = new Arena(arena).slabCount
  return {
    gateway: 1,
    name: 'test',
    protocols: ['test'],
    arena,
    nodeWords: createNodeWords(),
    bell: createDoorbell(),
    shardBells: Array.from({ length: shards }, () => createDoorbell()),
    links: Array.from({ length: shards }, (_, i) => createLink(i + 1, slabCount)),
    settings: {},
  }
}

export class FakeShard {
  readonly lane: Lane
  readonly reader: RingReader
  readonly reclaimer: SlabReclaimer
  readonly slabs: SlabWriter
  readonly arena: Arena
  readonly bell: Doorbell
  private readonly last: Float64Array
  private readonly gatewayBell: Doorbell
  private readonly assembler = new ControlAssembler()

  constructor(start: GatewayStart, shard: number) {
    const link = start.links[shard] as LinkMemory
    this.arena = new Arena(start.arena)
    this.reader = new RingReader(link.toShard)
    this.bell = new Doorbell(start.shardBells[shard] as SharedArrayBuffer)
    this.gatewayBell = new Doorbell(start.bell)
    const ring = new RingWriter(link.toGateway)
    this.lane = new Lane(ring, this.gatewayBell)
    this.reclaimer = new SlabReclaimer(this.arena)
    this.last = this.reclaimer.watch(link.id, ring, new Int32Array(link.pins))
    this.slabs = new SlabWriter(this.arena, 1000 + shard, 0, (slab) => this.reclaimer.seal(slab))
  }

  /** Reads all that is visible; seals are obeyed, entries copied out, room given back. */
  read(): Seen[] {
    const seen: Seen[] = []
    this.reader.look()
    for (let i = this.reader.next(); i >= 0; i = this.reader.next()) {
      const record = this.record(i)
      if (record !== undefined) seen.push(record)
    }
    if (this.reader.release()) this.gatewayBell.ring()
    this.reclaimer.sweep()
    return seen
  }

  /** Writes a deliver, returned or got record; false when the ring or the arena is full. */
  writeEntry(
    type: number,
    first: number,
    second: number,
    third: number,
    entry: Entry,
    last?: number,
  ): boolean {
    const bytes = joined(entry)
    const prefix = bytes.length - entry.body.length
    const extents: number[] = []
    let written = 0
    while (written < bytes.length || written === 0) {
      const need = written === 0 ? prefix : 0
      if (!this.slabs.takeSome(need, bytes.length - written - need)) return false
      const { slab, at, size } = this.slabs
      bytes.copy(this.arena.slab(slab), at, written, written + size)
      extents.push(slab, at, size)
      written += size
      if (bytes.length === 0) break
    }
    const count = extents.length / extentWords - 1
    const words = deliverEntryAt + entryWords + count * extentWords + (last === undefined ? 0 : 1)
    const index = this.lane.reserve(words)
    if (index < 0) return false
    const to = this.lane.ring.words
    to.set([(words << 8) | type, first, second, third, extents[0] ?? 0, extents[1] ?? 0], index)
    const sizes = [entry.exrk.length, entry.extra.length, entry.props.length, entry.body.length]
    to.set([...sizes, count, ...extents.slice(extentWords)], index + deliverEntryAt + 2)
    if (last !== undefined) to[index + words - 1] = last
    this.lane.ring.commit(words)
    for (let i = 0; i < extents.length; i += extentWords) {
      const slab = extents[i] as number
      this.last[slab] = this.lane.ring.total
      this.slabs.close(slab)
    }
    return true
  }

  writeWords(type: number, fields: readonly number[]): boolean {
    const index = this.lane.reserve(fields.length + 1)
    if (index < 0) return false
    this.lane.ring.words.set([((fields.length + 1) << 8) | type, ...fields], index)
    this.lane.ring.commit(fields.length + 1)
    return true
  }

  reply(request: number, payload: object): void {
    this.lane.control(Record.reply, request, pack(payload))
  }

  event(payload: object): void {
    this.lane.control(Record.control, 0, pack(payload))
  }

  flush(): void {
    this.lane.flush()
  }

  gatewayRing(): void {
    this.gatewayBell.ring()
  }

  private record(i: number): Seen | undefined {
    const words = this.reader.words
    const type = (words[i] as number) & 255
    const count = (words[i] as number) >>> 8
    if (type === Record.control) {
      const bytes = this.assembler.take(this.reader, i)
      if (bytes === undefined) return undefined
      return { type, fields: [words[i + 1] as number], payload: unpack(bytes) }
    }
    if (type === Record.seal) this.reclaimer.seal(words[i + 1] as number)
    if (type !== Record.publish) return { type, fields: [...words.subarray(i + 1, i + count)] }
    const fields = [...words.subarray(i + 1, i + publishEntryAt)]
    return { type, fields, entry: readEntry(this.arena, words, i + publishEntryAt) }
  }
}

/** Copies the entry whose words begin at `at` out of the arena. */
export function readEntry(arena: Arena, words: Int32Array, at: number): Entry {
  const word = (i: number): number => words[at + i] as number
  const [exrk, extra, props, body] = [word(2), word(3), word(4), word(5)]
  const whole = exrk + extra + props + body
  const count = word(6)
  let rest = 0
  for (let k = 0; k < count; k++) rest += word(entryWords + k * extentWords + 2)
  const parts = [arena.slab(word(0)).subarray(word(1), word(1) + whole - rest)]
  for (let k = 0; k < count; k++) {
    const e = entryWords + k * extentWords
    parts.push(arena.slab(word(e)).subarray(word(e + 1), word(e + 1) + word(e + 2)))
  }
  const bytes = Buffer.concat(parts)
  return {
    exrk: bytes.toString('latin1', 0, exrk),
    extra: bytes.toString('latin1', exrk, exrk + extra),
    props: bytes.toString('latin1', exrk + extra, exrk + extra + props),
    body: bytes.subarray(exrk + extra + props),
  }
}

function joined(entry: Entry): Buffer {
  const { exrk, extra, props, body } = entry
  return Buffer.concat([Buffer.from(exrk + extra + props, 'latin1'), body])
}
