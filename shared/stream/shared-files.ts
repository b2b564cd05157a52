// Files for many readers: one descriptor per file, however many read it, closed with the last of them.

import type { Buffer } from 'node:buffer'
import type { LogFiles } from './log-cursor.ts'

interface OpenFile {
  readonly path: string
  readers: number
}

export class SharedFiles implements LogFiles {
  private readonly raw: LogFiles
  private readonly byPath: Map<string, number>
  private readonly files: Map<number, OpenFile>
  private readonly onClose: (fd: number) => void

  /** `onClose` hears of a descriptor that is about to be closed. */
  constructor(raw: LogFiles, onClose: (fd: number) => void) {
    this.raw = raw
    this.byPath = new Map()
    this.files = new Map()
    this.onClose = onClose
  }

  list(folder: string): string[] {
    return this.raw.list(folder)
  }

  open(path: string): number {
    const known = this.byPath.get(path)
    const file = known === undefined ? undefined : this.files.get(known)
    if (known !== undefined && file !== undefined) {
      file.readers++
      return known
    }
    const fd = this.raw.open(path)
    this.byPath.set(path, fd)
    this.files.set(fd, { path, readers: 1 })
    return fd
  }

  close(fd: number): void {
    const file = this.files.get(fd)
    if (file === undefined || --file.readers > 0) return
    this.files.delete(fd)
    this.byPath.delete(file.path)
    this.onClose(fd)
    this.raw.close(fd)
  }

  size(fd: number): number {
    return this.raw.size(fd)
  }

  read(fd: number, bytes: Buffer, at: number, size: number, position: number): number {
    return this.raw.read(fd, bytes, at, size, position)
  }
}
