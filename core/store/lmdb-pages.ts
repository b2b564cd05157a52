// Walks the pages of an LMDB file before LMDB itself maps it: LMDB trusts what it reads, so a damaged
// page number would end the process with a segmentation fault instead of a message, and a damaged list
// of free pages would have it write over rows.
//
// Integers are in the machine's order, which is little-endian everywhere that Node runs Warren.
//
//   page header   page number u64 | txn id u64 | pad u16 | flags u16 | lower u16, upper u16
//                 (overflow pages: their count as u32 in place of lower and upper)
//   pages 0 and 1 header, then: magic u32 | version u32 | address u64 | map size u64 |
//                 free tree, main tree (48 bytes each) | last page u64 | txn id u64
//   tree          page size or pad u32 | flags u16 | depth u16 | 4 counts u64 | root page u64
//   node          u16 x 2: data size, or with flags the child's page | flags u16 | key size u16 | key | data

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

const headerBytes = 24
const nodeBytes = 8
const magic = 0xbeefc0de
const treeAt = { free: headerBytes + 24, main: headerBytes + 72 } as const
const lastPageAt = headerBytes + 120
const txnAt = headerBytes + 128
const metaBytes = headerBytes + 136
/** Past every depth that a file of metadata can have; LMDB's own limit is 32. */
const depthMax = 32
/** One mistake may lead to many more. */
const problemsMax = 20
const noPage = 0xffffffffffffffffn

const Flag = { branch: 1, leaf: 2, overflow: 4 } as const
const NodeFlag = { bigData: 1 } as const

/** Gets every row of the main tree that can be read. */
export type OnRow = (key: Uint8Array, value: Uint8Array) => void

/** What is wrong with the file at `path`, a sentence each; none: every page can be read. */
export function findDamagedPages(path: string, onRow: OnRow = () => {}): string[] {
  const file = openSync(path, 'r')
  try {
    const size = fstatSync(file).size
    if (size < metaBytes) return [`it has ${size} bytes, too few for its first page`]
    const first = read(file, 0, metaBytes)
    const pageSize = first.readUInt32LE(treeAt.free)
    if (first.readUInt32LE(headerBytes) !== magic) return ['the first page is not that of LMDB']
    if (pageSize < 256 || pageSize > 65536 || (pageSize & (pageSize - 1)) !== 0) {
      return [`the first page says that pages have ${pageSize} bytes`]
    }
    if (size < 2 * pageSize) return [`it has ${size} bytes, too few for its first two pages`]
    const second = read(file, pageSize, metaBytes)
    if (second.readUInt32LE(headerBytes) !== magic) return ['the second page is not that of LMDB']
    // Transactions write the two in turn.
    const newest = second.readBigUInt64LE(txnAt) > first.readBigUInt64LE(txnAt) ? second : first
    return new Walk(file, pageSize, size, newest.readBigUInt64LE(lastPageAt)).start(newest, onRow)
  } finally {
    closeSync(file)
  }
}

interface Tree {
  readonly compare: (a: Uint8Array, b: Uint8Array) => number
  readonly onRow: OnRow
  /** Every key from here on must be larger, or as large where `mayEqual`. */
  bound: Uint8Array | undefined
  mayEqual: boolean
}

class Walk {
  private readonly file: number
  private readonly pageSize: number
  /** Pages that the file really has. */
  private readonly pages: number
  private readonly lastPage: bigint
  private readonly seen: Set<number>
  private readonly problems: string[]

  constructor(file: number, pageSize: number, size: number, lastPage: bigint) {
    this.file = file
    this.pageSize = pageSize
    this.pages = Math.floor(size / pageSize)
    this.lastPage = lastPage
    this.seen = new Set([0, 1])
    this.problems = []
  }

  start(meta: Buffer, onRow: OnRow): string[] {
    const lists: Uint8Array[] = []
    this.tree(meta.subarray(treeAt.main), Buffer.compare, onRow)
    this.tree(meta.subarray(treeAt.free), compareNumbers, (_, value) => lists.push(value))
    for (const list of lists) this.freePages(Buffer.from(list))
    return this.problems
  }

  private say(problem: string): void {
    if (this.problems.length < problemsMax) this.problems.push(problem)
  }

  private tree(tree: Buffer, compare: Tree['compare'], onRow: OnRow): void {
    const depth = tree.readUInt16LE(6)
    const root = tree.readBigUInt64LE(40)
    if (root === noPage) return
    if (depth < 1 || depth > depthMax) this.say(`a tree of pages is ${depth} deep`)
    else this.page(root, depth, { compare, onRow, bound: undefined, mayEqual: true })
  }

  /** Takes a page that nothing else uses; undefined where that cannot be. */
  private take(number: bigint): number | undefined {
    const at = Number(number)
    if (number > this.lastPage) this.say(`page ${number} is past the last one, ${this.lastPage}`)
    else if (at >= this.pages) this.say(`page ${at} is past the end of the file`)
    else if (this.seen.has(at)) this.say(`page ${at} is used twice`)
    else {
      this.seen.add(at)
      return at
    }
    return undefined
  }

