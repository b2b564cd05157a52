// The keyed store on disk: rows that gateways keep, in an LMDB environment of its own, so that a
// million of them cost the start of a node nothing. It is opened when it is first asked for anything.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { open } from 'lmdb'
import type { KeyedOp } from '../../shared/bus/control.ts'
import { nodeDisk } from './disk.ts'
import { behind, keyBytesMax, tableKey } from './keyed-key.ts'
import { keyedFolder } from './layout.ts'
import { PathFilter } from './path-filter.ts'
import { eachRow } from './row-batch.ts'

type Op<K extends KeyedOp['op']> = Extract<KeyedOp, { readonly op: K }>

/** A part of a scan: rows, and the key to go on behind; null when that was all. */
export interface KeyedRows {
  readonly rows: (readonly [key: Buffer, value: Buffer])[]
  readonly next: Buffer | null
}

/** Keys that one part of a scan looks at: a few milliseconds, in which nothing is written. */
const stepsMax = 5000
/** A seek costs about as much as this many steps. */
const stepsPerSeek = 6

export class Keyed {
  private readonly folder: string
  private db: RootDatabase<Buffer, Buffer> | undefined

  constructor(dataDir: string) {
    this.folder = keyedFolder(dataDir)
    this.db = undefined
  }

  /** Writes batches (see RowBatch) in one transaction; returns when it is on disk. */
  write(batches: readonly Uint8Array[]): void {
    const db = this.opened()
    db.transactionSync(() => {
      for (const batch of batches) {
        eachRow(batch, (key, value) => {
          if (value === undefined) db.removeSync(Buffer.from(key))
          else db.putSync(Buffer.from(key), Buffer.from(value))
        })
      }
    })
  }

  get({ table, keys }: Op<'keyedGet'>): (Buffer | null)[] {
    if (this.isBlank()) return keys.map(() => null)
    const db = this.opened()
    return keys.map((key) => db.getBinary(tableKey(table, key)) ?? null)
  }

  /** Returns when it is on disk that the row is gone. */
  take({ table, key }: Op<'keyedTake'>): Buffer | null {
    const [value] = this.get({ op: 'keyedGet', table, keys: [key] })
    if (value === undefined || value === null) return null
    const db = this.opened()
    db.transactionSync(() => db.removeSync(tableKey(table, key)))
    return value
  }

  scan({ table, prefix, filter, after, bytesMax }: Op<'keyedScan'>): KeyedRows {
    if (this.isBlank()) return { rows: [], next: null }
    const from = tableKey(table, prefix)
    const path = filter === null ? undefined : new PathFilter(from, filter)
    const first = path?.start().subarray(0, keyBytesMax) ?? from
    const start = after === null ? first : Buffer.from(after)
    return new Scan(this.opened(), from, path, start, after !== null, bytesMax).run()
  }

  async close(): Promise<void> {
    await this.db?.close()
  }

  /** Nothing was ever written: no file is made for having been asked. */
  private isBlank(): boolean {
    return this.db === undefined && !existsSync(join(this.folder, 'data.mdb'))
  }

  private opened(): RootDatabase<Buffer, Buffer> {
    if (this.db !== undefined) return this.db
    nodeDisk.makeFolder(this.folder)
    // As for the metadata: a transaction that has returned is on disk.
    this.db = open<Buffer, Buffer>({
      path: this.folder,
      noSubdir: false,
      encoding: 'binary',
      keyEncoding: 'binary',
      cache: false,
      overlappingSync: false,
    })
    return this.db
  }
}

/** One part of a scan. */
class Scan {
  private readonly db: RootDatabase<Buffer, Buffer>
  private readonly prefix: Buffer
  private readonly path: PathFilter | undefined
  private readonly end: Buffer
  private readonly bytesMax: number
  private readonly rows: (readonly [Buffer, Buffer])[]
  private from: Buffer
  /** `from` itself has been looked at. */
  private seen: boolean
  private steps: number
  private bytes: number

  constructor(
    db: RootDatabase<Buffer, Buffer>,
    prefix: Buffer,
    path: PathFilter | undefined,
    start: Buffer,
    seen: boolean,
    bytesMax: number,
  ) {
    this.db = db
    this.prefix = prefix
    this.path = path
    this.end = behind(prefix)
    this.bytesMax = bytesMax
    this.rows = []
    this.from = start
    this.seen = seen
    this.steps = 0
    this.bytes = 0
  }

  run(): KeyedRows {
    for (;;) {
      const skipTo = this.walk()
      if (skipTo === 'end') return { rows: this.rows, next: null }
      if (skipTo === 'enough') return { rows: this.rows, next: this.from }
      this.from = skipTo
      this.seen = false
    }
  }

  /** Walks from `from` on, until a key says where to seek to. */
  private walk(): Buffer | 'end' | 'enough' {
    let skipTo: Buffer | undefined
    let passed = 0
    for (const { key, value } of this.db.getRange({ start: this.from, end: this.end })) {
      if (this.seen && key.equals(this.from)) continue
      if (++this.steps > stepsMax) return 'enough'
      this.from = key
      this.seen = true
      if (skipTo !== undefined && key.compare(skipTo) < 0) {
        if (++passed > stepsPerSeek) return skipTo
        continue
      }
      skipTo = undefined
      passed = 0
      const verdict = this.path?.judge(key)
      if (verdict?.matches === false) {
        skipTo = verdict.skipTo
        if (skipTo === undefined) return 'end'
        // No key is that long, so none can be sought by it.
        if (skipTo.length > keyBytesMax) skipTo = undefined
        continue
      }
      this.rows.push([key.subarray(this.prefix.length), value])
      this.bytes += key.length + value.length
      if (this.bytes >= this.bytesMax) return 'enough'
    }
    return 'end'
  }
}
