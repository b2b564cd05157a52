// Targets as they are found. An array that is emptied by its `length` gives its memory back and has
// to grow anew for every message; this one keeps it.

import type { RouteTarget } from '../topology/records.ts'

export class TargetList {
  /** Valid up to `count`; what lies behind is left over. */
  readonly items: RouteTarget[] = []
  count = 0

  push(target: RouteTarget): void {
    this.items[this.count++] = target
  }

  /** Empties the list, keeping its memory. */
  clear(): void {
    this.count = 0
  }
}
