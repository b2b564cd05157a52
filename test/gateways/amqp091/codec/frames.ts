// Bytes of frames for tests, built by the most direct means and without the code under test.

export function frame(type: number, channel: number, payload: Uint8Array): Uint8Array {
  const out = Buffer.alloc(payload.length + 8)
  out.writeUInt8(type, 0)
  out.writeUInt16BE(channel, 1)
  out.writeUInt32BE(payload.length, 3)
  out.set(payload, 7)
  out.writeUInt8(0xce, payload.length + 7)
  return out
}

export function shortstr(text: string | Uint8Array): Uint8Array {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.of(bytes.length), bytes])
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 0xff)
}

export function u64(value: bigint): Uint8Array {
  const out = Buffer.alloc(8)
  out.writeBigUInt64BE(value)
  return out
}

export function method(
  channel: number,
  classId: number,
  methodId: number,
  ...args: Uint8Array[]
): Uint8Array {
  return frame(1, channel, Buffer.concat([u16(classId), u16(methodId), ...args]))
}

export function publish(
  channel: number,
  exchange: string | Uint8Array,
  key: string | Uint8Array,
  bits = 0,
): Uint8Array {
  return method(channel, 60, 40, u16(0), shortstr(exchange), shortstr(key), Uint8Array.of(bits))
}

export function header(channel: number, bodySize: number, props: Uint8Array): Uint8Array {
  return frame(2, channel, Buffer.concat([u16(60), u16(0), u64(BigInt(bodySize)), props]))
}

export function body(channel: number, payload: Uint8Array): Uint8Array {
  return frame(3, channel, payload)
}

export function settle(channel: number, methodId: number, tag: bigint, bits: number): Uint8Array {
  return method(channel, 60, methodId, u64(tag), Uint8Array.of(bits))
}

export const heartbeat: Uint8Array = frame(8, 0, new Uint8Array(0))
