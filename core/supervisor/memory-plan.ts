// How much memory the node may use, and how large an arena to reserve for it.

import { totalmem } from 'node:os'
import type { ArenaMemory } from '../../shared/bus/arena.ts'
import { createArena } from '../../shared/bus/arena.ts'
import type { Config } from '../../shared/config/schema.ts'

/** Bytes this process can have: the machine's, or the container's where that is less. */
export function availableBytes(): number {
  const machine = totalmem()
  // Without a limit, Node reports 0 or something near 2^64.
  const limit = process.constrainedMemory()
  return limit > 0 && limit < machine ? limit : machine
}

/** Bytes above which publishers are blocked. */
export function highWatermarkBytes(config: Config, available: number): number {
  const absolute = config['vm_memory_high_watermark.absolute']
  return absolute > 0
    ? absolute
    : Math.floor(config['vm_memory_high_watermark.relative'] * available)
}

/** What publishers may still send between the alarm and their block: twice what loopback carries in 250 ms. */
const overshootBytes = 512 * 1024 * 1024

/** The arena's size: the alarm must come before the arena is full, so it is larger than the watermark. */
export function arenaBytes(watermark: number, available: number): number {
  return Math.max(overshootBytes, Math.min(watermark + overshootBytes, Math.floor(available * 0.9)))
}

/** Reserves the arena; where `create` is refused so much address space, half of it, and so on. */
export function reserveArena(
  bytes: number,
  create: (size: number) => ArenaMemory = createArena,
): ArenaMemory {
  for (let size = bytes; ; size = Math.floor(size / 2)) {
    try {
      return create(size)
    } catch (error) {
      if (!(error instanceof RangeError) || size < overshootBytes / 8) throw error
    }
  }
}
