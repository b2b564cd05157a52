// Topic filters and who holds them, as a trie of levels. Matching is for topics that were not seen
// lately: what it finds is remembered by its callers.

interface Node<T> {
  /** Literal levels. */
  readonly children: Map<string, Node<T>>
  plus: Node<T> | undefined
  /** Holders of the filter that ends here, and of the one that goes on with `#`. */
  here: T[]
  below: T[]
}

export class FilterTrie<T> {
  private readonly root: Node<T>

  constructor() {
    this.root = newNode()
  }

  add(filter: string, holder: T): void {
    const levels = filter.split('/')
    const open = levels.at(-1) === '#'
    if (open) levels.pop()
    let node = this.root
    for (const level of levels) node = childFor(node, level)
    if (open) node.below = [...node.below, holder]
    else node.here = [...node.here, holder]
  }

  /** Takes back one `add`. */
  remove(filter: string, holder: T): void {
    const levels = filter.split('/')
    const open = levels.at(-1) === '#'
    if (open) levels.pop()
    removeBelow(this.root, levels, 0, open, holder)
  }

  /** Appends the holders of all filters that match `topic`; one of several filters comes as often. */
  match(topic: string, out: T[]): void {
    const levels = topic.split('/')
    // A wildcard in front does not match what begins with `$` [MQTT-4.7.2-1].
    if (topic.startsWith('$')) {
      const child = this.root.children.get(levels[0] as string)
      if (child !== undefined) collect(child, levels, 1, out)
      return
    }
    collect(this.root, levels, 0, out)
  }

  isEmpty(): boolean {
    return isBare(this.root)
  }
}

function newNode<T>(): Node<T> {
  return { children: new Map(), plus: undefined, here: [], below: [] }
}

function childFor<T>(node: Node<T>, level: string): Node<T> {
  if (level === '+') {
    node.plus ??= newNode()
    return node.plus
  }
  let child = node.children.get(level)
  if (child === undefined) {
    child = newNode()
    node.children.set(level, child)
  }
  return child
}

function collect<T>(node: Node<T>, levels: readonly string[], at: number, out: T[]): void {
  // `a/#` matches `a` too.
  for (const holder of node.below) out.push(holder)
  if (at === levels.length) {
    for (const holder of node.here) out.push(holder)
    return
  }
  const child = node.children.get(levels[at] as string)
  if (child !== undefined) collect(child, levels, at + 1, out)
  if (node.plus !== undefined) collect(node.plus, levels, at + 1, out)
}

function removeBelow<T>(
  node: Node<T>,
  levels: readonly string[],
  at: number,
  open: boolean,
  holder: T,
): void {
  const level = levels[at]
  if (level === undefined) {
    if (open) node.below = without(node.below, holder)
    else node.here = without(node.here, holder)
    return
  }
  const child = level === '+' ? node.plus : node.children.get(level)
  if (child === undefined) return
  removeBelow(child, levels, at + 1, open, holder)
  if (!isBare(child)) return
  if (level === '+') node.plus = undefined
  else node.children.delete(level)
}

function without<T>(holders: readonly T[], holder: T): T[] {
  const at = holders.indexOf(holder)
  return at < 0 ? [...holders] : [...holders.slice(0, at), ...holders.slice(at + 1)]
}

function isBare(node: Node<unknown>): boolean {
  return (
    node.children.size === 0 &&
    node.plus === undefined &&
    node.here.length === 0 &&
    node.below.length === 0
  )
}
