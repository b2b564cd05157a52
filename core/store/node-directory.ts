// The folder that holds everything a node keeps on disk:
//
//   node.json    format of the folder, number of shards, version that made it
//   lock         see directory-lock.ts
//   clean-stop   there only between an orderly stop and the next start
//   metadata/    the registry's tables
//   shard-<n>/   messages of shard n

import { randomInt } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { warrenVersion } from '../../shared/version.ts'
import { lockDirectory } from './directory-lock.ts'
import { makeFolder, syncFolder } from './disk.ts'
import { metadataFolder } from './layout.ts'

/** Goes up when a version of Warren before could not read what this one writes. */
const format = 1

/** A data directory that cannot be used; the text says why and what to do. */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError'
}

/** What `node.json` says. */
export interface NodeFacts {
  readonly format: number
  /** Queues lie on shards by their number, so it holds as long as the directory does. */
  readonly shards: number
  readonly version: string
  /** What checksums start from (see wal-format.ts): a 32-bit number that nobody outside knows. */
  readonly salt: number
}

/** A locked data directory. */
export interface DataDirectory {
  /** Absolute. */
  readonly path: string
  readonly facts: NodeFacts
  /** False: made just now. */
  readonly existed: boolean
  /** Whether the process before stopped in order. */
  readonly stoppedCleanly: boolean
  /** Why a second process is not kept out, where it isn't. */
  readonly unlocked: string | undefined
  /** Marks an orderly stop: everything is on disk. */
  markCleanStop(): void
  release(): void
}

/**
 * Opens or makes the data directory and locks it. `shards` is the number for a new one; where
 * `shardsFixed`, an existing one must have it. Throws DataDirectoryError.
 */
export async function openDataDirectory(
  dir: string,
  shards: number,
  shardsFixed: boolean,
): Promise<DataDirectory> {
  const path = resolve(dir)
  let release = (): void => {}
  try {
    makeFolder(path, 0o750)
    const lock = await lockDirectory(path)
    if (lock.kind === 'locked') release = lock.release
    if (lock.kind === 'busy') throw new DataDirectoryError(busyText(path, lock.pid))
    const existing = readFacts(path)
    if (existing !== undefined && shardsFixed && existing.shards !== shards) {
      throw new DataDirectoryError(
        `data directory ${path} was made with shards = ${existing.shards} and its messages lie by ` +
          `that number: leave the setting away, or use another data_dir for shards = ${shards}`,
      )
    }
    const facts = existing ?? newFacts(shards)
    if (existing === undefined) writeFile(path, 'node.json', `${JSON.stringify(facts, null, 2)}\n`)
    const stoppedCleanly = takeCleanStop(path)
    return {
      path,
      facts,
      existed: existing !== undefined,
      stoppedCleanly,
      unlocked: lock.kind === 'unsupported' ? lock.reason : undefined,
      markCleanStop: () => writeFile(path, cleanStop, `${new Date().toISOString()}\n`),
      release,
    }
  } catch (error) {
    release()
    if (error instanceof DataDirectoryError) throw error
    throw new DataDirectoryError(`data directory ${path} cannot be used: ${causeOf(path, error)}`)
  }
}

/** What `node.json` in a data directory says; undefined in an empty directory. Throws DataDirectoryError. */
export function readFacts(path: string): NodeFacts | undefined {
  const file = join(path, 'node.json')
  if (!existsSync(file)) {
    const left = readdirSync(path).filter((name) => name === 'metadata' || isShard(name))
    if (left.length === 0) return undefined
    throw new DataDirectoryError(
      `${path} holds ${left.join(', ')} but no node.json: part of the data directory is missing`,
    )
  }
  const facts = parseFacts(readFileSync(file, 'utf8'))
  if (facts === undefined) throw new DataDirectoryError(`${file} is damaged`)
  if (facts.format > format) {
    throw new DataDirectoryError(
      `data directory ${path} has format ${facts.format}, written by Warren ${facts.version}; ` +
        `this is Warren ${warrenVersion}, which reads formats up to ${format}`,
    )
  }
  const tables = join(metadataFolder(path), 'data.mdb')
  if (!existsSync(tables) && readdirSync(path).some(isShard)) {
    throw new DataDirectoryError(`${tables} is missing, though messages are there`)
  }
  return facts
}

/** Whether the last stop was an orderly one. */
export function hasCleanStop(path: string): boolean {
  return existsSync(join(path, cleanStop))
}

const cleanStop = 'clean-stop'

function isShard(name: string): boolean {
  return /^shard-\d+$/.test(name)
}

function busyText(path: string, pid: number | undefined): string {
  const who = pid === undefined ? 'another process' : `process ${pid}`
  return `data directory ${path} is in use by ${who}`
}

function newFacts(shards: number): NodeFacts {
  return { format, shards, version: warrenVersion, salt: randomInt(2 ** 32) }
}

function parseFacts(text: string): NodeFacts | undefined {
  try {
    const { format, shards, version, salt = 0 } = JSON.parse(text) as Record<string, unknown>
    const numbers = [format, shards, salt].every((value) => Number.isInteger(value))
    if (!numbers || Number(shards) <= 0) return undefined
    return {
      format: Number(format),
      shards: Number(shards),
      version: String(version),
      salt: Number(salt),
    }
  } catch {
    return undefined
  }
}

/** True when there was the mark of an orderly stop, which is gone for good when this returns. */
function takeCleanStop(path: string): boolean {
  if (!hasCleanStop(path)) return false
  rmSync(join(path, cleanStop))
  syncFolder(path)
  return true
}

/** Written aside, synced, then renamed: a crash leaves the old file or the new one. */
function writeFile(folder: string, name: string, text: string): void {
  const aside = join(folder, `${name}.new`)
  const file = openSync(aside, 'w', 0o640)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(aside, join(folder, name))
  syncFolder(folder)
}

/** What errors of a disk mean that is not written to; of others, what they say. */
function causeOf(path: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  // So says a file system that takes no folders; and Node of any folder on one that is read-only.
  const found = code === 'ENOENT' ? refusalIn(nearestFolder(path)) : code
  if (found === 'EROFS') return 'its file system is read-only'
  if (found === 'EACCES') return 'it may not be written to by this user'
  if (code === 'ENOENT') return `no folder can be made in ${nearestFolder(path)}`
  return textOf(error)
}

/** At `path` or above it. */
function nearestFolder(path: string): string {
  let at = path
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at)
  return at
}

/** Why nothing can be written there. */
function refusalIn(folder: string): unknown {
  try {
    accessSync(folder, constants.W_OK)
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
