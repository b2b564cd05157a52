// Message bytes lie in slabs of one large shared buffer. The buffer is reserved, not committed:
// the operating system backs a page only when it is first touched.

import type { ByteView } from '../bytes/view.ts'
import { viewOf } from '../bytes/view.ts'

export const slabBytes: number = 2 * 1024 * 1024

/**
 * Slabs that gateways leave to shards, so that what was taken from publishers can still be moved
 * between shards and compacted when memory is full.
 */
export const spareSlabs = 16

/** What is handed to a thread so that it sees the same arena. */
export interface ArenaMemory {
  readonly slabBytes: number
  readonly data: SharedArrayBuffer
  readonly owners: SharedArrayBuffer
}

/**
 * Reserves an arena of at least `bytes`, rounded up to whole slabs. Throws RangeError when refused.
 * A slab of another size is for tests, which want to fill an arena quickly.
 */
export function createArena(bytes: number, slabSize: number = slabBytes): ArenaMemory {
  const slabs = Math.max(spareSlabs * 2, Math.ceil(bytes / slabSize))
  return {
    slabBytes: slabSize,
    data: new SharedArrayBuffer(slabs * slabSize),
    owners: new SharedArrayBuffer((slabs + 2) * 4),
  }
}

/** One thread's view of the arena. */
export class Arena {
  readonly slabCount: number
  readonly slabBytes: number
  private readonly data: SharedArrayBuffer
  // Per slab: 0 free, else the tag of the link that writes it. Behind them: the number of slabs in
  // use, and 1 while somebody waits for a slab.
  private readonly owners: Int32Array
  private readonly slabs: (Buffer | undefined)[]
  private readonly views: (ByteView | undefined)[]

  constructor(memory: ArenaMemory) {
    this.slabBytes = memory.slabBytes
    this.data = memory.data
    this.owners = new Int32Array(memory.owners)
    this.slabCount = this.owners.length - 2
    this.slabs = new Array<Buffer | undefined>(this.slabCount).fill(undefined)
    this.views = new Array<ByteView | undefined>(this.slabCount).fill(undefined)
  }

  // HOT: once per delivery and publish
  /** The bytes of one slab. */
  slab(index: number): Buffer {
    return this.slabs[index] ?? this.open(index)
  }

  // HOT: once per delivery and publish
  /** As `slab`, as the view of those bytes. */
  slabView(index: number): ByteView {
    return this.views[index] ?? this.openView(index)
  }

  /**
   * Takes a free slab for `owner` (> 0), lowest first so that warm memory is used again. -1 when only
   * `spare` slabs are left; then `takeWaiting` tells the next one who frees a slab.
   */
  acquire(owner: number, spare: number): number {
    if (this.used() >= this.slabCount - spare) {
      Atomics.store(this.owners, this.slabCount + 1, 1)
      return -1
    }
    for (let i = 0; i < this.slabCount; i++) {
      if (Atomics.load(this.owners, i) !== 0) continue
      if (Atomics.compareExchange(this.owners, i, 0, owner) === 0) {
        Atomics.add(this.owners, this.slabCount, 1)
        return i
      }
    }
    Atomics.store(this.owners, this.slabCount + 1, 1)
    return -1
  }

  /** True once after an `acquire` failed: whoever has freed a slab then wakes those who wait. */
  takeWaiting(): boolean {
    const at = this.slabCount + 1
    return Atomics.load(this.owners, at) === 1 && Atomics.exchange(this.owners, at, 0) === 1
  }

  /** Gives a slab back. */
  free(index: number): void {
    Atomics.store(this.owners, index, 0)
    Atomics.sub(this.owners, this.slabCount, 1)
  }

  /** The tag of the link that took the slab, 0 when free. */
  owner(index: number): number {
    return Atomics.load(this.owners, index)
  }

  /** Slabs in use. */
  used(): number {
    return Atomics.load(this.owners, this.slabCount)
  }

  private open(index: number): Buffer {
    const made = Buffer.from(this.data, index * this.slabBytes, this.slabBytes)
    this.slabs[index] = made
    return made
  }

  private openView(index: number): ByteView {
    const made = viewOf(this.slab(index))
    this.views[index] = made
    return made
  }
}
