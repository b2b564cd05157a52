// Preloaded into a broker (node --import): the disk is as the file WARREN_SMALL_DISK says: 'roomy'
// (what it is), 'low' (1 MB is free), or 'refusing' (the files of shards take no writes, as beyond a
// quota, which does not show in what is free).

import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const state = process.env.WARREN_SMALL_DISK
const real = { ...fs, statfs: fs.promises.statfs }
const shardFiles = new Set()

function how() {
  return real.readFileSync(state, 'utf8')
}

function refuse() {
  throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
}

async function statfs(path, options) {
  const found = await real.statfs(path, options)
  return how() === 'low' ? { ...found, bavail: Math.floor(1e6 / found.bsize) } : found
}

function openSync(path, flags, mode) {
  const fd = real.openSync(path, flags, mode)
  if (/shard-\d+[\\/]/.test(String(path))) shardFiles.add(fd)
  else shardFiles.delete(fd)
  return fd
}

function writeSync(fd, ...rest) {
  if (shardFiles.has(fd) && how() === 'refusing') refuse()
  return real.writeSync(fd, ...rest)
}

if (state !== undefined) {
  Object.assign(fs, { openSync, writeSync })
  fs.promises.statfs = statfs
  syncBuiltinESMExports()
}
