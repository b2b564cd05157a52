// Frames that no correct client sends, for raw peers.

import { encodeFrame, FRAME_END, FrameType } from './amqp-wire.ts'

/** A method frame with any ids and any argument bytes. */
export function methodFrame(
  classId: number,
  methodId: number,
  argumentBytes: Uint8Array = new Uint8Array(0),
  channel = 1,
): Buffer {
  const ids = Buffer.alloc(4)
  ids.writeUInt16BE(classId, 0)
  ids.writeUInt16BE(methodId, 2)
  return encodeFrame(FrameType.method, channel, Buffer.concat([ids, argumentBytes]))
}

/** A content header with any body size and any bytes from the property flags on. */
export function headerFrame(bodySize: bigint, properties: readonly number[]): Buffer {
  const payload = Buffer.alloc(12)
  payload.writeUInt16BE(60, 0)
  payload.writeBigUInt64BE(bodySize, 4)
  return encodeFrame(FrameType.header, 1, Buffer.concat([payload, Buffer.from(properties)]))
}

/** The same frame with another byte where 0xCE belongs. */
export function withFrameEnd(frame: Uint8Array, end: number): Buffer {
  const copy = Buffer.from(frame)
  if (copy[copy.length - 1] !== FRAME_END) throw new Error('not a whole frame')
  copy[copy.length - 1] = end
  return copy
}

/** queue.declare of an exclusive queue, with these bytes as its arguments table. */
export function declareWithTable(table: Uint8Array): Buffer {
  return methodFrame(50, 10, Buffer.concat([Buffer.from([0, 0, 0, 0b00100]), table]))
}

/** A table in a table in a table, `depth` deep, with its length prefix. */
export function nestedTable(depth: number): Buffer {
  // One layer costs 7 bytes: key length, key, type letter and the length of what is inside.
  const layers: Buffer[] = [Buffer.from([1, 0x61, 0x74, 1])]
  let size = 4
  for (let i = 0; i < depth; i += 1) {
    const layer = Buffer.from([1, 0x61, 0x46, 0, 0, 0, 0])
    layer.writeUInt32BE(size, 3)
    layers.push(layer)
    size += layer.length
  }
  const length = Buffer.alloc(4)
  length.writeUInt32BE(size)
  return Buffer.concat([length, ...layers.reverse()])
}
