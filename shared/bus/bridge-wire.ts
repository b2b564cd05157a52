// The records of the bus as a byte stream, for a gateway in a process of its own (see bridge.ts).
//
//   stream = item item ...        item = Int32 words [ bytes ]
//
// The words are those of the ring record, word 0 = length << 8 | type, in the machine's byte order.
// A record that carries an entry comes without its further extents, and the entry's bytes (exrk,
// extra keys, props, body: the sizes are in the words) follow at once; the receiver finds new room
// for them and writes slab, offset and extents anew. Two items exist only here:
//   shard  [1] shard: the records that follow belong to the link with this shard
//   meta   [1] size: then that many bytes of msgpack, a BridgeMeta
// Before all that, from the core to the gateway only: the size (4 bytes) and msgpack of a BridgeStart.

import { pack, unpack } from './control.ts'
import type { GatewayMail, ThreadReport } from './mail.ts'
import { deliverEntryAt, publishEntryAt, Record, streamPublishEntryAt } from './wire.ts'

/** Items that no ring carries; the numbers are beyond those of `Record`. */
export const BridgeItem = { shard: 254, meta: 255 } as const
export const bridgeItemWords = 2

/** What the core tells a gateway's process before anything else, as msgpack behind its size (4 bytes). */
export interface BridgeStart {
  readonly gateway: number
  readonly name: string
  readonly protocols: readonly string[]
  readonly shards: number
  /** Room for messages, bytes: as much address space as the core's arena. */
  readonly arenaBytes: number
  readonly settings: unknown
}

/** What the two processes tell each other beside the records. */
export type BridgeMeta =
  /** Core -> gateway: `NodeWord.alarms` has changed. */
  | { readonly meta: 'alarms'; readonly alarms: number }
  /** Core -> gateway. */
  | { readonly meta: 'mail'; readonly mail: GatewayMail }
  /** Gateway -> core. */
  | { readonly meta: 'report'; readonly report: ThreadReport }

/** Where the entry words of a record begin; 0 for one without an entry. */
export function entryAt(type: number): number {
  if (type === Record.publish) return publishEntryAt
  if (type === Record.streamPublish) return streamPublishEntryAt
  return type === Record.deliver || type === Record.got || type === Record.returned
    ? deliverEntryAt
    : 0
}

/** The bytes that begin a stream to a gateway. */
export function encodeBridgeStart(start: BridgeStart): Buffer {
  const payload = pack(start)
  const size = Buffer.alloc(4)
  size.writeUInt32LE(payload.length)
  return Buffer.concat([size, payload])
}

/** The start, and what of `bytes` follows it; undefined while bytes are missing. */
export function decodeBridgeStart(
  bytes: Buffer,
): { readonly start: BridgeStart; readonly rest: Buffer } | undefined {
  if (bytes.length < 4) return undefined
  const end = 4 + bytes.readUInt32LE(0)
  if (bytes.length < end) return undefined
  return { start: unpack<BridgeStart>(bytes.subarray(4, end)), rest: bytes.subarray(end) }
}
