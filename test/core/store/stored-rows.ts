// Rows of the metadata in memory, in place of LMDB.

import { collectRows } from '../../../core/store/metadata-rows.ts'
import { NoMetadata } from '../../../core/store/metadata-store.ts'
import type { Restoration } from '../../../core/store/restoration.ts'
import { restore } from '../../../core/store/restoration.ts'
import { eachRow, RowBatch } from '../../../core/store/row-batch.ts'
import { Topology } from '../../../core/topology/topology.ts'
import type { TopologyChange } from '../../../core/topology/topology-change.ts'

/** A disk that is written to when the test says so. */
export class StoredRows extends NoMetadata {
  override durableUpTo = 0
  override refuses = false
  override refused = false
  /** By key, as hexadecimal text. */
  readonly rows: Map<string, Uint8Array> = new Map()
  /** How many batches were written. */
  written = 0
  private waiting: Uint8Array[] = []

  override write(rows: Uint8Array): number {
    this.waiting.push(rows)
    this.written++
    return this.written
  }

  /** What was handed over is refused, and so is all until `makeRoom`. */
  refuse(): void {
    this.refuses = true
    this.refused = true
  }

  makeRoom(): void {
    this.refuses = false
  }

  override acceptRefusal(): void {
    this.refused = false
    this.waiting = []
  }

  /** What was handed over comes on disk. */
  sync(): void {
    for (const batch of this.waiting) {
      eachRow(batch, (key, value) => {
        const name = Buffer.from(key).toString('hex')
        if (value === undefined) this.rows.delete(name)
        else this.rows.set(name, value)
      })
    }
    this.waiting = []
    this.durableUpTo = this.written
  }

  /** Stores what a change writes and removes. */
  collect(topology: Topology, change: TopologyChange): void {
    const batch = new RowBatch()
    collectRows(topology, change, batch)
    this.write(batch.take())
    this.sync()
  }

  load(): Restoration {
    const sorted = [...this.rows].sort(([a], [b]) => (a < b ? -1 : 1))
    return restore(sorted.map(([key, value]) => ({ key: Buffer.from(key, 'hex'), value })))
  }

  /** What a restart brings back. */
  restored(): Topology {
    const topology = new Topology()
    for (const change of this.load().changes) topology.apply(change)
    return topology
  }
}

/** Everything durable that is declared, as sorted text. */
export function describeDurable(topology: Topology): string[] {
  const lines: string[] = []
  for (const vhost of topology.vhosts.values()) {
    lines.push(`vhost ${vhost.id} ${vhost.name} ${vhost.description} ${vhost.tags.join()}`)
    for (const queue of vhost.queues.values()) {
      if (!queue.durable) continue
      const { id, name, type, autoDelete, shard } = queue
      lines.push(
        `queue ${vhost.id} ${id} ${name} ${type} ${autoDelete} ${shard} ${text(queue.arguments)}`,
      )
    }
    for (const exchange of vhost.exchanges.values()) {
      if (!exchange.durable) continue
      const { id, name, type, autoDelete, internal } = exchange
      const args = text(exchange.arguments)
      lines.push(`exchange ${vhost.id} ${id} ${name} ${type} ${autoDelete} ${internal} ${args}`)
      for (const { destination, routingKey, arguments: table } of exchange.outbound.values()) {
        if (!destination.durable) continue
        const to = `${destination.kind} ${destination.name}`
        lines.push(`binding ${vhost.id} ${name} -> ${to} by ${routingKey} ${text(table)}`)
      }
    }
  }
  for (const user of topology.users.values()) {
    lines.push(
      `user ${user.name} ${user.passwordHash} ${user.hashingAlgorithm} ${user.tags.join()}`,
    )
    for (const [vhost, { configure, write, read }] of user.permissions) {
      lines.push(`permissions ${user.name} ${vhost} ${configure} ${write} ${read}`)
    }
    for (const [vhost, byExchange] of user.topicPermissions) {
      for (const [exchange, { write, read }] of byExchange) {
        lines.push(`topic permissions ${user.name} ${vhost} ${exchange} ${write} ${read}`)
      }
    }
  }
  return lines.sort()
}

function text(value: unknown): string {
  return JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? `${each}n` : each))
}
