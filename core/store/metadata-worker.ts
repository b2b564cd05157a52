// Thread entry: keeps the metadata for shard 0, and the keyed store. Each wake-up takes all the batches
// that have gathered and writes them as one transaction per store, so that a storm of declarations
// costs few syncs.

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../../shared/assert.ts'
import type { KeyedOp } from '../../shared/bus/control.ts'
import { pack, unpack } from '../../shared/bus/control.ts'
import { Doorbell } from '../../shared/bus/doorbell.ts'
import { NodeWord } from '../../shared/bus/link.ts'
import type { ThreadReport } from '../../shared/bus/mail.ts'
import { Keyed } from './keyed.ts'
import { keyedFolder, metadataFolder } from './layout.ts'
import { hasRoom, Metadata, MetadataError } from './metadata.ts'
import type {
  KeyedRead,
  KeyedWrite,
  MetadataReport,
  MetadataRequest,
  MetadataStart,
  MetadataWrite,
} from './metadata-mail.ts'
import { changesPerPart } from './metadata-mail.ts'

/** A quota, and the limit that a process may have for the size of a file, are like a full disk. */
const refusalText: RegExp = /no space left|quota exceeded|file too large|read-only file system/i
/** A full disk is tried again this often. */
const retryMs = 1000

assert(parentPort !== null, 'metadata is kept in a worker thread')
const main = parentPort
const { dataDir, port, bell: bellMemory, nodeWords } = workerData as MetadataStart
const bell = new Doorbell(bellMemory)
/** Handed over, not yet on disk. */
let waiting: MetadataWrite[] = []
/** What is asked of the keyed store, in order: a read sees the writes before it. */
const keyedWaiting: (KeyedWrite | KeyedRead)[] = []
const keyed = new Keyed(dataDir)
let retry: NodeJS.Timeout | undefined
/** The disk has refused the last attempt, of the metadata or of the keyed store. */
let refused = false
/** It refuses the metadata. */
let tablesRefuse = false
/** How often that was told. */
let refusals = 0
/** What is on disk is not known any more: the node ends, and nobody is told anything until then. */
let failed = false
const metadata = openMetadata()
if (metadata !== undefined) serve(metadata)

function report(what: ThreadReport): void {
  main.postMessage(what)
}

function openMetadata(): Metadata | undefined {
  try {
    return load()
  } catch (error) {
    if (!(error instanceof MetadataError)) throw error
    report({ report: 'failed', text: error.message })
    return undefined
  }
}

function load(): Metadata {
  const opened = new Metadata(dataDir)
  const { changes, lastId, provisioned, damaged, dangling } = opened.load()
  if (damaged.length > 0) {
    const more = damaged.length > 1 ? ` (and ${damaged.length - 1} more)` : ''
    throw new MetadataError(`the metadata in ${dataDir} is damaged: ${damaged[0]}${more}`)
  }
  for (const text of dangling) {
    report({ report: 'log', level: 'warn', msg: `left out of the metadata: ${text}` })
  }
  const parts: Uint8Array[] = []
  for (let i = 0; i < changes.length; i += changesPerPart) {
    // A copy: msgpack's result lies in a larger buffer, which would be sent whole.
    parts.push(new Uint8Array(pack(changes.slice(i, i + changesPerPart))))
  }
  tell({ report: 'loaded', changes: parts, lastId, provisioned })
  return opened
}

function tell(what: MetadataReport): void {
  port.postMessage(what)
  bell.ringMail()
}

function serve(opened: Metadata): void {
  port.on('message', (request: MetadataRequest) => {
    take(request)
    for (
      let got = receiveMessageOnPort(port);
      got !== undefined;
      got = receiveMessageOnPort(port)
    ) {
      take(got.message as MetadataRequest)
    }
    if (retry === undefined) work(opened)
  })
  main.on('message', () => void stop(opened))
}

