// Topic bindings as a trie of words. A binding key `a.*.#` is a path of three edges; `*` stands for
// one word, `#` for any number.
//
// Nodes are numbers, their fields columns. Word edges of all nodes lie in one hash table keyed by
// (node, word number), so 100 000 bindings cost a few arrays and no map per node. A routing key is
// cut into word numbers first; a word that no binding names gets -1 and can only meet `*` and `#`.

import type { RouteTarget } from '../topology/records.ts'
import { ByteIndex } from './byte-index.ts'
import { TargetSet } from './target-set.ts'

const DOT = 0x2e
const ROOT = 0
const NONE = 0 // no child: the root is nobody's child
// A shortstr has up to 255 bytes, so a key up to 256 words, all of them empty.
const WORDS_INITIAL = 256

const encoder = new TextEncoder()

/** How many words of `key` are `#`. */
export function countHashWords(key: string): number {
  let count = 0
  for (const word of key.split('.')) if (word === '#') count++
  return count
}

export class TopicTrie {
  readonly #words = new ByteIndex()
  #wordUses: Int32Array = new Int32Array(16)
  readonly #edges = new EdgeTable()
  // Columns by node.
  #star: Int32Array = new Int32Array(16)
  #hash: Int32Array = new Int32Array(16)
  #childCount: Int32Array = new Int32Array(16)
  #seen: Int32Array = new Int32Array(16)
  readonly #targets: (TargetSet | undefined)[] = [undefined]
  #nodeBound = 1
  readonly #freeNodes: number[] = []
  // The routing key being matched.
  #key: Int32Array = new Int32Array(WORDS_INITIAL)
  #keyLength = 0
  #stamp = 0
  #out: RouteTarget[] = []

  /** How many nodes are in use, the root included. */
  get nodeCount(): number {
    return this.#nodeBound - this.#freeNodes.length
  }

  add(bindingKey: string, target: RouteTarget): void {
    const bytes = encoder.encode(bindingKey)
    let node = ROOT
    for (let start = 0; start <= bytes.length; ) {
      const end = wordEnd(bytes, start, bytes.length)
      node = this.#childFor(node, bytes, start, end)
      start = end + 1
    }
    let targets = this.#targets[node]
    if (targets === undefined) {
      targets = new TargetSet()
      this.#targets[node] = targets
    }
    targets.add(target)
  }

  /** Takes back one `add` of the same key and target. */
  remove(bindingKey: string, target: RouteTarget): void {
    const bytes = encoder.encode(bindingKey)
    this.#removeFrom(ROOT, bytes, 0, target)
  }

  /** Appends the targets of all keys that match the routing key `bytes[start, end)`. */
  // HOT: no allocation but the growth of `out` (bench/micro/topic-trie.ts).
  match(bytes: Uint8Array, start: number, end: number, out: RouteTarget[]): void {
    this.#cut(bytes, start, end)
    this.#stamp = (this.#stamp + 1) | 0
    this.#out = out
    this.#walk(ROOT, 0)
  }

  #cut(bytes: Uint8Array, start: number, end: number): void {
    // Dead-lettering may bring a key that is longer than a shortstr.
    if (end - start >= this.#key.length) this.#key = new Int32Array(end - start + 1)
    const key = this.#key
    let count = 0
    let from = start
    for (let i = start; i < end; i++) {
      if (bytes[i] !== DOT) continue
      key[count++] = this.#words.find(bytes, from, i)
      from = i + 1
    }
    key[count++] = this.#words.find(bytes, from, end)
    this.#keyLength = count
  }

