// What the segments in a folder hold, from their footers and run blocks: little is read, however
// much they hold. One without a whole footer can be read block by block.

import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { BlockReader } from './block-reader.ts'
import type { Disk } from './disk.ts'
import type { Expiries } from './expiries.ts'
import { noteExpiry, readExpiries } from './expiries.ts'
import type { Run } from './segment-writer.ts'
import {
  blockAlign,
  footerBytes,
  footerCrcAt,
  footerMagic,
  joinWords,
  Op,
  paddedSize,
  segmentBlockBytes,
  segmentId,
  shortRunWords,
  targetCountOf,
  targetWordsOf,
  timedTargetWords,
} from './wal-format.ts'
import { levelKey } from './wal-queue.ts'

/** A segment is read through a window; a block is a small part of it. */
const windowBytes: number = 16 * segmentBlockBytes

export interface StoredSegment {
  readonly generation: number
  readonly number: number
  readonly path: string
  readonly size: number
  readonly runs: readonly Run[]
  /** By queue. */
  readonly expiries: ReadonlyMap<number, Expiries>
}

type SegmentIndex = Pick<StoredSegment, 'runs' | 'expiries'>

export interface SegmentListing {
  readonly segments: readonly StoredSegment[]
  /** Files without a whole footer or with damaged run blocks. */
  readonly broken: readonly BrokenSegment[]
}

export interface BrokenSegment {
  readonly generation: number
  readonly number: number
  readonly path: string
}

/** Reads the footers of all segments in the folder, oldest first. */
export function listSegments(disk: Disk, folder: string, salt: number): SegmentListing {
  const segments: StoredSegment[] = []
  const broken: BrokenSegment[] = []
  for (const name of disk.list(folder).sort(byNumbers)) {
    const id = segmentId(name)
    if (id === undefined) continue
    const path = join(folder, name)
    const found = readSegment(disk, path, id.generation, salt)
    if (found === undefined) broken.push({ ...id, path })
    else segments.push({ ...id, path, ...found })
  }
  return { segments, broken }
}

function byNumbers(a: string, b: string): number {
  const first = segmentId(a)
  const second = segmentId(b)
  if (first === undefined || second === undefined) return 0
  return first.generation - second.generation || first.number - second.number
}

function readSegment(
  disk: Disk,
  path: string,
  generation: number,
  salt: number,
): (SegmentIndex & { readonly size: number }) | undefined {
  const fd = disk.open(path, false)
  try {
    const size = disk.size(fd)
    const footer = Buffer.alloc(footerBytes)
    if (size < footerBytes) return undefined
    disk.read(fd, footer, 0, footerBytes, size - footerBytes)
    if (footer.readInt32LE(0) !== footerMagic || footer.readInt32LE(4) !== generation) {
      return undefined
    }
    if (crc32(footer.subarray(0, footerCrcAt), salt) !== footer.readUInt32LE(footerCrcAt))
      return undefined
    const index = joinWords(footer.readInt32LE(8), footer.readInt32LE(12))
    const bytes = footer.readInt32LE(16)
    const memory = Buffer.from(new ArrayBuffer(paddedSize(bytes)))
    disk.read(fd, memory, 0, bytes, index)
    const found = readIndex(new BlockReader(memory, bytes, generation, salt))
    return found === undefined ? undefined : { size, ...found }
  } finally {
    disk.close(fd)
  }
}

function readIndex(reader: BlockReader): SegmentIndex | undefined {
  const runs: Run[] = []
  const expiries = new Map<number, Expiries>()
  for (let at = 0; at < reader.size; at = reader.following()) {
    if (reader.look(at) !== 'valid') return undefined
    const { words } = reader
    for (let w = reader.opsFrom(); w < reader.opsTo(); w += (words[w] as number) >>> 8) {
      const type = (words[w] as number) & 255
      if (type === Op.expiries) {
        readExpiries(words, w, expiries)
        continue
      }
      if (type !== Op.run) return undefined
      const short = (words[w] as number) >>> 8 === shortRunWords
      runs.push({
        queue: words[w + 1] as number,
        from: joinWords(words[w + 2] as number, words[w + 3] as number),
        to: joinWords(words[w + 4] as number, words[w + 5] as number),
        count: words[w + 6] as number,
        offset: joinWords(words[w + 7] as number, words[w + 8] as number),
        bytes: short ? 0 : joinWords(words[w + 9] as number, words[w + 10] as number),
      })
    }
  }
  return { runs, expiries }
}

/** Reads through all blocks of a segment for what its footer, which is gone, does not tell. */
export function salvageSegment(disk: Disk, segment: BrokenSegment, salt: number): StoredSegment {
  const runs = new Map<number, Run>()
  const expiries = new Map<number, Expiries>()
  const onBlock = (reader: BlockReader): void => {
    const { words } = reader
    for (let w = reader.opsFrom(); w < reader.opsTo(); w += (words[w] as number) >>> 8) {
      if (((words[w] as number) & 255) === Op.enqueue) noteTargets(runs, expiries, words, w)
    }
  }
  const size = eachBlock(disk, segment, salt, onBlock, () => {}, 0)
  return { ...segment, size, runs: [...runs.values()], expiries }
}

function noteTargets(
  runs: Map<number, Run>,
  expiries: Map<number, Expiries>,
  words: Int32Array,
  w: number,
): void {
  const end = w + ((words[w] as number) >>> 8)
  const each = targetWordsOf(words[w + 1] as number)
  for (let t = end - targetCountOf(words[w + 1] as number) * each; t < end; t += each) {
    const queue = words[t] as number
    const position = joinWords(words[t + 1] as number, words[t + 2] as number)
    noteRun(runs, queue, position, words[w + 5] as number)
    if (each !== timedTargetWords) continue
    const time = joinWords(words[t + 3] as number, words[t + 4] as number)
    if (time !== 0) noteExpiry(expiries, queue, position, time)
  }
}

function noteRun(runs: Map<number, Run>, queue: number, position: number, bytes: number): void {
  const key = levelKey(queue, position)
  const run = runs.get(key)
  if (run === undefined) {
    // From the beginning: parts of its first message may lie in any block before this one.
    runs.set(key, { queue, from: position, to: position + 1, count: 1, offset: 0, bytes })
    return
  }
  run.from = Math.min(run.from, position)
  run.to = Math.max(run.to, position + 1)
  run.count++
  run.bytes += bytes
}

/**
 * Calls back for each valid block of a segment with its offset, and for each damaged part, up to its
 * footer of `footer` bytes. Returns the bytes of the file.
 */
export function eachBlock(
  disk: Disk,
  { path, generation }: { readonly path: string; readonly generation: number },
  salt: number,
  onBlock: (reader: BlockReader, offset: number) => void,
  onDamage: (offset: number, bytes: number) => void = () => {},
  footer: number = footerBytes,
): number {
  const memory = Buffer.from(new ArrayBuffer(windowBytes))
  const fd = disk.open(path, false)
  try {
    const size = disk.size(fd)
    const end = size - footer
    for (let at = 0; at < end; ) {
      const read = Math.min(disk.read(fd, memory, 0, windowBytes, at), end - at)
      const reader = new BlockReader(memory, read, generation, salt)
      let next = 0
      while (next < read && reader.look(next) === 'valid') {
        next = reader.following()
        onBlock(reader, at + reader.at)
      }
      if (next === 0) {
        const found = reader.findValid(blockAlign)
        next = found > 0 ? found : read
        onDamage(at, next)
      }
      at += next
    }
    return size
  } finally {
    disk.close(fd)
  }
}
