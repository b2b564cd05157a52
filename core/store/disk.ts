// The few file operations that the store needs, in one place, so that tests can make them fail.

import {
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

export interface Disk {
  /** Opens for reading and writing; with `create` makes the file where there is none. Returns a descriptor. */
  open(path: string, create: boolean): number
  close(fd: number): void
  size(fd: number): number
  /** Writes all of `bytes[0, size)` at `position`. Throws when it can't. */
  write(fd: number, bytes: Uint8Array, size: number, position: number): void
  /** Reads up to `size` bytes into `bytes[at..]`; returns how many there were. */
  read(fd: number, bytes: Uint8Array, at: number, size: number, position: number): number
  sync(fd: number): void
  /** Cuts the file behind `size` bytes. */
  truncate(fd: number, size: number): void
  rename(from: string, to: string): void
  remove(path: string): void
  /** With all that is in it. */
  removeFolder(path: string): void
  /** Durably, with all folders on the way to it. */
  makeFolder(path: string): void
  /** Makes renames, new and removed files in the folder durable. */
  syncFolder(path: string): void
  list(path: string): string[]
  /** Bytes that the file system of `path` has free for us. */
  freeBytes(path: string): number
}

/** The disk is full, or so is our share of it: what was refused may be taken later. */
export function isNoSpace(error: unknown): boolean {
  return error instanceof Error && 'code' in error && noSpaceCodes.has(String(error.code))
}

const noSpaceCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])

/** O_RDWR | O_CREAT, without truncation. */
const createFlags: number = constants.O_RDWR | constants.O_CREAT

export const nodeDisk: Disk = {
  open: (path, create) => openSync(path, create ? createFlags : 'r+', 0o600),
  close: closeSync,
  size: (fd) => fstatSync(fd).size,
  write: (fd, bytes, size, position) => {
    let done = 0
    while (done < size) done += writeSync(fd, bytes, done, size - done, position + done)
  },
  read: (fd, bytes, at, size, position) => {
    let done = 0
    while (done < size) {
      const got = readSync(fd, bytes, at + done, size - done, position + done)
      if (got === 0) break
      done += got
    }
    return done
  },
  sync: fdatasyncSync,
  truncate: ftruncateSync,
  rename: renameSync,
  remove: (path) => rmSync(path, { force: true }),
  removeFolder: (path) => rmSync(path, { force: true, recursive: true }),
  makeFolder: (path) => makeFolder(path, 0o700),
  syncFolder,
  list: (path) => readdirSync(path),
  freeBytes: (path) => {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  },
}

/**
 * Makes a folder where there is none, and every one above it, each synced into its parent. One by one:
 * where a folder that is there takes none (/proc), Node's recursive way goes round forever.
 */
export function makeFolder(path: string, mode: number): void {
  const missing: string[] = []
  for (let at = path; !existsSync(at) && dirname(at) !== at; at = dirname(at)) missing.push(at)
  for (let folder = missing.pop(); folder !== undefined; folder = missing.pop()) {
    try {
      mkdirSync(folder, { mode })
    } catch (error) {
      // Somebody else has made it; a file in its place shows in what follows.
      if (!isThere(error)) throw error
    }
    syncFolder(dirname(folder))
  }
  if (!statSync(path).isDirectory()) throw new Error(`${path} is a file, not a folder`)
}

function isThere(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST'
}

/** Makes an empty file that is there after a crash; false where the disk refuses. */
export function placeMark(disk: Disk, path: string): boolean {
  try {
    disk.makeFolder(dirname(path))
    disk.close(disk.open(path, true))
    disk.syncFolder(dirname(path))
    return true
  } catch {
    return false
  }
}

/** Makes renames, new and removed files in the folder durable. */
export function syncFolder(path: string): void {
  // Windows has no such thing as syncing a folder.
  if (process.platform === 'win32') return
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
