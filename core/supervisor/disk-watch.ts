// Raises and clears the disk alarm that blocks publishers (connection.blocked).

import type { Config } from '../../shared/config/schema.ts'

/** What one look at the disk found. */
export interface DiskSample {
  /** Bytes that the node may still write; undefined where the system does not tell. */
  readonly freeBytes: number | undefined
  /** Threads whose writes the disk refuses. */
  readonly refused: number
}

/** Bytes that have to stay free, below which publishers are blocked. */
export function diskLimitBytes(config: Config, machineMemory: number): number {
  const relative = config['disk_free_limit.relative']
  return relative > 0 ? Math.floor(relative * machineMemory) : config['disk_free_limit.absolute']
}

export class DiskWatch {
  readonly limitBytes: number
  private raised: boolean

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
    this.raised = false
  }

  /** Returns true or false when the alarm is to be raised or cleared, undefined when it stays. */
  look({ freeBytes, refused }: DiskSample): boolean | undefined {
    const low = freeBytes !== undefined && freeBytes < this.limitBytes
    const over = low || refused > 0
    if (over === this.raised) return undefined
    // Not knowing is no reason to let publishers fill the disk.
    if (!over && freeBytes === undefined) return undefined
    this.raised = over
    return over
  }
}
