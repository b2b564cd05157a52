// The log of a stream on disk: what recovery finds in files that a crash or a failing disk has left,
// retention, and what is read back.

import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { StreamSettings } from '../../../core/log/stream-log.ts'
import { nodeDisk } from '../../../core/store/disk.ts'
import { streamFolder, streamMark, streamMarksFolder } from '../../../core/store/layout.ts'
import type { StreamDesk } from '../../../core/store/stream-desk.ts'
import { recoverStreams } from '../../../core/store/stream-recovery.ts'
import { inspectSegment, scanStream } from '../../../core/store/stream-scan.ts'
import { StreamWriter } from '../../../core/store/stream-writer.ts'
import { chunkHeaderBytes } from '../../../shared/stream/chunk.ts'
import type { LogFiles, OffsetSpec } from '../../../shared/stream/log-cursor.ts'
import { LogCursor } from '../../../shared/stream/log-cursor.ts'
import { ReadWindow } from '../../../shared/stream/read-window.ts'
import { newFolder, removeFolders } from './store-bench.ts'

afterEach(removeFolders)

const unlimited: StreamSettings = {
  bytesMax: undefined,
  ageMaxMs: undefined,
  segmentBytesMax: 4096,
  filterBytes: 16,
}

/** Appends chunks of `size` bytes of data with `records` messages each, every one synced. */
function write(
  folder: string,
  chunks: number,
  { settings = unlimited, size = 1000, records = 10, now = 1000, step = 0 } = {},
): StreamWriter {
  const writer = new StreamWriter(nodeDisk, folder, settings)
  for (let i = 0; i < chunks; i++) {
    const bytes = Buffer.alloc(chunkHeaderBytes + size, i)
    writer.append(bytes, chunkHeaderBytes, size, records, records, 0, 0, now + i * step)
    writer.sync()
  }
  return writer
}

function segments(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.segment'))
}

/** Turns bytes of a file over. */
function flip(path: string, at: number, count: number): void {
  const bytes = readFileSync(path)
  for (let i = at; i < at + count; i++) bytes[i] = (bytes[i] ?? 0) ^ 0xff
  writeFileSync(path, bytes)
}

function lastSegment(folder: string): string {
  return join(folder, segments(folder).at(-1) ?? '')
}

const files: LogFiles = { ...nodeDisk, open: (path) => nodeDisk.open(path, false) }

/** First offsets of the chunks that a reader finds. */
function readFrom(folder: string, from: OffsetSpec): number[] {
  const { end } = scanStream(nodeDisk, folder, false)
  const window = new ReadWindow((...args) => nodeDisk.read(...args), 64)
  const cursor = new LogCursor(files, folder)
  cursor.attach(from, end)
  const found: number[] = []
  for (let at = cursor.look(end, window); at !== 'end'; at = cursor.look(end, window)) {
    if (at === 'damaged' && !cursor.skipDamage(end)) break
    if (at === 'damaged') continue
    found.push(cursor.header.firstOffset)
    cursor.pass()
  }
  cursor.close()
  return found
}

