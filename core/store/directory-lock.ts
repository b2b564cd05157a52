// Keeps a second process out of a data directory. The lock is a Unix socket that the owner listens on:
// the kernel ends it with the process, so that nothing has to be guessed from process numbers, which
// containers share a directory without sharing.

import { createHash, randomBytes } from 'node:crypto'
import { closeSync, linkSync, openSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs'
import type { Server } from 'node:net'
import { createConnection, createServer } from 'node:net'
import { join } from 'node:path'

const lockName = 'lock'
/** Two that start at once may find each other's leftovers, but hardly this often. */
const attemptsMax = 10
/** The owner answers with its process number; without an answer it is alive all the same. */
const answerMs = 500

export type LockOutcome =
  | { readonly kind: 'locked'; readonly release: () => void }
  /** `pid` is undefined where the owner did not tell. */
  | { readonly kind: 'busy'; readonly pid: number | undefined }
  /** This file system has no sockets: nothing keeps a second process out. */
  | { readonly kind: 'unsupported'; readonly reason: string }

/** Locks an existing directory until `release` or the end of the process. */
export async function lockDirectory(dir: string): Promise<LockOutcome> {
  if (process.platform === 'win32') return lockByPipe(dir)
  // A socket's path may have 107 bytes; through /proc the directory counts as a few.
  const handle = process.platform === 'linux' ? openSync(dir, 'r') : undefined
  const base = handle === undefined ? dir : `/proc/self/fd/${handle}`
  const path = join(base, lockName)
  const own = join(base, `${lockName}-${randomBytes(6).toString('hex')}`)
  const close = (): void => {
    if (handle !== undefined) closeSync(handle)
  }
  let server: Server
  try {
    server = await listen(own)
  } catch (error) {
    close()
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EROFS') throw error
    return { kind: 'unsupported', reason: String(code) }
  }
  const outcome = await publish(own, path)
  if (outcome !== 'ours') {
    server.close()
    close()
    return outcome
  }
  server.unref()
  const release = (): void => {
    rmSync(path, { force: true })
    server.close()
    close()
  }
  return { kind: 'locked', release }
}

/** Gives our listening socket the lock's name, which only one can have. */
async function publish(own: string, path: string): Promise<'ours' | LockOutcome> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    try {
      linkSync(own, path)
      rmSync(own, { force: true })
      return 'ours'
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EEXIST') return { kind: 'unsupported', reason: String(code) }
    }
    const inode = inodeOf(path)
    const owner = await ask(path)
    if (owner !== 'dead') return { kind: 'busy', pid: owner === 'silent' ? undefined : owner }
    removeDead(path, `${own}-old`, inode)
  }
  return { kind: 'busy', pid: undefined }
}

/** Takes a dead lock away; one that was replaced meanwhile is put back. */
function removeDead(path: string, aside: string, inode: number | undefined): void {
  try {
    renameSync(path, aside)
    if (inodeOf(aside) !== inode) linkSync(aside, path)
    rmSync(aside, { force: true })
  } catch {
    // Another process was faster: the next attempt sees what it did.
  }
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino
}

function listen(path: string): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.end(`${process.pid}\n`)
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => resolve(server))
  })
}

/** The process number of whoever listens at `path`. */
function ask(path: string): Promise<number | 'silent' | 'dead'> {
  return new Promise((resolve) => {
    const socket = createConnection(path)
    let text = ''
    socket.setTimeout(answerMs, () => socket.destroy())
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code === 'ECONNREFUSED' || code === 'ENOENT' ? 'dead' : 'silent')
    })
    socket.on('close', () => resolve(Number.parseInt(text, 10) || 'silent'))
  })
}

/** Windows ends a named pipe with its process, and only one process can make it. */
async function lockByPipe(dir: string): Promise<LockOutcome> {
  const hash = createHash('sha256').update(realpathSync(dir).toLowerCase()).digest('hex')
  const path = `\\\\.\\pipe\\warren-${hash}`
  try {
    const server = await listen(path)
    server.unref()
    return { kind: 'locked', release: () => void server.close() }
  } catch {
    const owner = await ask(path)
    return { kind: 'busy', pid: typeof owner === 'number' ? owner : undefined }
  }
}
