// Gives the shards back what their deliveries took from the connection's window.

import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { connectionWindow } from '../../../shared/bus/wire.ts'

/**
 * Bytes per shard that were written to the outbox and not yet given back. A shard stops to deliver
 * when its window is used up, so what a stuck socket can pile up here is bounded.
 */
export class Window {
  private readonly port: GatewayPort
  private readonly owed: Float64Array

  constructor(port: GatewayPort) {
    this.port = port
    this.owed = new Float64Array(port.shardCount)
  }

  // HOT: once per delivery
  /** Notes a delivery of `bytes` (wire.ts, deliveryCost) from `shard`. */
  owe(shard: number, bytes: number): void {
    this.owed[shard] = (this.owed[shard] as number) + bytes
  }

  /**
   * Returns what the socket has taken; called when everything written before has left. False when a
   * ring was full: the rest stays owed, to be tried again.
   */
  giveBack(connection: number): boolean {
    // Not opened yet, or closed: the window is gone with the connection.
    if (connection === 0) return true
    let all = true
    for (let shard = 0; shard < this.owed.length; shard++) {
      const bytes = this.owed[shard] as number
      if (bytes < returnedMin) continue
      // The record holds an Int32; 1 GiB at a time is more than any window.
      const now = Math.min(bytes, 0x4000_0000)
      if (this.port.link(shard).credit(connection, now)) this.owed[shard] = bytes - now
      else all = false
    }
    return all
  }
}

/** A sixteenth of the window: few credit records, and the shard never waits for what is held back. */
const returnedMin: number = connectionWindow / 16