describe('recovery of a stream', () => {
  const damages: [string, (path: string) => void][] = [
    ['nothing wrong', () => {}],
    ['a header cut short', (path) => truncateSync(path, readFileSync(path).length - 1020)],
    ['data cut short', (path) => truncateSync(path, readFileSync(path).length - 1)],
    ['zeros behind', (path) => writeFileSync(path, Buffer.alloc(5000), { flag: 'a' })],
    ['garbage behind', (path) => writeFileSync(path, randomBytes(300), { flag: 'a' })],
    [
      'a bit of the last chunk flipped',
      (path) => {
        const bytes = readFileSync(path)
        bytes[bytes.length - 10] = (bytes[bytes.length - 10] ?? 0) ^ 1
        writeFileSync(path, bytes)
      },
    ],
    [
      'the last chunk twice',
      (path) => {
        const bytes = readFileSync(path)
        writeFileSync(path, bytes.subarray(-chunkHeaderBytes - 1000), { flag: 'a' })
      },
    ],
    [
      'a segment that was only begun',
      (path) => writeFileSync(`${path.slice(0, -28)}00000000000000000100.segment`, 'OSIL'),
    ],
  ]
  const lossless = new Set([
    'nothing wrong',
    'zeros behind',
    'garbage behind',
    'the last chunk twice',
    'a segment that was only begun',
  ])
  const rows = damages.flatMap(([name, damage]) => [
    [name, 'as it is', damage] as const,
    [name, 'in a file that had grown ahead', damage] as const,
  ])
  test.each(rows)('keeps all whole chunks: %s, %s', (name, where, damage) => {
    const folder = newFolder()
    write(folder, 10).close()
    const path = lastSegment(folder)
    truncateSync(path, scanStream(nodeDisk, folder, false).end.position)
    damage(path)
    if (where !== 'as it is') writeFileSync(path, Buffer.alloc(700_000), { flag: 'a' })
    const { end, damage: told } = scanStream(nodeDisk, folder, true)
    const whole = lossless.has(name) ? 100 : 90
    expect(end.next).toBe(whole)
    expect(end.lastChunk).toBe(whole - 10)
    expect(told !== undefined).toBe(
      !['nothing wrong', 'zeros behind', 'a segment that was only begun'].includes(name),
    )
    // What follows is written where that ends.
    const writer = write(folder, 1)
    expect(writer.next).toBe(whole + 10)
    writer.close()
    const offsets = readFrom(folder, { kind: 'first' })
    expect(offsets).toEqual(Array.from({ length: whole / 10 + 1 }, (_, i) => i * 10))
  })

  const middles: [string, number, number][] = [
    ['its data', 500, 1],
    ['its header', 0, 30],
    ['its size', 37, 1],
    ['the checksum', 32, 4],
  ]
  test.each(middles)('keeps what is behind a damaged chunk: %s', (_, at, count) => {
    const folder = newFolder()
    const settings = { ...unlimited, segmentBytesMax: 1_000_000 }
    write(folder, 10, { settings, step: 5 }).close()
    flip(lastSegment(folder), 8 + 4 * 1048 + at, count)
    const { end, damage } = scanStream(nodeDisk, folder, true)
    expect(end.next).toBe(100)
    expect(damage).toMatchObject({ offset: 8 + 4 * 1048, size: 1048, cut: false })
    write(folder, 1, { settings, now: 2000 }).close()
    expect(scanStream(nodeDisk, folder, true).end.next).toBe(110)
    // Where a reader can see that it is no chunk, it goes on behind it; data it has to check itself.
    const others = [0, 10, 20, 30, 50, 60, 70, 80, 90, 100]
    expect(readFrom(folder, { kind: 'first' }).filter((offset) => offset !== 40)).toEqual(others)
  })

  test('cuts off what may be of the commit that was not finished', () => {
    const folder = newFolder()
    const settings = { ...unlimited, segmentBytesMax: 1_000_000 }
    write(folder, 6, { settings, step: 5 }).close()
    // Four chunks of one commit, of which the disk wrote the first one last.
    write(folder, 4, { settings, now: 2000 }).close()
    flip(lastSegment(folder), 8 + 6 * 1048 + 500, 1)
    const { end, damage } = scanStream(nodeDisk, folder, true)
    expect(end.next).toBe(60)
    expect(damage).toMatchObject({ offset: 8 + 6 * 1048, cut: true })
  })

  test.each([true, false])('keeps aside what it cuts off, verifying or not: %s', (verify) => {
    const folder = newFolder()
    const settings = { ...unlimited, segmentBytesMax: 1_000_000 }
    write(folder, 5, { settings }).close()
    const path = lastSegment(folder)
    const at = 8 + 4 * 1048
    flip(path, at, 30)
    const before = readFileSync(path)
    const { end, damage } = scanStream(nodeDisk, folder, verify, join(folder, 'damaged'))
    expect(end.next).toBe(40)
    expect(damage).toMatchObject({ offset: at, cut: true })
    expect(readFileSync(damage?.savedAs ?? '').equals(before.subarray(at))).toBe(true)
    expect(inspectSegment(nodeDisk, folder, 0)).toMatchObject({ next: 40, size: at, wholeTo: at })
  })

  test('is cut on a full disk too, where nothing can be kept aside', () => {
    const folder = newFolder()
    write(folder, 3).close()
    writeFileSync(lastSegment(folder), randomBytes(300), { flag: 'a' })
    const makeFolder = (): void => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    }
    const { end, damage } = scanStream({ ...nodeDisk, makeFolder }, folder, true, 'nowhere')
    expect(end.next).toBe(30)
    expect(damage).toMatchObject({ cut: true, savedAs: undefined })
  })

  test('writes a missing index anew', () => {
    const folder = newFolder()
    write(folder, 10).close()
    const index = lastSegment(folder).replace('.segment', '.index')
    const before = readFileSync(index)
    writeFileSync(index, 'nonsense')
    scanStream(nodeDisk, folder, true)
    expect(readFileSync(index).equals(before)).toBe(true)
  })

  test('knows the last ids of publishers and stored offsets, over segments', () => {
    const folder = newFolder()
    const writer = write(folder, 1)
    writer.tracking.setSequence('writer', 0, 17)
    writer.tracking.offsets.set('reader', 5)
    writer.sync()
    writer.close()
    // A snapshot begins each further segment.
    const again = new StreamWriter(nodeDisk, folder, unlimited)
    again.tracking.setSequence('writer', 0, 18)
    again.tracking.offsets.set('reader', 6)
    for (let i = 0; i < 8; i++) {
      const bytes = Buffer.alloc(chunkHeaderBytes + 1000)
      again.append(bytes, chunkHeaderBytes, 1000, 10, 10, 0, 0, 1000)
    }
    again.sync()
    again.close()
    const { tracking } = scanStream(nodeDisk, folder, true)
    expect(tracking.sequences.get('writer')?.id).toBe(18)
    expect(tracking.offsets.get('reader')).toBe(6)
  })

  test('goes back to what was synced when the disk has failed', () => {
    const folder = newFolder()
    let failing = false
    const disk = {
      ...nodeDisk,
      sync: (fd: number) => {
        if (failing) throw new Error('EIO')
        nodeDisk.sync(fd)
      },
    }
    const writer = new StreamWriter(disk, folder, unlimited)
    const append = (): void => {
      const bytes = Buffer.alloc(chunkHeaderBytes + 1000)
      writer.append(bytes, chunkHeaderBytes, 1000, 10, 10, 0, 0, 1000)
    }
    for (let round = 0; round < 8; round++) {
      failing = true
      expect(() => {
        append()
        writer.sync()
      }).toThrow('EIO')
      writer.fail()
      expect(writer.next).toBe(round * 10)
      failing = false
      append()
      writer.sync()
    }
    expect(writer.end().next).toBe(80)
    writer.close()
    expect(readFrom(folder, { kind: 'first' })).toHaveLength(8)
  })
})

