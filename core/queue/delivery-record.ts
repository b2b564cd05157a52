// The end of writing a delivery: the record is committed, and its slabs are noted as referred to.

import { extentWords } from '../../shared/bus/wire.ts'
import type { Outlet } from './consumer.ts'

// HOT: once per delivery
/** `size` words in the outlet's ring are a record that names `slab` and the slabs of `extents`. */
export function commitDelivery(
  outlet: Outlet,
  size: number,
  slab: number,
  extents: Int32Array | undefined,
): void {
  outlet.lane.ring.commit(size)
  const { total } = outlet.lane.ring
  outlet.lastReference[slab] = total
  if (extents === undefined) return
  for (let i = 0; i < extents.length; i += extentWords) {
    outlet.lastReference[extents[i] as number] = total
  }
}
