// Topic bindings as a trie of words. A binding key `a.*.#` is a path of three edges; `*` stands for
// one word, `#` for any number. MQTT's topic filters are the same in another notation.
//
// What a match costs with many bindings is cache misses, so a step of it should touch two lines: the
// edge, which holds its word's bytes itself, and the node. Nodes are numbers; the edges of all nodes
// lie in one hash table keyed by (node, word). See topic-edges.ts for the words.

import type { RouteTarget, TargetSink } from '../topology/records.ts'
import { TargetSet } from './target-set.ts'
import { EdgeTable, NO_CHILD, TopicKey } from './topic-edges.ts'

const ROOT = 0
const DOT = 0x2e
const DOLLAR = 0x24

/** How keys are written: what parts words, and what stands for one word, or for any number. */
export interface TopicSyntax {
  readonly separator: string
  readonly one: string
  readonly any: string
  /** A wildcard in front matches no key that begins with `$` [MQTT-4.7.2-1]. */
  readonly hidesDollar: boolean
}

/** Of binding keys. */
export const amqpTopics: TopicSyntax = { separator: '.', one: '*', any: '#', hidesDollar: false }
/** Of MQTT topic filters. */
export const mqttTopics: TopicSyntax = { separator: '/', one: '+', any: '#', hidesDollar: true }

// A node is a row of four words.
const ROW = 4
const STAR_CHILD = 0
const HASH_CHILD = 1
const CHILD_COUNT = 2
/** The match that has collected this node's targets last. */
const SEEN = 3

/** How many words of `key` are `#`. */
export function countHashWords(key: string): number {
  let count = 0
  for (const word of key.split(amqpTopics.separator)) if (word === amqpTopics.any) count++
  return count
}

export class TopicTrie {
  readonly #syntax: TopicSyntax
  readonly #edges = new EdgeTable()
  #rows: Int32Array = new Int32Array(16 * ROW)
  // A node's targets: the only one, or else the set. Most nodes have one.
  readonly #single: (RouteTarget | undefined)[] = [undefined]
  readonly #many: (TargetSet | undefined)[] = [undefined]
  #nodeBound = 1
  readonly #freeNodes: number[] = []
  // The routing key being matched, and where its targets go.
  readonly #key = new TopicKey()
  #stamp = 0
  #out: TargetSink | undefined = undefined

  constructor(syntax: TopicSyntax = amqpTopics) {
    this.#syntax = syntax
  }

  /** How many nodes are in use, the root included. */
  get nodeCount(): number {
    return this.#nodeBound - this.#freeNodes.length
  }

