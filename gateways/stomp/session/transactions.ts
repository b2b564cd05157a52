// BEGIN, COMMIT, ABORT. What a transaction holds are the frames themselves, as they came: a commit
// reads them once more, in order, as if they had come just now.

import type { Frame } from '../codec/frame.ts'
import { Header } from '../codec/header-name.ts'
import type { Failure } from '../mapping/failure.ts'
import { badTransaction, missingTransaction, transactionTooLarge } from '../mapping/failure.ts'

/** What all open transactions of a connection may hold together. */
export const transactionBytesMax: number = 64 * 1024 * 1024

/** As many may be open at once. */
const transactionsMax = 1024

export class Transactions {
  private readonly open: Map<string, Uint8Array[]>
  private bytes: number

  constructor() {
    this.open = new Map()
    this.bytes = 0
  }

  begin(frame: Frame): Failure | undefined {
    const id = frame.text(Header.transaction)
    if (id === undefined) return missingTransaction('BEGIN')
    if (this.open.size >= transactionsMax) return transactionTooLarge(transactionBytesMax)
    this.take(id)
    this.open.set(id, [])
    return undefined
  }

  /** The frames to read again, one behind the other. */
  commit(frame: Frame): Uint8Array | Failure {
    const frames = this.end(frame, 'COMMIT')
    return Array.isArray(frames) ? Buffer.concat(frames) : frames
  }

  abort(frame: Frame): Failure | undefined {
    const frames = this.end(frame, 'ABORT')
    return Array.isArray(frames) ? undefined : frames
  }

  /** Keeps a frame that names a transaction. */
  keep(frame: Frame): Failure | undefined {
    const id = frame.text(Header.transaction) ?? ''
    const frames = this.open.get(id)
    if (frames === undefined) return badTransaction(id)
    // A frame costs more than its bytes.
    this.bytes += frame.size + frameCost
    if (this.bytes > transactionBytesMax) return transactionTooLarge(transactionBytesMax)
    // A copy: not slice(), which for a Buffer is only another view.
    frames.push(new Uint8Array(frame.bytes.subarray(frame.at, frame.at + frame.size)))
    return undefined
  }

  private end(frame: Frame, command: string): Uint8Array[] | Failure {
    const id = frame.text(Header.transaction)
    if (id === undefined) return missingTransaction(command)
    return this.take(id) ?? badTransaction(id)
  }

  private take(id: string): Uint8Array[] | undefined {
    const frames = this.open.get(id)
    this.open.delete(id)
    for (const each of frames ?? []) this.bytes -= each.length + frameCost
    return frames
  }
}

const frameCost = 128
