// Thread entry of a shard: builds it, then turns until main says stop. There is no event loop here:
// the thread sleeps on its doorbell, and mail is read when the doorbell says that there is some.

import { randomBytes, randomInt } from 'node:crypto'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../../shared/assert.ts'
import { Doorbell } from '../../shared/bus/doorbell.ts'
import type { ShardMail, ShardStart, ThreadReport } from '../../shared/bus/mail.ts'
import type { Config } from '../../shared/config/schema.ts'
import { nodeDisk } from '../store/disk.ts'
import { shardFolder } from '../store/layout.ts'
import { NoMetadata } from '../store/metadata-store.ts'
import { ShardStore } from '../store/shard-store.ts'
import { generationBytes } from '../store/wal-log.ts'
import type { LoadedMetadata } from './metadata-port.ts'
import { MetadataPort } from './metadata-port.ts'
import { provision, registrySettings } from './provision.ts'
import { Shard } from './shard.ts'

/** An idle shard looks around this often, in case a slab is still held by a slow reader. */
const idleMs = 1000
/** With slabs waiting for their readers. */
const sweepMs = 20

const port = parentPort
assert(port !== null, 'a shard runs in a worker thread')
const start = workerData as ShardStart
const config = start.settings as Config
const bell = new Doorbell(start.bells[start.shard] as SharedArrayBuffer)
const storage = new ShardStore({
  disk: nodeDisk,
  folder: shardFolder(config.data_dir, start.shard),
  ...start.log,
  generationBytes,
  stoppedCleanly: start.stoppedCleanly,
  memoryBudget: start.memoryBudget,
  queueMemoryBudget: config.queue_memory_budget,
  shardBell: start.bells[start.shard] as SharedArrayBuffer,
  onReaderNeeded: () => report({ report: 'readerNeeded' }),
  onReport: (level, msg, fields) => report({ report: 'log', level, msg, fields }),
})
const metadata =
  start.metadata === undefined ? undefined : new MetadataPort(start.metadata, onMetadata)
const shard = build()
// The shard with the registry is ready last: when the metadata and all messages are back.
if (metadata === undefined) report({ report: 'ready' })
run()
storage.close()
report({ report: 'stopped' })

/** What was stored is back, then what the configuration adds, then the messages. */
function onMetadata(loaded: LoadedMetadata): void {
  const { desk } = shard.control
  assert(desk !== undefined, 'the shard that gets the metadata has the registry')
  const { changes, lastId, provisioned } = loaded
  desk.restore(changes, lastId, () => {
    provision(desk, config, provisioned, () => {
      shard.control.recover(() => report({ report: 'ready' }))
    })
  })
}

function answer(request: number, command: Readonly<Record<string, unknown>>): void {
  shard.control.admin(command, (reply) => report({ report: 'answer', request, reply }))
}

function report(what: ThreadReport): void {
  port?.postMessage(what)
}

function build(): Shard {
  const made = new Shard({
    shard: start.shard,
    shards: start.shards,
    arena: start.arena,
    storage,
    metadata: metadata ?? new NoMetadata(),
    registry: registrySettings(config, (size) => randomBytes(size)),
    // Also makes reply-to names, so it must not be predictable from what a client has seen.
    random: () => randomInt(0x100000000),
    deliveryTimeoutMs: config.consumer_timeout,
    rates: start.rates,
    report: (level, msg, fields) => report({ report: 'log', level, msg, fields }),
  })
  for (let peer = 0; peer < start.shards; peer++) {
    const toPeer = start.toShards[peer]
    const fromPeer = start.fromShards[peer]
    const peerBell = start.bells[peer]
    if (toPeer === undefined || fromPeer === undefined || peerBell === undefined) continue
    made.addPeer(peer, toPeer, fromPeer, peerBell)
  }
  return made
}

function run(): void {
  for (;;) {
    const seen = bell.seen()
    if (bell.takeMail() && !readMail()) return
    const busy = shard.turn(performance.now(), Date.now())
    const waiting = shard.sweep()
    if (!busy) bell.sleep(seen, sleepMs(waiting))
  }
}

function sleepMs(waiting: boolean): number {
  const due = shard.deadline()
  const most = waiting ? sweepMs : idleMs
  return due === Number.POSITIVE_INFINITY
    ? most
    : Math.min(most, Math.max(0, due - performance.now()))
}

/** False when it is time to stop. */
function readMail(): boolean {
  assert(port !== null, 'a shard runs in a worker thread')
  shard.setTime(performance.now(), Date.now())
  metadata?.receive()
  for (let got = receiveMessageOnPort(port); got !== undefined; got = receiveMessageOnPort(port)) {
    const mail = got.message as ShardMail
    if (mail.mail === 'stop') return false
    if (mail.mail === 'admin') answer(mail.request, mail.command)
    else if (mail.mail === 'gateway') shard.addGateway(mail.link, mail.bell, mail.name)
    else shard.loseGateway(mail.link)
  }
  return true
}
