// Preloaded into a broker (node --import): notes, for whatever is done to a shard's files and not
// synced yet, what was there before. After a kill, power-loss.ts makes of that what a power cut could
// have left. Syncs take some milliseconds, so that a kill often meets them.
//
//   WARREN_TORN_DISK     the folder for the notes
//   WARREN_SYNC_MS       how long a sync takes at most
//   WARREN_LYING_DISK=1  makes every sync return without being one, which is what a broker that
//                        confirms before the sync amounts to
//
// Notes on a file, one per descriptor: path size (u32) | path, then per write:
//   position (f64) | size of the write (u32) | size of what was there (u32) | what was there
// Notes on folders, one per thread: lines of JSON { at, op, path, to }

import { Buffer } from 'node:buffer'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'

const folder = process.env.WARREN_TORN_DISK
const lying = process.env.WARREN_LYING_DISK === '1'
const syncMs = Number(process.env.WARREN_SYNC_MS ?? 0)
const real = { ...fs }
const pause = new Int32Array(new SharedArrayBuffer(4))
/** Notes by descriptor of the file they belong to. */
const notes = new Map()
/** Paths of the folders that are open, by descriptor. */
const folders = new Map()
let counter = 0
let folderNotes

function unique(kind) {
  counter += 1
  return join(folder, `${kind}-${process.pid}-${threadId}-${counter}`)
}

function isShardFile(path) {
  return /shard-\d+[\\/].*\.\w+$/.test(String(path)) || /shard-\d+[\\/].*spare/.test(String(path))
}

function noteFolder(op, path, to) {
  folderNotes ??= real.openSync(unique('folders'), 'a')
  const at = performance.timeOrigin + performance.now()
  real.writeSync(folderNotes, `${JSON.stringify({ at, op, path: String(path), to })}\n`)
}

function openSync(path, flags, mode) {
  const shardFile = isShardFile(path) && flags !== 'r'
  if (shardFile && !real.existsSync(path)) noteFolder('create', path)
  const fd = real.openSync(path, flags, mode)
  if (shardFile) {
    const file = real.openSync(unique('file'), 'a+')
    const head = Buffer.from(`....${path}`)
    head.writeUInt32LE(head.length - 4)
    real.writeSync(file, head)
    notes.set(fd, { file, headSize: head.length })
  } else if (flags === 'r') folders.set(fd, String(path))
  return fd
}

function writeSync(fd, bytes, offset, length, position) {
  const note = notes.get(fd)
  if (note !== undefined) {
    const record = Buffer.alloc(16 + length)
    const before = real.readSync(fd, record, 16, length, position)
    record.writeDoubleLE(position, 0)
    record.writeUInt32LE(length, 8)
    record.writeUInt32LE(before, 12)
    real.writeSync(note.file, record, 0, 16 + before)
  }
  return real.writeSync(fd, bytes, offset, length, position)
}

function fdatasyncSync(fd) {
  const note = notes.get(fd)
  if (note !== undefined && syncMs > 0) Atomics.wait(pause, 0, 0, Math.random() * syncMs)
  if (lying) return
  real.fdatasyncSync(fd)
  if (note !== undefined) real.ftruncateSync(note.file, note.headSize)
}

function fsyncSync(fd) {
  if (notes.has(fd)) fdatasyncSync(fd)
  else if (!lying) {
    real.fsyncSync(fd)
    if (folders.has(fd)) noteFolder('synced', folders.get(fd))
  }
}

function closeSync(fd) {
  const note = notes.get(fd)
  notes.delete(fd)
  folders.delete(fd)
  // What a closed file has not synced can still be lost: its notes stay.
  if (note !== undefined) real.closeSync(note.file)
  return real.closeSync(fd)
}

function renameSync(from, to) {
  if (isShardFile(from)) noteFolder('rename', from, String(to))
  return real.renameSync(from, to)
}

function rmSync(path, options) {
  if (!isShardFile(path) || !real.existsSync(path)) return real.rmSync(path, options)
  const kept = unique('kept')
  noteFolder('remove', path, kept)
  return real.renameSync(path, kept)
}

if (folder !== undefined) {
  const torn = { openSync, writeSync, fdatasyncSync, fsyncSync, closeSync, renameSync, rmSync }
  Object.assign(fs, torn)
  syncBuiltinESMExports()
}
