// Checks the files of one shard offline: replays the log without keeping messages, and looks at every
// block of every segment.

import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { BlockReader } from './block-reader.ts'
import type { Findings } from './directory-check.ts'
import type { Disk } from './disk.ts'
import { nodeDisk } from './disk.ts'
import type { MessageKeeper } from './entry-keeper.ts'
import { segmentFolder, walFolder } from './layout.ts'
import type { Damage } from './recovery.ts'
import { WalRecovery } from './recovery.ts'
import { Replay } from './replay.ts'
import type { StoredQueue } from './restoration.ts'
import type { SegmentListing, StoredSegment } from './segment-reader.ts'
import { listSegments } from './segment-reader.ts'
import { blockAlign, footerBytes, segmentBlockBytes } from './wal-format.ts'

/** Queues that are named one by one; of more, only the sum is told. */
const queuesNamedMax = 50
/** A segment is read through a window; a block is a small part of it. */
const windowBytes: number = 16 * segmentBlockBytes

/** A ShardChecker (see directory-check.ts). */
export function checkShard(
  folder: string,
  queues: ReadonlyMap<number, StoredQueue>,
  findings: Findings,
): void {
  if (!existsSync(walFolder(folder))) {
    findings.note(`${basename(folder)}: no messages`)
    return
  }
  const disk = nodeDisk
  const listing: SegmentListing = existsSync(segmentFolder(folder))
    ? listSegments(disk, segmentFolder(folder))
    : { segments: [], broken: [] }
  const replay = new Replay(keepNothing, queues.keys())
  for (const { runs } of listing.segments) {
    for (const { queue, from, to } of runs) replay.addStored(queue, from, to)
  }
  const end = new WalRecovery(disk, walFolder(folder), undefined, replay).run()
  for (const damage of end.damage) sayDamage(folder, damage, findings)
  for (const { path, generation } of listing.broken) {
    const text = `${basename(folder)}: segment ${basename(path)} is not whole`
    if (generation >= end.firstGeneration) findings.note(`${text}; its messages are in the log`)
    else findings.problem(text)
  }
  for (const segment of listing.segments) checkSegment(disk, folder, segment, findings)
  for (const [queue, messages] of replay.orphans) {
    findings.note(`${basename(folder)}: ${messages} messages of queue ${queue}, which is gone`)
  }
  sayQueues(folder, queues, replay, findings)
}

const keepNothing: MessageKeeper = { keep: () => 0, hold: () => {}, release: () => {} }

function sayDamage(folder: string, damage: Damage, findings: Findings): void {
  const { kind, file, offset, size } = damage
  const place = `${basename(folder)}: log file ${file} at ${offset}`
  // A write that was not finished was not confirmed either.
  if (kind === 'torn tail') findings.note(`${place}: ends in an unfinished write of ${size} bytes`)
  else if (kind === 'damaged') findings.problem(`${place}: ${size} bytes are damaged`)
  else findings.problem(`${place}: ${size} blocks before it are missing`)
}

function sayQueues(
  folder: string,
  queues: ReadonlyMap<number, StoredQueue>,
  replay: Replay,
  findings: Findings,
): void {
  let messages = 0
  let named = 0
  for (const [id, replayed] of replay.queues) {
    const count = replayed.count + replayed.stored.count
    const queue = queues.get(id)
    messages += count
    if (count === 0 || queue === undefined || ++named > queuesNamedMax) continue
    findings.note(`queue '${queue.name}' in vhost '${queue.vhost}': ${count} messages`)
  }
  findings.note(`${basename(folder)}: ${messages} messages in ${replay.queues.size} queues`)
}

function checkSegment(
  disk: Disk,
  folder: string,
  { path, size, generation }: StoredSegment,
  findings: Findings,
): void {
  const memory = Buffer.from(new ArrayBuffer(windowBytes))
  const fd = disk.open(path, false)
  try {
    const end = size - footerBytes
    for (let at = 0; at < end; ) {
      const read = Math.min(disk.read(fd, memory, 0, windowBytes, at), end - at)
      const reader = new BlockReader(memory, read, generation)
      let next = 0
      while (next < read && reader.look(next) === 'valid') next = reader.following()
      if (next === 0) {
        const found = reader.findValid(blockAlign)
        next = found > 0 ? found : read
        findings.problem(
          `${basename(folder)}: segment ${basename(path)} at ${at}: ${next} bytes are damaged`,
        )
      }
      at += next
    }
  } finally {
    disk.close(fd)
  }
}
