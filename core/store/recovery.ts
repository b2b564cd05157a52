// Reads a write-ahead log from its first file to its last and applies it. What may be wrong, and
// what is done about it (test/core/store/recovery.test.ts damages files for each row):
//
//   found                                      meaning                       done
//   zeros or a recycled file's block           the log ends here             nothing
//   broken or missing block, nothing behind    torn tail: the last commit    cut from there; moved aside,
//     it that was written after it was synced    was not finished              reported
//   broken block that was synced               damage                        left out; moved aside, reported
//   missing block that was synced              blocks or a file are missing  reported
//   the oldest block comes after the one that  the oldest file is missing    reported
//     the youngest says is needed
//   no file, though there was a log            all of it is missing          reported
//   file shorter than a block says             as a broken block             as a broken block
//   messages of a queue that is not known      queue deleted, its record     dropped, reported
//                                                not written yet
//   ops of a queue without messages            queue just declared           nothing
//   a segment that the log names is not there  it is missing                 reported (shard-store.ts)
//
// A block says how far the log was synced before it was written. So a commit of several blocks that
// was torn in its middle is cut there: what comes later in it may be the end of a message that an
// earlier block was to bring elsewhere.

import { join } from 'node:path'
import { BlockReader } from './block-reader.ts'
import type { Disk } from './disk.ts'
import { isNoSpace } from './disk.ts'
import type { Replay } from './replay.ts'
import { hasBegun } from './wal.ts'
import {
  blockAlign,
  blockBytesMax,
  walFileBytes,
  walFileName,
  walFileNumber,
} from './wal-format.ts'

/** Something that could not be read. */
export interface Damage {
  readonly kind: 'torn tail' | 'damaged' | 'missing' | 'gone'
  readonly file: string
  /** Where in the file, and how many bytes; for 'missing' the number of blocks; 0 for 'gone'. */
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
  /** Of the oldest block; `sequence` when there is none. */
  readonly first: number
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

export interface RecoveryPlace {
  readonly disk: Disk
  readonly folder: string
  readonly salt: number
  /** Where what can't be read goes; undefined: it is only reported (offline check). */
  readonly aside: string | undefined
}

/** A part of a file; a copy, since the next file is read into the same memory. */
interface Piece {
  readonly file: number
  readonly at: number
  readonly bytes: Buffer
  /** A block that may be cut, or something that is none. */
  readonly block: BlockReader | undefined
}

export class WalRecovery {
  private readonly place: RecoveryPlace
  private readonly replay: Replay
  private readonly damage: Damage[]
  private readonly memory: Buffer
  /** Sequence of the block that comes next; undefined before the first. */
  private next: number | undefined
  private generation: number
  private firstSequence: number
  private firstGeneration: number
  /** What the youngest block says is the oldest that is needed. */
  private needed: number
  /** From the first broken or missing block on, while it may be that it was never synced. */
  private doubtful: Piece[]

  constructor(place: RecoveryPlace, replay: Replay) {
    this.place = place
    this.replay = replay
    this.damage = []
    this.memory = Buffer.from(new ArrayBuffer(walFileBytes))
    this.next = undefined
    this.generation = 0
    this.firstSequence = 0
    this.firstGeneration = Number.POSITIVE_INFINITY
    this.needed = 0
    this.doubtful = []
  }

  /** Reads and applies all files. Throws when a file that is there can't be read at all. */
  run(): WalEnd {
    const { disk, folder } = this.place
    const { files, last } = listWal(disk, folder)
    if (files.length === 0 && hasBegun(disk, folder)) this.note('gone', 1, 0, 0, undefined)
    for (const file of files) this.readFile(file, file === files.at(-1))
    this.cut()
    if (this.firstSequence > this.needed) {
      this.note('missing', files[0] ?? 0, 0, this.firstSequence - this.needed, undefined)
    }
    const sequence = this.next ?? 1
    return {
      file: last + 1,
      sequence,
      generation: this.generation + 1,
      first: this.firstSequence === 0 ? sequence : this.firstSequence,
      firstGeneration: Math.min(this.firstGeneration, this.generation + 1),
      damage: this.damage,
    }
  }

  private readFile(file: number, last: boolean): void {
    const reader = this.load(file, last)
    let at = 0
    for (;;) {
      const state = reader.look(at)
      if (state === 'valid') {
        this.onBlock(reader, file)
        at = reader.following()
        continue
      }
      const next = reader.findValid(at)
      if (next < 0 && state === 'unused') return
      const end = next < 0 ? endOfBroken(reader, at) : next
      const bytes = copyOf(reader.bytes, at, end)
      this.doubtful.push({ file, at, bytes, block: undefined })
      if (next < 0) return
      at = next
    }
  }

