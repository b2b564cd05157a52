// How much may still be written where the data directory is.

import { statfs } from 'node:fs/promises'

/** Bytes that are free for this process; undefined where the system does not tell. */
export async function freeBytes(path: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  } catch {
    return undefined
  }
}