function take(request: MetadataRequest): void {
  if (!('position' in request)) keyedWaiting.push(request)
  // Decided on what was refused.
  else if (request.refusals === refusals) waiting.push(request)
}

function work(opened: Metadata): void {
  if (failed) return
  const tablesWork = attempt(metadataFolder(dataDir), () => writeWaiting(opened))
  if (failed) return
  if (!tablesWork && !tablesRefuse) {
    tablesRefuse = true
    waiting = []
    refusals++
    tell({ report: 'refused' })
  }
  const keyedWorks = attempt(keyedFolder(dataDir), workKeyed)
  if (refused && tablesWork && keyedWorks) onSpace()
}

/** False when the disk has refused: `work` is tried again later. */
function attempt(folder: string, what: () => void): boolean {
  try {
    what()
  } catch (error) {
    onFailure(folder, error)
    return false
  }
  return true
}

function writeWaiting(opened: Metadata): void {
  if (tablesRefuse) {
    if (!hasRoom(metadataFolder(dataDir))) throw new Error('no space left for metadata')
    tablesRefuse = false
    tell({ report: 'room' })
  }
  const last = waiting.at(-1)
  if (last === undefined) return
  opened.write(waiting.map(({ rows }) => rows))
  waiting = []
  tell({ report: 'durable', position: last.position })
}

function workKeyed(): void {
  while (keyedWaiting.length > 0) {
    const first = keyedWaiting[0]
    if (first === undefined) return
    if ('op' in first) {
      readKeyed(first)
      keyedWaiting.shift()
      continue
    }
    const writes: KeyedWrite[] = []
    for (const next of keyedWaiting) {
      if ('op' in next) break
      writes.push(next)
    }
    keyed.write(writes.map(({ rows }) => rows))
    keyedWaiting.splice(0, writes.length)
    const last = writes.at(-1)
    if (last !== undefined) tell({ report: 'keyedDurable', position: last.keyedPosition })
  }
}

function readKeyed({ request, op: packed }: KeyedRead): void {
  const op = unpack<KeyedOp>(packed)
  let reply: object = {}
  if (op.op === 'keyedGet') reply = { values: keyed.get(op) }
  else if (op.op === 'keyedScan') reply = keyed.scan(op)
  else if (op.op === 'keyedTake') reply = { value: keyed.take(op) }
  tell({ report: 'keyedAnswer', request, reply: new Uint8Array(pack(reply)) })
}

/**
 * Nothing was written. A full or read-only disk may be written to again; after any other error, like
 * that of a sync, no write can be trusted. LMDB calls a write that a full disk took a part of an input or
 * output error: what was committed before is on other pages, so that is a full disk too.
 */
function onFailure(folder: string, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error)
  const isRefusal =
    refusalText.test(text) || (/input\/output error/i.test(text) && !hasRoom(folder))
  if (!isRefusal) {
    failed = true
    report({ report: 'failed', text: `the metadata in ${dataDir} cannot be written: ${text}` })
    return
  }
  if (!refused) {
    refused = true
    Atomics.add(new Int32Array(nodeWords), NodeWord.failingLogs, 1)
    const msg = 'the disk refuses the metadata: so do declarations until it takes them'
    report({ report: 'log', level: 'error', msg, fields: { dataDir, cause: text } })
  }
  retry ??= setTimeout(() => {
    retry = undefined
    if (metadata !== undefined) work(metadata)
  }, retryMs)
}

function onSpace(): void {
  refused = false
  Atomics.sub(new Int32Array(nodeWords), NodeWord.failingLogs, 1)
  report({ report: 'log', level: 'info', msg: 'the metadata can be written again' })
}

/** The shards have stopped: nothing more comes. */
async function stop(opened: Metadata): Promise<void> {
  clearTimeout(retry)
  work(opened)
  clearTimeout(retry)
  port.close()
  await keyed.close()
  await opened.close()
  report({ report: 'stopped' })
  main.close()
}
