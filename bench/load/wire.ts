/**
 * The few AMQP 0-9-1 methods a load generator speaks, encoded by hand. It shares nothing with the
 * broker's codec on purpose: a generator that judges a codec must not be made of it.
 */

/** Class id (high 16 bits) and method id (low 16 bits) of each method used here. */
export const MethodId = {
  connectionStart: 0x000a000a,
  connectionStartOk: 0x000a000b,
  connectionTune: 0x000a001e,
  connectionTuneOk: 0x000a001f,
  connectionOpen: 0x000a0028,
  connectionOpenOk: 0x000a0029,
  connectionClose: 0x000a0032,
  connectionCloseOk: 0x000a0033,
  channelOpen: 0x0014000a,
  channelOpenOk: 0x0014000b,
  channelClose: 0x00140028,
  channelCloseOk: 0x00140029,
  exchangeDeclare: 0x0028000a,
  exchangeDeclareOk: 0x0028000b,
  exchangeDelete: 0x00280014,
  exchangeDeleteOk: 0x00280015,
  queueDeclare: 0x0032000a,
  queueDeclareOk: 0x0032000b,
  queueBind: 0x00320014,
  queueBindOk: 0x00320015,
  queueUnbind: 0x00320032,
  queueUnbindOk: 0x00320033,
  queueDelete: 0x00320028,
  queueDeleteOk: 0x00320029,
  basicQos: 0x003c000a,
  basicQosOk: 0x003c000b,
  basicConsume: 0x003c0014,
  basicConsumeOk: 0x003c0015,
  basicPublish: 0x003c0028,
  basicDeliver: 0x003c003c,
  basicAck: 0x003c0050,
  basicNack: 0x003c0078,
  confirmSelect: 0x0055000a,
  confirmSelectOk: 0x0055000b,
} as const

/** What a client says first. */
export const PROTOCOL_HEADER: Buffer = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1')

/** Type, channel and size before a payload. */
export const FRAME_HEADER_SIZE = 7
/** The last byte of every frame. */
export const FRAME_END = 0xce
export const FrameKind = { method: 1, header: 2, body: 3, heartbeat: 8 } as const

/** A frame of type `kind` around `payload`. */
export function frame(kind: number, channel: number, payload: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(payload.length + FRAME_HEADER_SIZE + 1)
  out[0] = kind
  out.writeUInt16BE(channel, 1)
  out.writeUInt32BE(payload.length, 3)
  out.set(payload, FRAME_HEADER_SIZE)
  out[out.length - 1] = FRAME_END
  return out
}

/** A whole method frame; `parts` are its arguments in order (see the functions below). */
export function methodFrame(channel: number, id: number, ...parts: Uint8Array[]): Buffer {
  return frame(FrameKind.method, channel, Buffer.concat([u32(id), ...parts]))
}

/** One octet, also used for packed bits. */
export function u8(value: number): Buffer {
  return Buffer.of(value)
}

/** Two octets, big-endian. */
export function u16(value: number): Buffer {
  const out = Buffer.allocUnsafe(2)
  out.writeUInt16BE(value)
  return out
}

/** Four octets, big-endian. */
export function u32(value: number): Buffer {
  const out = Buffer.allocUnsafe(4)
  out.writeUInt32BE(value)
  return out
}

/** A shortstr of at most 255 bytes. */
export function short(text: string): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length > 255) throw new RangeError(`shortstr of ${bytes.length} bytes`)
  return Buffer.concat([u8(bytes.length), bytes])
}

/** A longstr. */
export function long(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([u32(bytes.length), bytes])
}

/** A field table of strings, numbers (int64), booleans and tables of them. */
export function table(fields: TableFields): Buffer {
  const parts: Uint8Array[] = []
  for (const [key, value] of Object.entries(fields)) {
    parts.push(short(key))
    if (typeof value === 'string') parts.push(Buffer.from('S'), long(value))
    else if (typeof value === 'boolean') parts.push(Buffer.from('t'), u8(value ? 1 : 0))
    else if (typeof value === 'number') parts.push(Buffer.from('l'), u64(value))
    else parts.push(Buffer.from('F'), table(value))
  }
  const body = Buffer.concat(parts)
  return Buffer.concat([u32(body.length), body])
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(value))
  return bytes
}

/** Values `table` can write. */
export type TableFields = { readonly [key: string]: string | number | boolean | TableFields }

/** Size of a basic.ack frame on the wire. */
export const ACK_FRAME_SIZE = 21

/** Writes basic.ack for `tag` (below 2^53) at `at` and returns the position after it. */
export function writeAck(
  out: Buffer,
  at: number,
  channel: number,
  tag: number,
  multiple: boolean,
): number {
  out[at] = FrameKind.method
  out.writeUInt16BE(channel, at + 1)
  out.writeUInt32BE(13, at + 3)
  out.writeUInt32BE(MethodId.basicAck, at + 7)
  out.writeUInt32BE(Math.floor(tag / 0x100000000), at + 11)
  out.writeUInt32BE(tag % 0x100000000, at + 15)
  out[at + 19] = multiple ? 1 : 0
  out[at + 20] = FRAME_END
  return at + ACK_FRAME_SIZE
}
