// The files of one shard's write-ahead log: preallocated, overwritten, recycled. Overwriting zeros
// that are on disk already makes a sync several times cheaper than growing a file does.

import { basename, dirname, join } from 'node:path'
import { BlockBuilder } from './block-builder.ts'
import type { Disk } from './disk.ts'
import { placeMark } from './disk.ts'
import { logMark } from './layout.ts'
import { blockAlign, paddedSize, walFileBytes, walFileName } from './wal-format.ts'

/** A new file grows by this much at a time; recycled ones have their size already. */
const growthBytes: number = 4 * 1024 * 1024
/** In one idle moment: a fraction of a millisecond. */
const prepareBytes: number = 256 * 1024
/** What a generation takes of its file, as a rule. */
const preparedBytes: number = walFileBytes / 2 + growthBytes
/** A log that holds less is no reason to prepare a file for more. */
const usedBytes: number = 1024 * 1024
/** Retired files that are kept for reuse; more are removed. */
const sparesMax = 3

export const sparePrefix = 'spare-'

/** Where writing goes on after recovery. */
export interface WalStart {
  /** Higher than the number of any file that there is or was. */
  readonly file: number
  readonly sequence: number
  /** Sequence of the oldest block that recovery has read; `sequence` if there was none. */
  readonly first: number
  readonly generation: number
  /** Files that recovery has read, oldest first: all belong to earlier generations. */
  readonly oldFiles: readonly number[]
  readonly spares: readonly string[]
}

/** Whether the log in `folder` (see walFolder) was ever written. */
export function hasBegun(disk: Disk, folder: string): boolean {
  const mark = logMark(dirname(folder))
  try {
    return disk.list(dirname(mark)).includes(basename(mark))
  } catch {
    return false
  }
}

interface WalFile {
  readonly number: number
  readonly generation: number
  /** Sequence of its first block. */
  readonly first: number
}

export class WalFiles {
  generation: number
  private readonly disk: Disk
  private readonly folder: string
  private readonly files: WalFile[]
  /** A block without ops. */
  private readonly note: BlockBuilder
  /** Sequence of the oldest block that is needed; what the last block that is synced said it was. */
  private first: number
  private firstSynced: number
  private readonly spares: string[]
  private readonly zeros: Buffer
  private number: number
  private sequence: number
  /** Sequence behind the last block that is synced. */
  private durable: number
  /** Sequence numbers that the next block leaves out. */
  private skip: number
  private fd: number
  private at: number
  private size: number
  private unsynced: boolean
  /** Of the spare file that is being zeroed; -1 when none is. */
  private spareFd: number
  private spareSize: number
  /** The current file holds synced blocks. */
  private holdsSynced: boolean
  /** The mark that tells that there is a log is on disk. */
  private marked: boolean

  constructor(disk: Disk, folder: string, salt: number, start: WalStart) {
    const { first } = start
    this.disk = disk
    this.folder = folder
    this.generation = start.generation
    const generation = start.generation - 1
    this.files = start.oldFiles.map((number) => ({ number, generation, first }))
    this.note = new BlockBuilder(salt, blockAlign)
    this.first = first
    this.firstSynced = first
    this.spares = [...start.spares]
    this.zeros = Buffer.alloc(growthBytes)
    this.number = start.file - 1
    this.sequence = start.sequence
    this.durable = start.sequence
    this.skip = 0
    this.fd = -1
    this.at = 0
    this.size = 0
    this.unsynced = false
    this.spareFd = -1
    this.spareSize = 0
    this.holdsSynced = false
    this.marked = hasBegun(disk, folder)
  }

  /** Writes the block; it is durable after the next `sync`. Throws on disk errors: then call `fail`. */
  append(block: BlockBuilder): void {
    const size = paddedSize(block.at * 4)
    if (this.fd < 0 || this.at + size > walFileBytes) this.next()
    // With a sector of zeros behind, where a recycled file may hold the middle of an old block: so a
    // log that ends here looks different from one that was torn here.
    const end = Math.min(this.at + size + blockAlign, walFileBytes)
    this.grow(end)
    block.finish({
      file: this.number,
      sequence: this.sequence,
      generation: this.generation,
      skipped: this.skip,
      synced: this.durable,
      first: this.first,
    })
    this.unsynced = true
    this.disk.write(this.fd, block.bytes, end - this.at, this.at)
    this.at += size
    this.sequence++
    this.skip = 0
  }

  /** All appended blocks are on disk. Throws on disk errors: then call `fail`. */
  sync(): void {
    if (!this.unsynced) return
    this.disk.sync(this.fd)
    this.unsynced = false
    this.durable = this.sequence
    this.firstSynced = this.first
    this.holdsSynced = true
    // Behind the first sync: a mark without a log would tell of a loss that never was. Where it fails, the
    // next sync tries again.
    if (!this.marked) this.marked = placeMark(this.disk, logMark(dirname(this.folder)))
  }

