// Settlements that found their ring full. The session stops reading until they are gone, so that
// there are never more than one frame (or one transaction) can bring.

import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'

export class SettleBacklog {
  private readonly port: GatewayPort
  // Five numbers each: shard, channel, delivery id, outcome, 1 for "up to".
  private waiting: number[]
  private at: number

  constructor(port: GatewayPort) {
    this.port = port
    this.waiting = []
    this.at = 0
  }

  // HOT: once per acknowledgement
  /** Settles at once, or as soon as there is room. False in the second case. */
  settle(
    shard: number,
    channel: number,
    deliveryId: number,
    outcome: number,
    upTo: boolean,
  ): boolean {
    if (
      this.waiting.length === 0 &&
      this.port.link(shard).settle(channel, deliveryId, outcome, upTo)
    ) {
      return true
    }
    this.waiting.push(shard, channel, deliveryId, outcome, upTo ? 1 : 0)
    return false
  }

  /** Forgets what waits for a channel that is closed: its deliveries go back anyway. */
  drop(channel: number): void {
    const kept: number[] = []
    for (let i = this.at; i < this.waiting.length; i += 5) {
      if (this.waiting[i + 1] !== channel) kept.push(...this.waiting.slice(i, i + 5))
    }
    this.waiting = kept
    this.at = 0
  }

  /** Sends what waits. True when nothing is left. */
  flush(): boolean {
    const items = this.waiting
    while (this.at < items.length) {
      const i = this.at
      const link = this.port.link(items[i] as number)
      const channel = items[i + 1] as number
      const id = items[i + 2] as number
      if (!link.settle(channel, id, items[i + 3] as number, items[i + 4] === 1)) return false
      this.at += 5
    }
    if (items.length > 0) {
      this.waiting = []
      this.at = 0
    }
    return true
  }
}
