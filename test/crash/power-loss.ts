// Makes of a killed broker's files what a power cut could have left: of each write that was not
// synced, every sector is there or is not; of what was done to a folder since it was synced, the
// last part never happened.

import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

/** A disk writes a sector whole or not at all. */
const sectorBytes = 512

/** What was not synced. */
export interface PowerLoss {
  readonly writes: number
  /** Sectors of the writes that were taken back. */
  readonly sectors: number
  /** Files made, renamed or removed. */
  readonly folderOps: number
}

/** The broker was only killed: what it has written stays. Removes the notes. */
export function keepEverything(folder: string): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name))
}

/**
 * Takes back a random part of what the notes in `folder` (see torn-disk.js) tell, and removes them.
 * `random` gives numbers from 0 to 1. One time in three all unsynced writes are taken back.
 */
export function losePower(folder: string, random: () => number): PowerLoss {
  const share = random() < 0.33 ? 1 : random()
  let writes = 0
  let sectors = 0
  for (const name of readdirSync(folder)) {
    if (!name.startsWith('file-')) continue
    const notes = readFileSync(join(folder, name))
    if (notes.length < 4) continue
    const pathEnd = 4 + notes.readUInt32LE(0)
    const path = notes.toString('utf8', 4, pathEnd)
    if (pathEnd >= notes.length || !existsSync(path)) continue
    const undone = undoWrites(path, notes.subarray(pathEnd), () => random() < share)
    writes += undone.writes
    sectors += undone.sectors
  }
  const folderOps = undoFolderOps(folder, random)
  keepEverything(folder)
  return { writes, sectors, folderOps }
}

/** The newest write first, so that the oldest content wins where several writes hit one sector. */
function undoWrites(
  path: string,
  notes: Buffer,
  lost: () => boolean,
): { readonly writes: number; readonly sectors: number } {
  const starts: number[] = []
  for (let at = 0; at + 16 <= notes.length; at += 16 + notes.readUInt32LE(at + 12)) {
    if (at + 16 + notes.readUInt32LE(at + 12) <= notes.length) starts.push(at)
  }
  let sectors = 0
  const file = openSync(path, 'r+')
  try {
    const { size: fileSize } = fstatSync(file)
    for (const at of starts.reverse()) {
      const position = notes.readDoubleLE(at)
      const size = notes.readUInt32LE(at + 8)
      const before = Buffer.alloc(size)
      notes.copy(before, 0, at + 16, at + 16 + notes.readUInt32LE(at + 12))
      const end = Math.min(position + size, fileSize)
      for (let from = position; from < end; ) {
        const to = Math.min(end, (Math.floor(from / sectorBytes) + 1) * sectorBytes)
        if (lost()) {
          writeSync(file, before, from - position, to - from, from)
          sectors++
        }
        from = to
      }
    }
  } finally {
    closeSync(file)
  }
  return { writes: starts.length, sectors }
}

interface FolderOp {
  readonly at: number
  readonly op: 'create' | 'rename' | 'remove' | 'synced'
  readonly path: string
  /** New name, or where a removed file was kept. */
  readonly to?: string
}

/** File systems keep the order of such changes, so only a last part of them can be missing. */
function undoFolderOps(folder: string, random: () => number): number {
  const all = readdirSync(folder)
    .filter((name) => name.startsWith('folders-'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as FolderOp)
    .sort((a, b) => a.at - b.at)
  const unsynced = all.filter(
    ({ op, at, path }) =>
      op !== 'synced' &&
      !all.some((each) => each.op === 'synced' && each.at > at && each.path === dirname(path)),
  )
  const from = Math.floor(random() * (unsynced.length + 1))
  for (const { op, path, to = '' } of unsynced.slice(from).reverse()) {
    if (op === 'create') rmSync(path, { force: true })
    else if (existsSync(to) && !existsSync(path)) renameSync(to, path)
  }
  return unsynced.length
}
