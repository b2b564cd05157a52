// Walks the pages of an LMDB file before LMDB itself maps it: LMDB trusts what it reads, so a damaged
// page number would end the process with a segmentation fault instead of a message.
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
const noPage = 0xffffffffffffffffn

const Flag = { branch: 1, leaf: 2, overflow: 4, meta: 8 } as const
const NodeFlag = { bigData: 1, subTree: 2 } as const

/** What is wrong with the file at `path`, as a sentence; undefined: every page in use can be read. */
export function findDamagedPage(path: string): string | undefined {
  const file = openSync(path, 'r')
  try {
    const size = fstatSync(file).size
    const head = read(file, 0, Math.min(size, metaBytes))
    if (size < metaBytes) return `the file has ${size} bytes, too few for its first page`
    const pageSize = head.readUInt32LE(treeAt.free)
    if (head.readUInt32LE(headerBytes) !== magic) return 'the first page is not that of LMDB'
    if (pageSize < 256 || pageSize > 65536 || (pageSize & (pageSize - 1)) !== 0) {
      return `the first page says that pages have ${pageSize} bytes`
    }
    if (size < 2 * pageSize) return `the file has ${size} bytes, too few for its first two pages`
    const metas = [head, read(file, pageSize, metaBytes)]
    if (metas[1]?.readUInt32LE(headerBytes) !== magic) return 'the second page is not that of LMDB'
    metas.sort((a, b) => Number(b.readBigUInt64LE(txnAt) - a.readBigUInt64LE(txnAt)))
    const newest = metas[0] ?? head
    const walk = new Walk(file, pageSize, Math.min(size, Number.MAX_SAFE_INTEGER))
    return walk.start(newest)
  } finally {
    closeSync(file)
  }
}

class Walk {
  private readonly file: number
  private readonly pageSize: number
  private readonly pages: number
  private readonly seen: Set<number>

  constructor(file: number, pageSize: number, size: number) {
    this.file = file
    this.pageSize = pageSize
    this.pages = Math.floor(size / pageSize)
    this.seen = new Set([0, 1])
  }

  start(meta: Buffer): string | undefined {
    const lastPage = meta.readBigUInt64LE(lastPageAt)
    for (const at of [treeAt.free, treeAt.main]) {
      const problem = this.tree(meta.subarray(at, at + 48), lastPage)
      if (problem !== undefined) return problem
    }
    return undefined
  }

  private tree(tree: Buffer, lastPage: bigint): string | undefined {
    const depth = tree.readUInt16LE(6)
    const root = tree.readBigUInt64LE(40)
    if (root === noPage) return undefined
    if (depth > depthMax) return `a tree of pages is ${depth} deep`
    if (root > lastPage) return `page ${root} is past the last one, ${lastPage}`
    return this.page(root, depth, lastPage)
  }

  /** `depth`: levels from this page down to the leaves, 1 for a leaf. */
  private page(number: bigint, depth: number, lastPage: bigint): string | undefined {
    const at = Number(number)
    if (at >= this.pages) return `page ${at} is past the end of the file`
    if (this.seen.has(at)) return `page ${at} is used twice`
    this.seen.add(at)
    const page = read(this.file, at * this.pageSize, this.pageSize)
    if (page.readBigUInt64LE(0) !== number) return `page ${at} has another page's number`
    const flags = page.readUInt16LE(18) & 0xf
    if (flags !== (depth > 1 ? Flag.branch : Flag.leaf)) return `page ${at} is of another kind`
    const lower = page.readUInt16LE(20)
    const upper = page.readUInt16LE(22)
    const room = this.pageSize - headerBytes
    if (lower > upper || upper > room || lower % 2 !== 0) return `page ${at} has a damaged header`
    for (let i = 0; i < lower; i += 2) {
      const node = page.readUInt16LE(headerBytes + i)
      if (node < upper || node + nodeBytes > room) return `page ${at} has a damaged index`
      const problem = this.node(page.subarray(headerBytes + node), at, depth, lastPage)
      if (problem !== undefined) return problem
    }
    return undefined
  }

  private node(node: Buffer, at: number, depth: number, lastPage: bigint): string | undefined {
    const keySize = node.readUInt16LE(6)
    const flags = node.readUInt16LE(4)
    if (nodeBytes + keySize > node.length) return `page ${at} has a key that is too long`
    if (depth > 1) {
      const child = (BigInt(flags) << 32n) | BigInt(node.readUInt32LE(0))
      if (child > lastPage) return `page ${at} leads past the last one, ${lastPage}`
      return this.page(child, depth - 1, lastPage)
    }
    const size = node.readUInt32LE(0)
    const data = node.subarray(nodeBytes + keySize)
    if ((flags & NodeFlag.bigData) !== 0) {
      return data.length < 24 ? `page ${at} has a cut row` : this.overflow(data, at, size)
    }
    if (size > data.length) return `page ${at} has a row that is too long`
    if ((flags & NodeFlag.subTree) === 0) return undefined
    return size < 48 ? `page ${at} has a cut tree` : this.tree(data, lastPage)
  }

  /** A row on pages of its own. */
  private overflow(node: Buffer, from: number, size: number): string | undefined {
    const first = Number(node.readBigUInt64LE(0))
    const count = Number(node.readBigUInt64LE(16))
    if (first + count > this.pages) return `page ${from} leads past the end of the file`
    if (count * this.pageSize < headerBytes + size) return `page ${from} has a row that is too long`
    for (let i = first; i < first + count; i++) {
      if (this.seen.has(i)) return `page ${i} is used twice`
      this.seen.add(i)
    }
    const header = read(this.file, first * this.pageSize, headerBytes)
    if (header.readBigUInt64LE(0) !== BigInt(first))
      return `page ${first} has another page's number`
    return (header.readUInt16LE(18) & Flag.overflow) !== 0
      ? undefined
      : `page ${first} is of another kind`
  }
}

function read(file: number, at: number, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  readSync(file, bytes, 0, size, at)
  return bytes
}