  /** `depth`: levels from this page down to the leaves, 1 for a leaf. */
  private page(number: bigint, depth: number, tree: Tree): void {
    const at = this.take(number)
    if (at === undefined) return
    const page = read(this.file, at * this.pageSize, this.pageSize)
    const flags = page.readUInt16LE(18) & 0xf
    const lower = page.readUInt16LE(20)
    const upper = page.readUInt16LE(22)
    const room = this.pageSize - headerBytes
    if (page.readBigUInt64LE(0) !== number) return this.say(`page ${at} has another page's number`)
    if (flags !== (depth > 1 ? Flag.branch : Flag.leaf))
      return this.say(`page ${at} is of another kind`)
    if (lower > upper || upper > room || lower % 2 !== 0)
      return this.say(`page ${at} has a damaged head`)
    for (let i = 0; i < lower; i += 2) {
      const start = page.readUInt16LE(headerBytes + i)
      if (start < upper || start + nodeBytes > room) this.say(`page ${at} has a damaged index`)
      else {
        const node = page.subarray(headerBytes + start)
        if (nodeBytes + node.readUInt16LE(6) > node.length) this.say(`page ${at} has a cut key`)
        else if (depth > 1) this.branchNode(node, at, depth, i === 0, tree)
        else this.leafNode(node, at, tree)
      }
    }
  }

  private branchNode(node: Buffer, at: number, depth: number, first: boolean, tree: Tree): void {
    // The first child has everything that is smaller than the key of the second.
    if (!first) {
      this.key(node, at, tree)
      tree.mayEqual = true
    }
    const child = (BigInt(node.readUInt16LE(4)) << 32n) | BigInt(node.readUInt32LE(0))
    this.page(child, depth - 1, tree)
  }

  private leafNode(node: Buffer, at: number, tree: Tree): void {
    const key = this.key(node, at, tree)
    const flags = node.readUInt16LE(4)
    const size = node.readUInt32LE(0)
    const data = node.subarray(nodeBytes + key.length)
    if (flags === NodeFlag.bigData) {
      const value = data.length < 24 ? undefined : this.overflow(data, at, size)
      if (value !== undefined) tree.onRow(key, value)
    } else if (flags !== 0) this.say(`page ${at} has a row of another kind`)
    else if (size > data.length) this.say(`page ${at} has a cut row`)
    else tree.onRow(key, data.subarray(0, size))
  }

  private key(node: Buffer, at: number, tree: Tree): Buffer {
    const key = node.subarray(nodeBytes, nodeBytes + node.readUInt16LE(6))
    const order = tree.bound === undefined ? 1 : tree.compare(key, tree.bound)
    if (order < 0 || (order === 0 && !tree.mayEqual)) this.say(`page ${at} has keys out of order`)
    tree.bound = key
    tree.mayEqual = false
    return key
  }

  /** A row on pages of its own. */
  private overflow(node: Buffer, from: number, size: number): Buffer | undefined {
    const number = node.readBigUInt64LE(0)
    const count = Number(node.readBigUInt64LE(16))
    if (count > this.pages || count * this.pageSize < headerBytes + size) {
      this.say(`page ${from} has a row of a wrong size`)
      return undefined
    }
    for (let i = 0n; i < BigInt(count); i++) {
      if (this.take(number + i) === undefined) return undefined
    }
    const value = read(this.file, Number(number) * this.pageSize, headerBytes + size)
    const flags = value.readUInt16LE(18)
    if (value.readBigUInt64LE(0) === number && (flags & Flag.overflow) !== 0) {
      return value.subarray(headerBytes)
    }
    this.say(`page ${number} is not the row that page ${from} says`)
    return undefined
  }

  /**
   * A list of free pages: count, then per entry a page number, or 0 for nothing, or -n and a page
   * number for n pages from there. LMDB puts up with a page that is listed twice or not at all.
   */
  private freePages(list: Buffer): void {
    const count = list.length < 8 ? -1 : Number(list.readBigInt64LE(0))
    if (count < 0 || (count + 1) * 8 > list.length) return this.say('a list of free pages is cut')
    for (let i = 1, length = 1n; i <= count; i++) {
      const entry = list.readBigInt64LE(i * 8)
      if (entry < 0n) length = -entry
      else if (entry > 0n) {
        this.freeRange(entry, length)
        length = 1n
      }
    }
  }

  private freeRange(first: bigint, length: bigint): void {
    if (length > this.lastPage || first + length - 1n > this.lastPage) {
      return this.say(`page ${first} and ${length - 1n} after it are free, but past the last one`)
    }
    for (let page = Number(first); page < Number(first + length); page++) {
      if (this.seen.has(page)) this.say(`page ${page} is in use and free at once`)
    }
  }
}

function compareNumbers(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== 8 || b.length !== 8) return -1
  return Number(Buffer.from(a).readBigUInt64LE() - Buffer.from(b).readBigUInt64LE())
}

function read(file: number, at: number, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  readSync(file, bytes, 0, size, at)
  return bytes
}
