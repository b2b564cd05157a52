// Two joined ends of a byte stream, as a pair of sockets: what is written at one end arrives at the
// other in chunks of a chosen size, and waits while that end is paused.

import type { BridgeSocket } from '../../../shared/bus/bridge-sender.ts'

interface Written {
  readonly bytes: Buffer
  readonly onWritten: () => void
}

export class PipeEnd implements BridgeSocket {
  onBytes: (chunk: Buffer) => void = () => {}
  writableLength = 0
  paused = false
  private readonly chunkBytes: number
  private readonly queue: Written[] = []
  private other: PipeEnd | undefined
  private scheduled = false

  private constructor(chunkBytes: number) {
    this.chunkBytes = chunkBytes
  }

  static pair(chunkBytes: number): [PipeEnd, PipeEnd] {
    const ends: [PipeEnd, PipeEnd] = [new PipeEnd(chunkBytes), new PipeEnd(chunkBytes)]
    ends[0].other = ends[1]
    ends[1].other = ends[0]
    return ends
  }

  write(bytes: Uint8Array, onWritten: () => void): boolean {
    this.queue.push({ bytes: Buffer.from(bytes), onWritten })
    this.writableLength += bytes.length
    this.schedule()
    return true
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.other?.schedule()
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    setImmediate(() => {
      this.scheduled = false
      this.carry()
    })
  }

  private carry(): void {
    const { other } = this
    if (other === undefined || other.paused) return
    const written = this.queue.shift()
    if (written === undefined) return
    for (let at = 0; at < written.bytes.length; at += this.chunkBytes) {
      other.onBytes(Buffer.from(written.bytes.subarray(at, at + this.chunkBytes)))
    }
    this.writableLength -= written.bytes.length
    written.onWritten()
    if (this.queue.length > 0) this.schedule()
  }
}