  /** A block that can be read: applies it unless one before it is not there, and may never have been. */
  private onBlock(reader: BlockReader, file: number): void {
    const from = reader.sequence() - reader.skipped()
    // Blocks before the first that can be read may have been broken: at least one.
    this.next ??= this.doubtful.length > 0 ? from - 1 : from
    if (from <= this.next) {
      // Not synced and written again (blocks that had reached the disk all the same are among these).
      this.doubtful = []
    } else if (reader.synced() > this.next) {
      this.admitDamage(file, reader.at, from - this.next)
    } else {
      const bytes = copyOf(reader.bytes, reader.at, reader.following())
      const block = new BlockReader(bytes, bytes.length, file, this.place.salt)
      this.doubtful.push({ file, at: reader.at, bytes, block })
      return
    }
    this.apply(reader)
  }

  /** What is broken or missing had been synced: the blocks behind it count. */
  private admitDamage(file: number, at: number, missing: number): void {
    const pieces = this.doubtful
    this.doubtful = []
    let found = missing
    for (const { file: of, at: offset, bytes, block } of pieces) {
      if (block === undefined) {
        found = 0
        this.note('damaged', of, offset, bytes.length, this.save(of, offset, bytes))
      }
    }
    if (found > 0) this.note('missing', file, at, found - pieces.length, undefined)
    this.replay.skip()
    for (const { block } of pieces) if (block?.look(0) === 'valid') this.apply(block)
  }

  private apply(reader: BlockReader): void {
    const sequence = reader.sequence()
    if (this.firstSequence === 0) this.firstSequence = sequence - reader.skipped()
    this.next = sequence + 1
    this.generation = Math.max(this.generation, reader.generation())
    this.firstGeneration = Math.min(this.firstGeneration, reader.generation())
    this.needed = reader.first()
    this.replay.apply(reader.words, reader.bytes, reader.opsFrom(), reader.opsTo())
  }

  private load(file: number, last: boolean): BlockReader {
    const { disk, folder, salt, aside } = this.place
    const fd = disk.open(join(folder, walFileName(file)), false)
    try {
      const size = disk.read(fd, this.memory, 0, walFileBytes, 0)
      // What a killed process has written is seen here, but may not be on disk yet.
      if (last && aside !== undefined) disk.sync(fd)
      return new BlockReader(this.memory, size, file, salt)
    } finally {
      disk.close(fd)
    }
  }

  /** The log ends where something was not there: the rest is moved aside and replaced by zeros. */
  private cut(): void {
    const pieces = this.doubtful
    for (let i = 0; i < pieces.length; ) {
      const { file, at } = pieces[i] as Piece
      let end = at
      for (; pieces[i]?.file === file; i++) {
        const piece = pieces[i] as Piece
        end = piece.at + piece.bytes.length
      }
      this.note('torn tail', file, at, end - at, this.cutFrom(file, at, end))
    }
  }

  private cutFrom(file: number, from: number, to: number): string | undefined {
    const { disk, folder, aside } = this.place
    if (aside === undefined) return undefined
    const fd = disk.open(join(folder, walFileName(file)), false)
    try {
      const bytes = Buffer.alloc(to - from)
      disk.read(fd, bytes, 0, bytes.length, from)
      const savedAs = this.save(file, from, bytes)
      disk.write(fd, bytes.fill(0), bytes.length, from)
      disk.sync(fd)
      return savedAs
    } finally {
      disk.close(fd)
    }
  }

  /** Where the bytes are kept; undefined where a full disk has no room for them, which stops no start. */
  private save(file: number, offset: number, bytes: Buffer): string | undefined {
    const { disk, aside } = this.place
    if (aside === undefined) return undefined
    const path = join(aside, `${walFileName(file)}-${offset}`)
    try {
      disk.makeFolder(aside)
      const fd = disk.open(path, true)
      try {
        disk.write(fd, bytes, bytes.length, 0)
        disk.sync(fd)
      } finally {
        disk.close(fd)
      }
    } catch (error) {
      if (!isNoSpace(error)) throw error
      disk.remove(path)
      return undefined
    }
    return path
  }

  private note(
    kind: Damage['kind'],
    file: number,
    offset: number,
    size: number,
    savedAs: string | undefined,
  ): void {
    this.damage.push({ kind, file: walFileName(file), offset, size, savedAs })
  }
}

function copyOf(bytes: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.from(new ArrayBuffer(to - from))
  bytes.copy(copy, 0, from, to)
  return copy
}

/** Where a broken block that nothing valid follows ends: at unused space, or where it must. */
function endOfBroken(reader: BlockReader, at: number): number {
  const limit = Math.min(at + blockBytesMax, reader.size)
  let end = at + blockAlign
  while (end < limit && reader.look(end) === 'broken') end += blockAlign
  return Math.min(end, limit)
}