describe('retention of a stream', () => {
  test('by size lets go of the oldest segments at each roll-over', () => {
    const folder = newFolder()
    const settings = { ...unlimited, bytesMax: 10_000 }
    for (let i = 1; i <= 30; i++) {
      write(folder, 1, { settings }).close()
      const sizes = segments(folder).map((name) => readFileSync(join(folder, name)).length)
      const total = sizes.reduce((sum, size) => sum + size, 0)
      // Never more than the limit and the segment that is being written.
      expect(total).toBeLessThanOrEqual(10_000 + 4096)
      if (i > 15) expect(total).toBeGreaterThan(10_000 - 4096)
    }
    const first = readFrom(folder, { kind: 'first' })[0] ?? 0
    expect(first).toBe(scanStream(nodeDisk, folder, false).first)
    expect(readFrom(folder, { kind: 'offset', value: 0 })[0]).toBe(first)
  })

  test('by age lets go of segments whose last chunk is too old, but not of the last one', () => {
    const folder = newFolder()
    const settings = { ...unlimited, ageMaxMs: 5000 }
    const writer = write(folder, 12, { settings, now: 0, step: 1000 })
    expect(writer.retain(10_000)).toBe(false)
    expect(writer.first()).toBe(30)
    expect(writer.retain(1_000_000)).toBe(true)
    expect(writer.segments).toHaveLength(1)
    expect(writer.end().next).toBe(120)
    writer.remove()
    expect(existsSync(folder)).toBe(false)
  })
})

