// What the segments in a folder hold, from their footers and run blocks: little is read, however
// much they hold.

import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { BlockReader } from './block-reader.ts'
import type { Disk } from './disk.ts'
import type { Run } from './segment-writer.ts'
import {
  footerBytes,
  footerCrcAt,
  footerMagic,
  joinWords,
  Op,
  paddedSize,
  runWords,
  segmentId,
} from './wal-format.ts'

export interface StoredSegment {
  readonly generation: number
  readonly number: number
  readonly path: string
  readonly size: number
  readonly runs: readonly Run[]
}

export interface SegmentListing {
  readonly segments: readonly StoredSegment[]
  /** Files without a whole footer or with damaged run blocks. */
  readonly broken: readonly { readonly path: string; readonly generation: number }[]
}

/** Reads the footers of all segments in the folder, oldest first. */
export function listSegments(disk: Disk, folder: string): SegmentListing {
  const segments: StoredSegment[] = []
  const broken: { path: string; generation: number }[] = []
  for (const name of disk.list(folder).sort(byNumbers)) {
    const id = segmentId(name)
    if (id === undefined) continue
    const path = join(folder, name)
    const found = readSegment(disk, path, id.generation)
    if (found === undefined) broken.push({ path, generation: id.generation })
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
): { readonly size: number; readonly runs: readonly Run[] } | undefined {
  const fd = disk.open(path, false)
  try {
    const size = disk.size(fd)
    const footer = Buffer.alloc(footerBytes)
    if (size < footerBytes) return undefined
    disk.read(fd, footer, 0, footerBytes, size - footerBytes)
    if (footer.readInt32LE(0) !== footerMagic || footer.readInt32LE(4) !== generation) {
      return undefined
    }
    if (crc32(footer.subarray(0, footerCrcAt)) !== footer.readUInt32LE(footerCrcAt))
      return undefined
    const index = joinWords(footer.readInt32LE(8), footer.readInt32LE(12))
    const bytes = footer.readInt32LE(16)
    const memory = Buffer.from(new ArrayBuffer(paddedSize(bytes)))
    disk.read(fd, memory, 0, bytes, index)
    const runs = readRuns(new BlockReader(memory, bytes, generation))
    return runs === undefined ? undefined : { size, runs }
  } finally {
    disk.close(fd)
  }
}

function readRuns(reader: BlockReader): Run[] | undefined {
  const runs: Run[] = []
  for (let at = 0; at < reader.size; at = reader.following()) {
    if (reader.look(at) !== 'valid') return undefined
    const { words } = reader
    for (let w = reader.opsFrom(); w < reader.opsTo(); w += runWords) {
      if (((words[w] as number) & 255) !== Op.run) return undefined
      runs.push({
        queue: words[w + 1] as number,
        from: joinWords(words[w + 2] as number, words[w + 3] as number),
        to: joinWords(words[w + 4] as number, words[w + 5] as number),
        count: words[w + 6] as number,
        offset: joinWords(words[w + 7] as number, words[w + 8] as number),
      })
    }
  }
  return runs
}