  add(bindingKey: string, target: RouteTarget): void {
    let node = ROOT
    for (const word of bindingKey.split(this.#syntax.separator)) node = this.#childFor(node, word)
    const many = this.#many[node]
    if (many !== undefined) {
      many.add(target)
      return
    }
    const single = this.#single[node]
    if (single === undefined) {
      this.#single[node] = target
      return
    }
    const targets = new TargetSet()
    targets.add(single)
    targets.add(target)
    this.#single[node] = undefined
    this.#many[node] = targets
  }

  /** Takes back one `add` of the same key and target. */
  remove(bindingKey: string, target: RouteTarget): void {
    this.#removeFrom(ROOT, bindingKey.split(this.#syntax.separator), 0, target)
  }

  /**
   * Appends the targets of all keys that match the routing key `bytes[start, end)`, whose words the
   * byte `separator` parts.
   */
  // HOT: no allocation but the growth of `out` (bench/micro/topic-trie.ts).
  match(
    bytes: Uint8Array,
    start: number,
    end: number,
    out: TargetSink,
    separator: number = DOT,
  ): void {
    this.#key.read(bytes, start, end, separator, this.#edges)
    this.#stamp = (this.#stamp + 1) | 0
    this.#out = out
    if (this.#syntax.hidesDollar && end > start && bytes[start] === DOLLAR) this.#walkPlain()
    else this.#walk(ROOT, 0)
  }

  /** The first word by its name alone. */
  #walkPlain(): void {
    const child = this.#edges.find(ROOT, this.#key, 0)
    if (child !== NO_CHILD) this.#walk(child, 1)
  }

  #walk(node: number, at: number): void {
    const hash = this.#rows[node * ROW + HASH_CHILD] as number
    if (hash !== NO_CHILD) this.#walkHash(hash, at)
    if (at === this.#key.length) {
      this.#collect(node)
      return
    }
    const star = this.#rows[node * ROW + STAR_CHILD] as number
    if (star !== NO_CHILD) this.#walk(star, at + 1)
    const child = this.#edges.find(node, this.#key, at)
    if (child !== NO_CHILD) this.#walk(child, at + 1)
  }

  /** `node` is below a `#`: that takes any number of the words from `at` on. */
  #walkHash(node: number, at: number): void {
    if (this.#rows[node * ROW + CHILD_COUNT] === 0) {
      this.#collect(node)
      return
    }
    for (let i = at; i <= this.#key.length; i++) this.#walk(node, i)
  }

  #collect(node: number): void {
    // Several ways through `#` lead to one node; its targets are wanted once.
    const seen = node * ROW + SEEN
    if (this.#rows[seen] === this.#stamp) return
    this.#rows[seen] = this.#stamp
    const out = this.#out as TargetSink
    const single = this.#single[node]
    if (single !== undefined) out.push(single)
    else this.#many[node]?.collect(out)
  }

  #childFor(node: number, word: string): number {
    if (word === this.#syntax.one) return this.#wildcardFor(node, STAR_CHILD)
    if (word === this.#syntax.any) return this.#wildcardFor(node, HASH_CHILD)
    const found = this.#edges.findWord(node, word)
    if (found !== NO_CHILD) return found
    const child = this.#newNode(node)
    this.#edges.add(node, word, child)
    return child
  }

  #wildcardFor(node: number, column: number): number {
    const found = this.#rows[node * ROW + column] as number
    if (found !== NO_CHILD) return found
    // `#newNode` may replace the rows, so they are fetched after it.
    const child = this.#newNode(node)
    this.#rows[node * ROW + column] = child
    return child
  }

  #newNode(parent: number): number {
    const node = this.#freeNodes.pop() ?? this.#nodeBound++
    if (node * ROW >= this.#rows.length) {
      const rows = new Int32Array(2 * this.#rows.length)
      rows.set(this.#rows)
      this.#rows = rows
    }
    this.#single[node] = undefined
    this.#many[node] = undefined
    this.#countChild(parent, 1)
    return node
  }

  #countChild(node: number, change: number): void {
    const at = node * ROW + CHILD_COUNT
    this.#rows[at] = (this.#rows[at] as number) + change
  }

  /** Removes below `node` the words from `at` on; prunes what has become empty. */
  #removeFrom(node: number, words: readonly string[], at: number, target: RouteTarget): void {
    const word = words[at]
    if (word === undefined) {
      this.#removeTarget(node, target)
      return
    }
    const { one, any } = this.#syntax
    const column = word === one ? STAR_CHILD : HASH_CHILD
    const wild = word === one || word === any
    const child = wild
      ? (this.#rows[node * ROW + column] as number)
      : this.#edges.findWord(node, word)
    if (child === NO_CHILD) return
    this.#removeFrom(child, words, at + 1, target)
    if (!this.#isEmpty(child)) return
    if (wild) this.#rows[node * ROW + column] = NO_CHILD
    else this.#edges.delete(node, word)
    this.#countChild(node, -1)
    this.#freeNodes.push(child)
  }

  #removeTarget(node: number, target: RouteTarget): void {
    if (this.#single[node] === target) this.#single[node] = undefined
    const many = this.#many[node]
    if (many === undefined) return
    many.remove(target)
    if (many.items.length === 0) this.#many[node] = undefined
  }

  #isEmpty(node: number): boolean {
    if (this.#rows[node * ROW + CHILD_COUNT] !== 0) return false
    return this.#single[node] === undefined && this.#many[node] === undefined
  }
}
