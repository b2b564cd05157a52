// The distinct targets of one key. Bindings that differ only in their arguments share a target, so
// each counts how many bindings hold it.

import type { RouteTarget, TargetSink } from '../topology/records.ts'

// Up to here a scan of the array beats a hash look-up.
const SCAN_MAX = 16

export class TargetSet {
  /** The targets, each once, in no order that means anything. */
  readonly items: RouteTarget[] = []
  readonly #counts: number[] = []
  #places: Map<RouteTarget, number> | undefined = undefined

  add(target: RouteTarget): void {
    const at = this.#placeOf(target)
    if (at >= 0) {
      this.#counts[at] = (this.#counts[at] as number) + 1
      return
    }
    this.items.push(target)
    this.#counts.push(1)
    if (this.#places !== undefined) this.#places.set(target, this.items.length - 1)
    else if (this.items.length > SCAN_MAX) this.#index()
  }

  remove(target: RouteTarget): void {
    const at = this.#placeOf(target)
    if (at < 0) return
    const left = (this.#counts[at] as number) - 1
    this.#counts[at] = left
    if (left > 0) return
    const last = this.items.pop() as RouteTarget
    const lastCount = this.#counts.pop() as number
    this.#places?.delete(target)
    if (last === target) return
    this.items[at] = last
    this.#counts[at] = lastCount
    this.#places?.set(last, at)
  }

  /** Appends all targets to `out`. */
  collect(out: TargetSink): void {
    const items = this.items
    for (let i = 0; i < items.length; i++) out.push(items[i] as RouteTarget)
  }

  #placeOf(target: RouteTarget): number {
    if (this.#places !== undefined) return this.#places.get(target) ?? -1
    return this.items.indexOf(target)
  }

  #index(): void {
    this.#places = new Map()
    for (let i = 0; i < this.items.length; i++) this.#places.set(this.items[i] as RouteTarget, i)
  }
}