  /** Starts a file of a new generation. What was appended must be synced. */
  roll(generation: number): void {
    if (generation <= this.generation) return
    this.leave()
    this.generation = generation
  }

  /**
   * A write or a sync has failed: what it wrote may or may not be on disk, and a later sync could
   * claim success without having written it. So the file is never written again; what was not synced
   * is to be appended anew.
   */
  fail(): void {
    this.unsynced = false
    // The block that failed may be on disk all the same: its number is not used again.
    this.sequence++
    this.skip = this.sequence - this.durable
    const open = this.fd >= 0
    this.leave()
    if (open && !this.holdsSynced) this.removeLast()
  }

  /** A file that failed before anything in it was synced: while the disk refuses, each try leaves one. */
  private removeLast(): void {
    const last = this.files[this.files.length - 1]
    if (last?.number !== this.number) return
    try {
      this.disk.remove(join(this.folder, walFileName(last.number)))
      this.files.pop()
    } catch {
      // It stays until its generation is retired.
    }
  }

  /** The files of generations up to `generation`, oldest first. */
  filesUpTo(generation: number): number[] {
    return this.files.filter((file) => file.generation <= generation).map(({ number }) => number)
  }

  /**
   * For idle moments: goes on with zeroing a file for the next generation, so that a new log soon
   * overwrites as an old one does. True when it did something.
   */
  prepare(): boolean {
    if (this.spares.length > 0 || this.at < usedBytes) return false
    try {
      this.zeroSpare()
      return true
    } catch {
      // The next file grows as it is written; one that is there half is used as it is.
      this.stopPreparing()
      return false
    }
  }

  private zeroSpare(): void {
    const path = join(this.folder, `${sparePrefix}${walFileName(0)}`)
    if (this.spareFd < 0) {
      this.spareFd = this.disk.open(path, true)
      this.spareSize = this.disk.size(this.spareFd)
    }
    this.disk.write(this.spareFd, this.zeros, prepareBytes, this.spareSize)
    this.spareSize += prepareBytes
    if (this.spareSize % growthBytes === 0) this.disk.sync(this.spareFd)
    if (this.spareSize < preparedBytes) return
    this.stopPreparing()
    this.spares.push(path)
  }

  private stopPreparing(): void {
    const { spareFd } = this
    this.spareFd = -1
    if (spareFd >= 0) this.disk.close(spareFd)
  }

  /** Files of earlier generations. */
  oldFiles(): number {
    let count = 0
    while (count < this.files.length && this.isOld(this.files[count])) count++
    return count
  }

  /**
   * Retires the files of generations up to `generation`: nothing in them is needed any more. Throws on
   * disk errors: then it is to be called again.
   */
  recycle(generation: number): void {
    const kept = this.files.find((file) => file.generation > generation)
    this.first = kept?.first ?? this.sequence
    // Said first: a log whose oldest files are gone would look as if they were missing.
    if (this.first !== this.firstSynced) this.say()
    for (let file = this.files[0]; file !== undefined; file = this.files[0]) {
      if (file.generation > generation || (file.number === this.number && this.fd >= 0)) return
      const path = join(this.folder, walFileName(file.number))
      if (this.spares.length < sparesMax) {
        const spare = join(this.folder, `${sparePrefix}${walFileName(file.number)}`)
        this.disk.rename(path, spare)
        this.spares.push(spare)
      } else this.disk.remove(path)
      this.files.shift()
    }
  }

  /** Writes and syncs a block that holds nothing but its header. */
  private say(): void {
    try {
      this.append(this.note)
      this.sync()
    } catch (error) {
      this.fail()
      throw error
    }
  }

  private isOld(file: WalFile | undefined): boolean {
    return file !== undefined && file.generation < this.generation
  }

  private next(): void {
    this.sync()
    this.leave()
    const number = this.number + 1
    const path = join(this.folder, walFileName(number))
    this.number = number
    this.holdsSynced = false
    const spare = this.spares.shift()
    if (spare !== undefined) this.disk.rename(spare, path)
    this.fd = this.disk.open(path, true)
    this.files.push({ number, generation: this.generation, first: this.sequence })
    this.disk.syncFolder(this.folder)
    this.size = this.disk.size(this.fd)
    this.at = 0
  }

  private leave(): void {
    const { fd } = this
    this.fd = -1
    if (fd >= 0) this.disk.close(fd)
  }

  private grow(end: number): void {
    while (this.size < end) {
      const size = Math.min(growthBytes, walFileBytes - this.size)
      this.unsynced = true
      this.disk.write(this.fd, this.zeros, size, this.size)
      this.size += size
    }
  }
}