  #walk(node: number, at: number): void {
    const hash = this.#hash[node] as number
    if (hash !== NONE) this.#walkHash(hash, at)
    if (at === this.#keyLength) {
      this.#collect(node)
      return
    }
    const star = this.#star[node] as number
    if (star !== NONE) this.#walk(star, at + 1)
    const word = this.#key[at] as number
    if (word < 0) return
    const child = this.#edges.get(node, word)
    if (child !== NONE) this.#walk(child, at + 1)
  }

  /** `node` is below a `#`: that takes any number of the words from `at` on. */
  #walkHash(node: number, at: number): void {
    if (this.#childCount[node] === 0) {
      this.#collect(node)
      return
    }
    for (let i = at; i <= this.#keyLength; i++) this.#walk(node, i)
  }

  #collect(node: number): void {
    const targets = this.#targets[node]
    // Several ways through `#` lead to one node; its targets are wanted once.
    if (targets === undefined || this.#seen[node] === this.#stamp) return
    this.#seen[node] = this.#stamp
    targets.collect(this.#out)
  }

  #childFor(node: number, bytes: Uint8Array, start: number, end: number): number {
    // `#newNode` may replace the columns, so each is fetched after it.
    if (isWord(bytes, start, end, STAR)) {
      const star = this.#star[node] as number
      if (star !== NONE) return star
      const child = this.#newNode(node)
      this.#star[node] = child
      return child
    }
    if (isWord(bytes, start, end, HASH)) {
      const hash = this.#hash[node] as number
      if (hash !== NONE) return hash
      const child = this.#newNode(node)
      this.#hash[node] = child
      return child
    }
    const word = this.#words.intern(bytes, start, end)
    const found = this.#edges.get(node, word)
    if (found !== NONE) return found
    if (word >= this.#wordUses.length) this.#wordUses = doubled(this.#wordUses)
    this.#wordUses[word] = (this.#wordUses[word] as number) + 1
    const child = this.#newNode(node)
    this.#edges.set(node, word, child)
    return child
  }

  #newNode(parent: number): number {
    const node = this.#freeNodes.pop() ?? this.#nodeBound++
    if (node >= this.#star.length) {
      this.#star = doubled(this.#star)
      this.#hash = doubled(this.#hash)
      this.#childCount = doubled(this.#childCount)
      this.#seen = doubled(this.#seen)
    }
    this.#targets[node] = undefined
    this.#childCount[parent] = (this.#childCount[parent] as number) + 1
    return node
  }

  /** Removes below `node` the key's words from `start` on; prunes what has become empty. */
  #removeFrom(node: number, bytes: Uint8Array, start: number, target: RouteTarget): void {
    if (start > bytes.length) {
      const targets = this.#targets[node]
      targets?.remove(target)
      if (targets !== undefined && targets.items.length === 0) this.#targets[node] = undefined
      return
    }
    const end = wordEnd(bytes, start, bytes.length)
    const star = isWord(bytes, start, end, STAR)
    const hash = !star && isWord(bytes, start, end, HASH)
    const word = star || hash ? -1 : this.#words.find(bytes, start, end)
    if (!star && !hash && word < 0) return
    const child = star ? this.#star[node] : hash ? this.#hash[node] : this.#edges.get(node, word)
    if (child === undefined || child === NONE) return
    this.#removeFrom(child, bytes, end + 1, target)
    if (this.#childCount[child] !== 0 || this.#targets[child] !== undefined) return
    if (star) this.#star[node] = NONE
    else if (hash) this.#hash[node] = NONE
    else this.#removeEdge(node, word)
    this.#childCount[node] = (this.#childCount[node] as number) - 1
    this.#freeNodes.push(child)
  }

  #removeEdge(node: number, word: number): void {
    this.#edges.delete(node, word)
    const uses = (this.#wordUses[word] as number) - 1
    this.#wordUses[word] = uses
    if (uses === 0) this.#words.release(word)
  }
}

/** (node, word) -> child. Open addressing, linear probing, deletion by shifting back. */
class EdgeTable {
  #size = 0
  #mask = 15
  // [node, word, child, unused] per slot: one slot never straddles a cache line; child 0: empty.
  #slots: Int32Array = new Int32Array(4 * 16)

  get(node: number, word: number): number {
    const slots = this.#slots
    const mask = this.#mask
    let at = edgeHash(node, word) & mask
    for (;;) {
      const child = slots[4 * at + 2] as number
      if (child === NONE || (slots[4 * at] === node && slots[4 * at + 1] === word)) return child
      at = (at + 1) & mask
    }
  }

  /** Adds an edge that is not there yet. */
  set(node: number, word: number, child: number): void {
    if (2 * (this.#size + 1) > this.#mask) this.#grow()
    this.#insert(node, word, child)
    this.#size++
  }

  /** Removes an edge that is there. */
  delete(node: number, word: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let at = edgeHash(node, word) & mask
    while (slots[4 * at] !== node || slots[4 * at + 1] !== word) at = (at + 1) & mask
    let empty = at
    at = (at + 1) & mask
    while (slots[4 * at + 2] !== NONE) {
      const home = edgeHash(slots[4 * at] as number, slots[4 * at + 1] as number) & mask
      if (((at - home) & mask) >= ((at - empty) & mask)) {
        slots.copyWithin(4 * empty, 4 * at, 4 * at + 3)
        empty = at
      }
      at = (at + 1) & mask
    }
    slots.fill(0, 4 * empty, 4 * empty + 3)
    this.#size--
  }

  #insert(node: number, word: number, child: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let at = edgeHash(node, word) & mask
    while (slots[4 * at + 2] !== NONE) at = (at + 1) & mask
    slots[4 * at] = node
    slots[4 * at + 1] = word
    slots[4 * at + 2] = child
  }

  #grow(): void {
    const old = this.#slots
    this.#mask = 2 * this.#mask + 1
    this.#slots = new Int32Array(4 * (this.#mask + 1))
    for (let i = 0; i < old.length; i += 4) {
      if (old[i + 2] === NONE) continue
      this.#insert(old[i] as number, old[i + 1] as number, old[i + 2] as number)
    }
  }
}

const STAR = 0x2a
const HASH = 0x23

function isWord(bytes: Uint8Array, start: number, end: number, sign: number): boolean {
  return end - start === 1 && bytes[start] === sign
}

function wordEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && bytes[at] !== DOT) at++
  return at
}

function edgeHash(node: number, word: number): number {
  const h = Math.imul(node, 0x9e3779b1) ^ Math.imul(word, 0x85ebca6b)
  const m = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d)
  return m ^ (m >>> 13)
}

function doubled(words: Int32Array): Int32Array {
  const more = new Int32Array(2 * words.length)
  more.set(words)
  return more
}
