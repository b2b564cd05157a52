// The native part of a message that was published by AMQP 1.0: what its 0-9-1 properties cannot hold,
// behind the further routing keys in the entry's extra region (shared/bus/wire.ts):
//
//   +------+--------+--------+-------------+--------+------------+----------+--------+
//   | form | layout |  size  | message-    |  size  | properties | data     | footer |
//   |  u8  |   u8   |  u32   | annotations |  u32   | and app... | sizes    |        |
//   +------+--------+--------+-------------+--------+------------+----------+--------+
//
// Sections are verbatim, descriptors included. A message that its properties and one data section in
// the shortest form tell whole has no native part.

import { EntryForm } from '../../../shared/bus/wire.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { Code } from '../codec/constructors.ts'
import type { Scratch } from '../codec/scratch.ts'
import type { SectionScan } from '../codec/sections.ts'
import { Descriptor } from '../codec/spec.ts'

/** How the body region holds the body. */
export const BodyLayout = {
  /** The content of one data section whose encoding is the shortest. */
  data: 0,
  /** The contents of data sections one behind the other; their heads are in the native part. */
  dataList: 1,
  /** All body sections and the footer as they came. */
  encoded: 2,
} as const

/** Whether a message needs a native part. */
export function needsNativePart(scan: SectionScan): boolean {
  return (
    scan.propertiesAt >= 0 ||
    scan.applicationAt >= 0 ||
    scan.annotationsAt >= 0 ||
    scan.footerAt >= 0 ||
    scan.bodyCount !== 1 ||
    !scan.dataShort
  )
}

export function bodyLayoutOf(scan: SectionScan): number {
  if (scan.bodyCode !== Descriptor.data) return BodyLayout.encoded
  return scan.bodyCount === 1 && scan.dataShort ? BodyLayout.data : BodyLayout.dataList
}

/** Appends the native part of the message that `scan` has scanned in `bytes`. */
export function writeNativePart(out: Scratch, bytes: Uint8Array, scan: SectionScan): void {
  const layout = bodyLayoutOf(scan)
  out.reserve(10)
  out.view.setUint8(out.at, EntryForm.amqp10)
  out.view.setUint8(out.at + 1, layout)
  out.at += 2
  writeSized(out, bytes, scan.annotationsAt, scan.annotationsEnd)
  const bareAt = scan.propertiesAt >= 0 ? scan.propertiesAt : scan.applicationAt
  const bareEnd = scan.applicationAt >= 0 ? scan.applicationEnd : scan.propertiesEnd
  writeSized(out, bytes, bareAt, bareEnd)
  if (layout === BodyLayout.dataList) writeDataHeads(out, bytes, scan)
  if (layout !== BodyLayout.encoded && scan.footerAt >= 0) {
    out.copy(bytes, scan.footerAt, scan.footerEnd - scan.footerAt)
  }
}

/** Where the parts of a native part lie. Reused. */
export class NativePart {
  layout = 0
  annotationsAt = 0
  annotationsSize = 0
  bareAt = 0
  bareSize = 0
  /** dataList: count (u32), then each section's head with its size in front. */
  headsAt = 0
  footerAt = 0
  footerSize = 0

  // HOT: once per delivery
  /** Finds the native part in the extra region `bytes[at..at + size)`; false where there is none of ours. */
  find(bytes: Uint8Array, at: number, size: number): boolean {
    const view = viewOf(bytes)
    const end = at + size
    let to = at + 1
    for (let keys = view.getUint8(at); keys > 0; keys--) to += 1 + view.getUint8(to)
    if (to >= end || view.getUint8(to) !== EntryForm.amqp10) return false
    this.layout = view.getUint8(to + 1)
    this.annotationsSize = view.getUint32(to + 2)
    this.annotationsAt = to + 6
    to = this.annotationsAt + this.annotationsSize
    this.bareSize = view.getUint32(to)
    this.bareAt = to + 4
    to = this.bareAt + this.bareSize
    this.headsAt = to
    if (this.layout === BodyLayout.dataList) {
      const count = view.getUint32(to)
      to += 4
      for (let i = 0; i < count; i++) to += 5 + view.getUint8(to + 4)
    }
    this.footerAt = to
    this.footerSize = end - to
    return true
  }
}

function writeSized(out: Scratch, bytes: Uint8Array, at: number, end: number): void {
  const size = at < 0 ? 0 : end - at
  out.reserve(4)
  out.view.setUint32(out.at, size)
  out.at += 4
  if (size > 0) out.copy(bytes, at, size)
}

// Per data section: size of its content (u32), size of its head (u8), the head (descriptor and size).
function writeDataHeads(out: Scratch, bytes: Uint8Array, scan: SectionScan): void {
  out.reserve(4)
  out.view.setUint32(out.at, scan.bodyCount)
  out.at += 4
  forEachData(bytes, scan, (headAt, dataAt, dataSize) => {
    out.reserve(5)
    out.view.setUint32(out.at, dataSize)
    out.view.setUint8(out.at + 4, dataAt - headAt)
    out.at += 5
    out.copy(bytes, headAt, dataAt - headAt)
  })
}

/** Calls `each` for every data section: where its head and its content begin, and the content's size. */
export function forEachData(
  bytes: Uint8Array,
  scan: SectionScan,
  each: (headAt: number, dataAt: number, dataSize: number) => void,
): void {
  const view = viewOf(bytes)
  let at = scan.bodyAt
  while (at < scan.bodyEnd) {
    // `00 53 75`, or a longer descriptor, which is one value behind the zero.
    const codeAt = at + 1 + descriptorSize(view, at + 1)
    const short = view.getUint8(codeAt) === Code.binary8
    const dataAt = codeAt + (short ? 2 : 5)
    const size = short ? view.getUint8(codeAt + 1) : view.getUint32(codeAt + 1)
    each(at, dataAt, size)
    at = dataAt + size
  }
}

function descriptorSize(view: DataView, at: number): number {
  const code = view.getUint8(at)
  if (code === Code.smallUlong) return 2
  if (code === Code.ulong) return 9
  if (code === Code.symbol8) return 2 + view.getUint8(at + 1)
  return code === Code.symbol32 ? 5 + view.getUint32(at + 1) : 1
}
