/** The stream protocol as far as a load needs it: frames to send, and a scanner that counts. */

/** Keys of commands. */
export const LogKey = {
  declarePublisher: 1,
  publish: 2,
  publishConfirm: 3,
  publishError: 4,
  subscribe: 7,
  deliver: 8,
  credit: 9,
  create: 13,
  delete: 14,
  peerProperties: 17,
  saslHandshake: 18,
  saslAuthenticate: 19,
  tune: 20,
  open: 21,
} as const

/** A frame: size, key, version 1, then `parts`. */
export function logFrame(key: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat([u16(key), u16(1), ...parts])
  return Buffer.concat([u32(body.length), body])
}

export function u8(value: number): Buffer {
  return Buffer.from([value])
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function text(value: string): Buffer {
  return Buffer.concat([u16(Buffer.byteLength(value)), Buffer.from(value)])
}

/** A message of AMQP 1.0: one data section with a body of `size`. */
export function logMessage(size: number): Buffer {
  const head = size < 256 ? [u8(0xa0), u8(size)] : [u8(0xb0), u32(size)]
  return Buffer.concat([Buffer.from([0, 0x53, 0x75]), ...head, Buffer.alloc(size, 'x')])
}

/** A publish frame of publisher 1 with `count` messages of `size` bytes, publishing ids from 0. */
export function publishFrame(count: number, size: number): Buffer {
  const message = logMessage(size)
  const entries: Buffer[] = []
  for (let i = 0; i < count; i++) entries.push(u32(0), u32(i), u32(message.length), message)
  return logFrame(LogKey.publish, u8(1), u32(count), ...entries)
}

/** Bytes from a frame's beginning to the number of records of its chunk, behind it. */
const headBytes = 17

/** Counts what comes; frames are looked at, not kept. */
export class LogScanner {
  /** Messages of delivered chunks, and how many chunks. */
  delivered = 0
  chunks = 0
  confirmed = 0
  refused = 0
  /** Response code by key of the request; 0: none yet. */
  readonly codes: Uint16Array = new Uint16Array(64)
  tuned = false
  private readonly head = Buffer.alloc(headBytes)
  private have = 0
  /** Bytes of the current frame that are still to come and do not matter. */
  private skip = 0

  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.skip > 0) {
        const size = Math.min(this.skip, chunk.length - at)
        this.skip -= size
        at += size
        continue
      }
      const wanted = this.wanted()
      const size = Math.min(wanted - this.have, chunk.length - at)
      chunk.copy(this.head, this.have, at, at + size)
      this.have += size
      at += size
      if (this.have === this.wanted() && this.have > 4) this.onHead()
    }
  }

  /** Bytes of the head: of a short frame all that it has. */
  private wanted(): number {
    return this.have < 4 ? 4 : Math.min(headBytes, 4 + this.head.readUInt32BE(0))
  }

  private onHead(): void {
    const { head } = this
    const key = head.readUInt16BE(4)
    if (key === LogKey.deliver) {
      this.delivered += head.readUInt32BE(13)
      this.chunks++
    } else if (key === LogKey.publishConfirm) this.confirmed += head.readUInt32BE(9)
    else if (key === LogKey.publishError) this.refused += head.readUInt32BE(9)
    else if (key === LogKey.tune) this.tuned = true
    else if (key >= 0x8000) this.codes[key & 63] = head.readUInt16BE(12)
    this.skip = 4 + head.readUInt32BE(0) - this.have
    this.have = 0
  }
}
