// Reads a write-ahead log from its first file to its last and applies it. What may be wrong, and
// what is done about it (test/core/store/recovery.test.ts damages files for each row):
//
//   found                                      meaning                      done
//   zeros or a recycled file's block           the log ends here            nothing
//   broken block, no valid one behind it,      torn tail: the last write    cut; moved aside, reported
//     in the last file with blocks               was not finished
//   broken block, a valid one behind it        damage in the middle         skipped; moved aside, reported
//     (in this file or a later one)
//   sequence jumps (and no note says that      blocks or a whole file       reported
//     numbers were left out)                     are missing
//   file shorter than a block says             as a broken block            as a broken block
//   messages of a queue that is not known      queue deleted, its record    dropped, reported
//                                                not written yet
//   ops of a queue without messages            queue just declared          nothing

import { join } from 'node:path'
import { BlockReader } from './block-reader.ts'
import type { Disk } from './disk.ts'
import type { Replay } from './replay.ts'
import {
  blockAlign,
  blockBytesMax,
  walFileBytes,
  walFileName,
  walFileNumber,
} from './wal-format.ts'

/** Something that could not be read. */
export interface Damage {
  readonly kind: 'torn tail' | 'damaged' | 'missing'
  readonly file: string
  /** Where in the file, and how many bytes; for 'missing' the number of blocks. */
  readonly offset: number
  readonly size: number
  /** Where the bytes were moved; undefined when there were none. */
  readonly savedAs: string | undefined
}

export interface WalEnd {
  /** Higher than any file's number, sequence and generation so far. */
  readonly file: number
  readonly sequence: number
  readonly generation: number
  /** The oldest generation that the log still has; that of the next file when it has none. */
  readonly firstGeneration: number
  readonly damage: readonly Damage[]
}

export interface WalListing {
  /** Numbers of the log's files in order. */
  readonly files: readonly number[]
  /** Names of recycled files that wait for use. */
  readonly spares: readonly string[]
  /** The highest number that any of them had. */
  readonly last: number
}

const sparePattern = /^spare-(\d{10}\.wal)$/

/** What is in the folder of a log. */
export function listWal(disk: Disk, folder: string): WalListing {
  const files: number[] = []
  const spares: string[] = []
  let last = 0
  for (const name of disk.list(folder)) {
    const spare = sparePattern.exec(name)
    const number = walFileNumber(spare?.[1] ?? name)
    if (number === undefined) continue
    last = Math.max(last, number)
    if (spare === null) files.push(number)
    else spares.push(join(folder, name))
  }
  files.sort((a, b) => a - b)
  return { files, spares, last }
}

export class WalRecovery {
  private readonly disk: Disk
  private readonly folder: string
  /** Where what can't be read goes; undefined: it is only reported (offline check). */
  private readonly aside: string | undefined
  private readonly replay: Replay
  private readonly damage: Damage[]
  private readonly memory: Buffer
  private sequence: number
  private generation: number
  private firstGeneration: number
  /** What is broken at the end of a file: a torn tail unless blocks follow in a later file. */
  private openEnd:
    | { readonly file: number; readonly at: number; readonly bytes: Buffer }
    | undefined

  constructor(disk: Disk, folder: string, aside: string | undefined, replay: Replay) {
    this.disk = disk
    this.folder = folder
    this.aside = aside
    this.replay = replay
    this.damage = []
    this.memory = Buffer.from(new ArrayBuffer(walFileBytes))
    this.sequence = 0
    this.generation = 0
    this.firstGeneration = Number.POSITIVE_INFINITY
    this.openEnd = undefined
  }

  /** Reads and applies all files. Throws when a file that is there can't be read at all. */
  run(): WalEnd {
    const { files, last } = listWal(this.disk, this.folder)
    for (const file of files) this.readFile(file)
    this.closeEnd('torn tail')
    return {
      file: last + 1,
      sequence: this.sequence + 1,
      generation: this.generation + 1,
      firstGeneration: Math.min(this.firstGeneration, this.generation + 1),
      damage: this.damage,
    }
  }

  private readFile(file: number): void {
    const reader = this.load(file)
    let at = 0
    for (;;) {
      const state = reader.look(at)
      if (state === 'valid') {
        this.closeEnd('damaged')
        this.apply(reader, file)
        at = reader.following()
        continue
      }
      const next = reader.findValid(at)
      if (next >= 0) {
        this.save('damaged', file, at, reader.bytes.subarray(at, next))
        at = next
      } else {
        if (state === 'broken') this.leaveEnd(file, at, reader)
        return
      }
    }
  }

  private apply(reader: BlockReader, file: number): void {
    const sequence = reader.sequence()
    const expected = this.sequence + 1 + reader.skipped()
    // Less than expected: blocks that were written again after a failure had reached the disk after all.
    if (this.sequence !== 0 && sequence > expected) {
      const name = walFileName(file)
      const size = sequence - expected
      this.damage.push({ kind: 'missing', file: name, offset: reader.at, size, savedAs: undefined })
    }
    this.sequence = sequence
    this.generation = Math.max(this.generation, reader.generation())
    this.firstGeneration = Math.min(this.firstGeneration, reader.generation())
    this.replay.apply(reader.words, reader.bytes, reader.opsFrom(), reader.opsTo())
  }

  private load(file: number): BlockReader {
    const fd = this.disk.open(join(this.folder, walFileName(file)), false)
    try {
      const size = this.disk.read(fd, this.memory, 0, walFileBytes, 0)
      return new BlockReader(this.memory, size, file)
    } finally {
      this.disk.close(fd)
    }
  }

  /** Notes a broken end; its bytes are kept, since the next file is read into the same memory. */
  private leaveEnd(file: number, at: number, reader: BlockReader): void {
    this.closeEnd('damaged')
    const bytes = Buffer.from(reader.bytes.subarray(at, endOfBroken(reader, at)))
    this.openEnd = { file, at, bytes }
  }

  private closeEnd(kind: 'torn tail' | 'damaged'): void {
    if (this.openEnd === undefined) return
    const { file, at, bytes } = this.openEnd
    this.openEnd = undefined
    this.save(kind, file, at, bytes)
  }

  private save(kind: 'torn tail' | 'damaged', file: number, offset: number, bytes: Buffer): void {
    const name = walFileName(file)
    const size = bytes.length
    let savedAs: string | undefined
    if (this.aside !== undefined) {
      savedAs = join(this.aside, `${name}-${offset}`)
      saveBytes(this.disk, this.aside, savedAs, bytes)
    }
    this.damage.push({ kind, file: name, offset, size, savedAs })
  }
}

/** Where a broken block that nothing valid follows ends: at unused space, or where it must. */
function endOfBroken(reader: BlockReader, at: number): number {
  const limit = Math.min(at + blockBytesMax, reader.size)
  let end = at + blockAlign
  while (end < limit && reader.look(end) === 'broken') end += blockAlign
  return Math.min(end, limit)
}

function saveBytes(disk: Disk, folder: string, path: string, bytes: Buffer): void {
  disk.makeFolder(folder)
  const fd = disk.open(path, true)
  try {
    disk.write(fd, bytes, bytes.length, 0)
    disk.sync(fd)
  } finally {
    disk.close(fd)
  }
}
