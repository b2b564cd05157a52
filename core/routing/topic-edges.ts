// Words of topic keys, and the edges that they label.
//
// A word of up to 16 bytes is five integers: its length and its bytes. Comparing those is exact, and
// an edge that holds them needs no look-up of the word elsewhere. A longer word is the length -1 and
// the number that the ByteIndex of long words gives it; one that has no number labels no edge.
//
//   word   [length, bytes 0-3, bytes 4-7, bytes 8-11, bytes 12-15]
//   slot   [node, child, word (5), unused]     32 bytes: never across a cache line; child 0: empty

import { ByteIndex } from './byte-index.ts'

/** No node: the root is nobody's child. */
export const NO_CHILD = 0

const INLINE_BYTES_MAX = 16
const LONG = -1
const UNKNOWN = -2

// [hash, word (5), unused (2)] per word of a key.
const STRIDE = 8
const SLOT = 8
const WORD_INTS = 5

const encoder = new TextEncoder()

/** A routing key, cut into words. Reused: reads one key after another. */
export class TopicKey {
  /** How many words. */
  length = 0
  /** `STRIDE` integers per word, its hash first. */
  words: Int32Array = new Int32Array(16 * STRIDE)

  /** Reads the key `bytes[start, end)`, whose words the byte `separator` parts. */
  // HOT: per message; allocates only for a key with more words than any before.
  read(bytes: Uint8Array, start: number, end: number, separator: number, edges: EdgeTable): void {
    this.length = 0
    let from = start
    for (let i = start; i < end; i++) {
      if (bytes[i] !== separator) continue
      this.#readWord(bytes, from, i, edges)
      from = i + 1
    }
    this.#readWord(bytes, from, end, edges)
  }

  /** Reads one word, dots and all. */
  readOne(bytes: Uint8Array, edges: EdgeTable): void {
    this.length = 0
    this.#readWord(bytes, 0, bytes.length, edges)
  }

  #readWord(bytes: Uint8Array, start: number, end: number, edges: EdgeTable): void {
    const at = this.length * STRIDE
    if (at === this.words.length) this.#grow()
    this.length++
    if (end - start > INLINE_BYTES_MAX) {
      const number = edges.longWords.find(bytes, start, end)
      this.#set(at, number < 0 ? UNKNOWN : LONG, number, 0, 0, 0)
      return
    }
    const w0 = fourBytes(bytes, start, end)
    const w1 = fourBytes(bytes, start + 4, end)
    const w2 = fourBytes(bytes, start + 8, end)
    const w3 = fourBytes(bytes, start + 12, end)
    this.#set(at, end - start, w0, w1, w2, w3)
  }

  #set(at: number, length: number, w0: number, w1: number, w2: number, w3: number): void {
    const words = this.words
    words[at] = wordHash(length, w0, w1, w2, w3)
    words[at + 1] = length
    words[at + 2] = w0
    words[at + 3] = w1
    words[at + 4] = w2
    words[at + 5] = w3
  }

  #grow(): void {
    const words = new Int32Array(2 * this.words.length)
    words.set(this.words)
    this.words = words
  }
}

/** (node, word) -> child. Open addressing, linear probing, deletion by shifting back. */
export class EdgeTable {
  /** The numbers of words that do not fit into an edge. */
  readonly longWords: ByteIndex = new ByteIndex()
  #longWordUses: number[] = []
  #size = 0
  #mask = 15
  #slots: Int32Array = new Int32Array(16 * SLOT)
  readonly #scratch = new TopicKey()

  /** The child of `node` by word `index` of `key`, or NO_CHILD. */
  // HOT: once per node that a match visits.
  find(node: number, key: TopicKey, index: number): number {
    const words = key.words
    const slots = this.#slots
    const mask = this.#mask
    const word = index * STRIDE
    const w0 = words[word + 2] as number
    let slot = edgeHash(node, words[word] as number) & mask
    for (;;) {
      const at = slot * SLOT
      const child = slots[at + 1] as number
      if (child === NO_CHILD) return NO_CHILD
      if (
        slots[at] === node &&
        slots[at + 3] === w0 &&
        slots[at + 2] === words[word + 1] &&
        slots[at + 4] === words[word + 3] &&
        slots[at + 5] === words[word + 4] &&
        slots[at + 6] === words[word + 5]
      ) {
        return child
      }
      slot = (slot + 1) & mask
    }
  }

