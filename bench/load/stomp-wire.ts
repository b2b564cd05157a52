/** STOMP as bytes, over TCP and as WebSocket messages, and counting what comes back. */

const upgrade = (port: number): string =>
  [
    'GET /ws HTTP/1.1',
    `Host: 127.0.0.1:${port}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Protocol: v12.stomp',
    '\r\n',
  ].join('\r\n')

/** The HTTP request that opens a WebSocket. */
export function upgradeRequest(port: number): Buffer {
  return Buffer.from(upgrade(port))
}

/** A frame with its NUL. */
export function stompFrame(
  command: string,
  headers: Readonly<Record<string, string>>,
  body = '',
): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`)
  return Buffer.from(`${command}\n${lines.join('')}\n${body}\0`)
}

/** `payload` as one text message of a client; a mask of zeros leaves it as it is. */
export function webMessage(payload: Buffer): Buffer {
  const { length } = payload
  const head = length < 126 ? Buffer.alloc(6) : length < 65_536 ? Buffer.alloc(8) : Buffer.alloc(14)
  head[0] = 0x81
  if (length < 126) head[1] = 0x80 | length
  else if (length < 65_536) {
    head[1] = 0x80 | 126
    head.writeUInt16BE(length, 2)
  } else {
    head[1] = 0x80 | 127
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([head, payload])
}

/** Counts the frames in a stream of bytes by their NULs: the bodies of a load hold none. */
export class StompScanner {
  frames: number
  private readonly web: boolean
  // Of the WebSocket frame that is being read.
  private left: number
  private head: Buffer

  constructor(web: boolean) {
    this.frames = 0
    this.web = web
    this.left = 0
    this.head = Buffer.alloc(0)
  }

  /** Takes a chunk as it came from the socket. */
  push(chunk: Buffer): void {
    if (this.web) this.pushWeb(chunk)
    else this.count(chunk, 0, chunk.length)
  }

  private pushWeb(chunk: Buffer): void {
    let bytes = chunk
    if (this.head.length > 0) {
      bytes = Buffer.concat([this.head, chunk])
      this.head = Buffer.alloc(0)
    }
    let at = 0
    while (at < bytes.length) {
      if (this.left === 0) {
        const size = headSize(bytes, at)
        if (size === 0) {
          this.head = Buffer.from(bytes.subarray(at))
          return
        }
        this.left = payloadSize(bytes, at)
        at += size
      }
      const piece = Math.min(this.left, bytes.length - at)
      this.count(bytes, at, at + piece)
      this.left -= piece
      at += piece
    }
  }

  private count(bytes: Buffer, from: number, to: number): void {
    let at = bytes.indexOf(0, from)
    while (at >= 0 && at < to) {
      this.frames++
      at = bytes.indexOf(0, at + 1)
    }
  }
}

// A server's frames have no mask. 0: not all of the head is there.
function headSize(bytes: Buffer, at: number): number {
  if (bytes.length - at < 2) return 0
  const size = (bytes[at + 1] as number) & 127
  const head = size < 126 ? 2 : size === 126 ? 4 : 10
  return bytes.length - at < head ? 0 : head
}

function payloadSize(bytes: Buffer, at: number): number {
  const size = (bytes[at + 1] as number) & 127
  if (size < 126) return size
  return size === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
}