describe('a stream that has vanished', () => {
  const [kept, gone, deleted, blank] = [3, 4, 5, 6]

  /** A start that knows of three of the streams; what it reports. */
  function recover(folder: string): string[] {
    const reports: string[] = []
    const desk = { ids: () => [kept, gone, blank], restore: () => {} } as unknown as StreamDesk
    recoverStreams(nodeDisk, folder, desk, true, (level, text, fields) => {
      reports.push(`${level}: ${text} ${JSON.stringify(fields)}`)
    })
    return reports
  }

  test.each([
    ['its folder', (folder: string) => streamFolder(folder, gone)],
    ['its segments', (folder: string) => join(streamFolder(folder, gone), '*')],
  ])('is told once: %s', (_, place) => {
    const folder = newFolder()
    for (const id of [kept, gone, deleted]) {
      const path = streamFolder(folder, id)
      const writer = new StreamWriter(nodeDisk, path, unlimited, streamMark(folder, id))
      expect(existsSync(streamMark(folder, id))).toBe(false)
      appendOne(writer)
      writer.sync()
      writer.close()
    }
    nodeDisk.removeFolder(streamFolder(folder, deleted))
    const path = place(folder)
    if (path.endsWith('*')) {
      for (const name of readdirSync(dirname(path))) nodeDisk.remove(join(dirname(path), name))
    } else nodeDisk.removeFolder(path)
    const text = 'error: the messages of a stream are gone: it starts empty'
    const where = JSON.stringify({ stream: gone, path: streamFolder(folder, gone) })
    expect(recover(folder)).toEqual([`${text} ${where}`])
    expect(readdirSync(streamMarksFolder(folder))).toEqual([`${kept}`])
    expect(recover(folder)).toEqual([])
  })
})

function appendOne(writer: StreamWriter): void {
  const bytes = Buffer.alloc(chunkHeaderBytes + 1000)
  writer.append(bytes, chunkHeaderBytes, 1000, 10, 10, 0, 0, 1000)
}

test('readers begin at the chunk that holds an offset or time', () => {
  const folder = newFolder()
  write(folder, 12, { now: 1000, step: 1000 }).close()
  const first = (from: OffsetSpec): number | undefined => readFrom(folder, from)[0]
  for (let offset = 0; offset < 120; offset++) {
    expect(first({ kind: 'offset', value: offset })).toBe(offset - (offset % 10))
  }
  expect(first({ kind: 'last' })).toBe(110)
  expect(first({ kind: 'next' })).toBeUndefined()
  expect(first({ kind: 'offset', value: 5000 })).toBeUndefined()
  expect(first({ kind: 'fromEnd', value: 1 })).toBe(110)
  expect(first({ kind: 'fromEnd', value: 1000 })).toBe(0)
  expect(first({ kind: 'timestamp', value: 0 })).toBe(0)
  for (let i = 0; i < 12; i++) {
    expect(first({ kind: 'timestamp', value: 1000 + i * 1000 })).toBe(i * 10)
    expect(first({ kind: 'timestamp', value: 501 + i * 1000 })).toBe(i * 10)
  }
  expect(first({ kind: 'timestamp', value: 12_001 })).toBeUndefined()
})