  /** The child of `node` by a word of a binding key, or NO_CHILD. */
  findWord(node: number, word: string): number {
    this.#scratch.readOne(encoder.encode(word), this)
    return this.find(node, this.#scratch, 0)
  }

  /** Adds an edge that is not there yet. */
  add(node: number, word: string, child: number): void {
    const bytes = encoder.encode(word)
    if (bytes.length > INLINE_BYTES_MAX) {
      const number = this.longWords.intern(bytes, 0, bytes.length)
      this.#longWordUses[number] = (this.#longWordUses[number] ?? 0) + 1
    }
    this.#scratch.readOne(bytes, this)
    if (3 * (this.#size + 1) > 2 * this.#mask) this.#grow()
    this.#insert(node, child, this.#scratch.words, 1, this.#scratch.words[0] as number)
    this.#size++
  }

  /** Removes an edge that is there. */
  delete(node: number, word: string): void {
    this.#scratch.readOne(encoder.encode(word), this)
    const words = this.#scratch.words
    const child = this.find(node, this.#scratch, 0)
    let slot = edgeHash(node, words[0] as number) & this.#mask
    // A node is the child of one edge only.
    while (this.#slots[slot * SLOT + 1] !== child) slot = (slot + 1) & this.#mask
    this.#shiftBack(slot)
    this.#size--
    if (words[1] === LONG) this.#releaseLongWord(words[2] as number)
  }

  #releaseLongWord(number: number): void {
    const uses = (this.#longWordUses[number] as number) - 1
    this.#longWordUses[number] = uses
    if (uses === 0) this.longWords.release(number)
  }

  #insert(node: number, child: number, word: Int32Array, wordAt: number, hash: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let slot = edgeHash(node, hash) & mask
    while (slots[slot * SLOT + 1] !== NO_CHILD) slot = (slot + 1) & mask
    const at = slot * SLOT
    slots[at] = node
    slots[at + 1] = child
    for (let i = 0; i < WORD_INTS; i++) slots[at + 2 + i] = word[wordAt + i] as number
  }

  /** Empties slot `hole`, moving up the edges that had probed past it. */
  #shiftBack(hole: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let empty = hole
    let slot = (hole + 1) & mask
    while (slots[slot * SLOT + 1] !== NO_CHILD) {
      const home = edgeHash(slots[slot * SLOT] as number, slotHash(slots, slot)) & mask
      if (((slot - home) & mask) >= ((slot - empty) & mask)) {
        slots.copyWithin(empty * SLOT, slot * SLOT, slot * SLOT + SLOT)
        empty = slot
      }
      slot = (slot + 1) & mask
    }
    slots.fill(0, empty * SLOT, empty * SLOT + SLOT)
  }

  #grow(): void {
    const old = this.#slots
    this.#mask = 2 * this.#mask + 1
    this.#slots = new Int32Array(SLOT * (this.#mask + 1))
    for (let slot = 0; slot * SLOT < old.length; slot++) {
      const at = slot * SLOT
      const child = old[at + 1] as number
      if (child !== NO_CHILD)
        this.#insert(old[at] as number, child, old, at + 2, slotHash(old, slot))
    }
  }
}

function slotHash(slots: Int32Array, slot: number): number {
  const at = slot * SLOT
  return wordHash(
    slots[at + 2] as number,
    slots[at + 3] as number,
    slots[at + 4] as number,
    slots[at + 5] as number,
    slots[at + 6] as number,
  )
}

/** Up to four bytes as one integer, zeros where the word has ended. */
function fourBytes(bytes: Uint8Array, start: number, end: number): number {
  if (start + 4 <= end) {
    return (
      (bytes[start] as number) |
      ((bytes[start + 1] as number) << 8) |
      ((bytes[start + 2] as number) << 16) |
      ((bytes[start + 3] as number) << 24)
    )
  }
  let value = 0
  for (let i = start; i < end; i++) value |= (bytes[i] as number) << (8 * (i - start))
  return value
}

function wordHash(length: number, w0: number, w1: number, w2: number, w3: number): number {
  let h = Math.imul(w0 ^ length, 0x9e3779b1)
  h = Math.imul(h ^ (h >>> 15) ^ w1, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13) ^ w2, 0xc2b2ae35)
  h = Math.imul(h ^ (h >>> 15) ^ w3, 0x2c1b3c6d)
  return h ^ (h >>> 14)
}

function edgeHash(node: number, hash: number): number {
  const h = Math.imul(hash ^ Math.imul(node, 0x9e3779b1), 0x2c1b3c6d)
  return h ^ (h >>> 15)
}
