// Addresses that send malformed packets or guess passwords are refused for a while.

import type { MqttSettings } from '../mapping/settings.ts'

interface Faults {
  count: number
  /** Until then they count, or (once there are too many) the address is refused. */
  until: number
}

/** Addresses that are remembered: more would let many addresses fill the memory. */
const addressesMax = 100_000

export class BanList {
  private readonly after: number
  private readonly forMs: number
  private readonly byAddress: Map<string, Faults>

  constructor(settings: MqttSettings) {
    this.after = settings.banAfter
    this.forMs = settings.banMs
    this.byAddress = new Map()
  }

  isBanned(address: string, now: number): boolean {
    if (this.after === 0) return false
    const faults = this.byAddress.get(address)
    if (faults === undefined) return false
    if (faults.until <= now) {
      this.byAddress.delete(address)
      return false
    }
    return faults.count >= this.after
  }

  /** Notes a fault; true if that is the one too many. */
  onFault(address: string, now: number): boolean {
    if (this.after === 0) return false
    const known = this.byAddress.get(address)
    const count = known === undefined || known.until <= now ? 1 : known.count + 1
    if (known === undefined && this.byAddress.size >= addressesMax) this.byAddress.clear()
    this.byAddress.set(address, { count, until: now + this.forMs })
    return count === this.after
  }
}
