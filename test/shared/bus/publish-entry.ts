// Publishes as a session does: room in a slab, bytes into it, then the record.

import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { extentWords } from '../../../shared/bus/wire.ts'
import type { Entry } from './fake-shard.ts'

/** False when the ring or the arena is full; the room is then given up. */
export function publishEntry(
  port: GatewayPort,
  shard: number,
  channel: number,
  flags: number,
  entry: Entry,
): boolean {
  const { slabs } = port.link(shard)
  const { exrk, extra, props, body } = entry
  const bytes = Buffer.concat([Buffer.from(exrk + extra + props, 'latin1'), body])
  const prefix = bytes.length - body.length
  const extents: number[] = []
  let written = 0
  do {
    const need = written === 0 ? prefix : 0
    if (!slabs.takeSome(need, bytes.length - written - need)) return giveUp(port, shard, extents)
    bytes.copy(port.arena.slab(slabs.slab), slabs.at, written, written + slabs.size)
    extents.push(slabs.slab, slabs.at, slabs.size)
    written += slabs.size
  } while (written < bytes.length)
  const [slab, at] = extents as [number, number]
  const sizes = [exrk.length, extra.length, props.length, body.length] as const
  const link = port.link(shard)
  const sent =
    extents.length === extentWords
      ? link.publish(channel, flags, slab, at, ...sizes)
      : link.publishExtents(channel, flags, slab, at, ...sizes, extents.slice(extentWords))
  return sent || giveUp(port, shard, extents)
}

function giveUp(port: GatewayPort, shard: number, extents: readonly number[]): false {
  for (let i = 0; i < extents.length; i += extentWords) {
    port.link(shard).slabs.close(extents[i] as number)
  }
  return false
}
