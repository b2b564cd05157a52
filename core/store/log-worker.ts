// Thread entry of a log: writes what its shard appends, until the process ends.

import { setPriority } from 'node:os'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../../shared/assert.ts'
import { Arena } from '../../shared/bus/arena.ts'
import { Doorbell } from '../../shared/bus/doorbell.ts'
import { NodeWord } from '../../shared/bus/link.ts'
import type { LogMail, LogStart, ThreadReport } from '../../shared/bus/mail.ts'
import { RingReader, RingWriter } from '../../shared/bus/ring.ts'
import { nodeDisk } from './disk.ts'
import { DurableMark } from './durable-mark.ts'
import { asideFolder, segmentFolder, walFolder } from './layout.ts'
import { LogBackground } from './log-background.ts'
import { LogThread } from './log-thread.ts'
import { listWal } from './recovery.ts'
import { StreamWriters } from './stream-writers.ts'
import { WalFiles } from './wal.ts'

/** A disk that refused a write is asked again after this. */
const retryMs = 200
/** Settles wait so long for a message to share a sync with, in a log that is in use. */
const settleWaitMs = 10
/** A generation of which little is left to settle waits so long before that is copied. */
const retireWaitMs = 200
/** Others wait for a log, while it waits for the disk most of the time: it goes first when it has work. */
const niceness = -10
/** An idle log looks around this often: for settles, which ring no bell. */
const idleMs = 1000

const port = parentPort
assert(port !== null, 'a log runs in a worker thread')
const start = workerData as LogStart
const nodeWords = new Int32Array(start.nodeWords)
const pause = new Int32Array(new SharedArrayBuffer(4))
const { log: memory } = start
const bell = new Doorbell(memory.bell)
const arena = new Arena(start.arena)
const folder = walFolder(start.folder)

const durable = new DurableMark(memory.durable)
const log = new LogThread({
  ring: new RingReader(memory.ring),
  durable,
  shardBell: new Doorbell(start.shardBell),
  settleWaitMs,
  retireWaitMs,
  salt: memory.salt,
  arena,
  background: new LogBackground({
    requests: new RingReader(memory.requests),
    replies: new RingWriter(memory.replies),
    arena,
    disk: nodeDisk,
    salt: memory.salt,
    onDamage: (generation, bytes) =>
      report('error', 'a part of the log was damaged while it waited: messages in it may be lost', {
        shard: start.shard,
        generation,
        bytes,
      }),
    folders: {
      wal: folder,
      segments: segmentFolder(start.folder),
      aside: asideFolder(start.folder),
    },
  }),
  streams: new StreamWriters({
    arena,
    disk: nodeDisk,
    folder: start.folder,
    replies: new RingWriter(memory.streams.replies),
    clock: () => Date.now(),
  }),
  openWal: (place) => {
    const { files: oldFiles, spares } = listWal(nodeDisk, folder)
    return new WalFiles(nodeDisk, folder, memory.salt, { ...place, oldFiles, spares })
  },
  onTrouble: (cause) => {
    Atomics.add(nodeWords, NodeWord.failingLogs, 1)
    report('error', 'the disk refuses the log: nothing is confirmed until it takes it again', {
      shard: start.shard,
      cause: cause instanceof Error ? cause.message : String(cause),
    })
  },
  onRelief: () => {
    Atomics.sub(nodeWords, NodeWord.failingLogs, 1)
    report('info', 'the disk takes the log again', { shard: start.shard })
  },
})

askForPriority()
let lastBusy = 0
for (;;) {
  const seen = bell.seen()
  if (bell.takeMail()) readMail()
  const outcome = log.turn()
  const now = performance.now()
  if (outcome === 'busy') lastBusy = now
  else if (outcome === 'failed') Atomics.wait(pause, 0, 0, retryMs)
  else bell.sleep(seen, now - lastBusy < idleMs ? settleWaitMs : idleMs)
}

/** On Linux a priority is the calling thread's; it takes CAP_SYS_NICE or a limit that allows it. */
function askForPriority(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(0, niceness)
  } catch {
    // As it is, then.
  }
}

function readMail(): void {
  assert(port !== null, 'a log runs in a worker thread')
  for (let got = receiveMessageOnPort(port); got !== undefined; got = receiveMessageOnPort(port)) {
    const mail = got.message as LogMail
    if (mail.mail === 'gateway') durable.add(mail.link, mail.bell, mail.awaits)
    else durable.remove(mail.link)
  }
}

function report(level: 'info' | 'error', msg: string, fields: object): void {
  const what: ThreadReport = { report: 'log', level, msg, fields }
  port?.postMessage(what)
}
