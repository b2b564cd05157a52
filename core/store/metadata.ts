// The registry's tables in LMDB: opened, read whole at start, written in transactions that are synced
// before they count. Used by one thread alone.

import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { open } from 'lmdb'
import { nodeDisk } from './disk.ts'
import { metadataFolder } from './layout.ts'
import { findDamagedPages } from './lmdb-pages.ts'
import type { Restoration } from './restoration.ts'
import { restore } from './restoration.ts'
import { eachRow } from './row-batch.ts'

/** A file that cannot be used; the text says which and why. */
export class MetadataError extends Error {
  override readonly name = 'MetadataError'
}

export class Metadata {
  private readonly db: RootDatabase<Buffer, Buffer>

  /** Opens the tables of a data directory, or makes them. Throws MetadataError. */
  constructor(dataDir: string) {
    const folder = metadataFolder(dataDir)
    const file = join(folder, 'data.mdb')
    const damage = existsSync(file) ? damageOf(file) : undefined
    if (damage !== undefined) throw new MetadataError(`${file} is damaged: ${damage}`)
    try {
      nodeDisk.makeFolder(folder)
      // Without overlapping sync a transaction that has returned is on disk.
      this.db = open<Buffer, Buffer>({
        path: folder,
        noSubdir: false,
        encoding: 'binary',
        keyEncoding: 'binary',
        cache: false,
        overlappingSync: false,
      })
    } catch (error) {
      throw new MetadataError(`${file} cannot be opened: ${textOf(error)}`)
    }
  }

  /** Everything that is stored. */
  load(): Restoration {
    return restore(this.db.getRange())
  }

  /** Writes batches (see RowBatch) in one transaction; returns when it is on disk. */
  write(batches: readonly Uint8Array[]): void {
    this.db.transactionSync(() => {
      for (const batch of batches) {
        eachRow(batch, (key, value) => {
          if (value === undefined) this.db.removeSync(Buffer.from(key))
          else this.db.putSync(Buffer.from(key), Buffer.from(value))
        })
      }
    })
  }

  async close(): Promise<void> {
    await this.db.close()
  }
}

/** More than what one transaction of ordinary declarations adds. */
const roomBytes: number = 1024 * 1024

/** Whether LMDB's file in `folder` could grow, which free space does not tell where there are quotas. */
export function hasRoom(folder: string): boolean {
  const path = join(folder, 'room')
  try {
    const size = statSync(join(folder, 'data.mdb')).size
    const fd = nodeDisk.open(path, true)
    try {
      nodeDisk.write(fd, Buffer.alloc(roomBytes), roomBytes, size)
      nodeDisk.sync(fd)
    } finally {
      nodeDisk.close(fd)
      nodeDisk.remove(path)
    }
    return true
  } catch {
    return false
  }
}

function damageOf(file: string): string | undefined {
  try {
    return findDamagedPages(file)[0]
  } catch (error) {
    return textOf(error)
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
