// Checks the files of one shard offline: replays the log without keeping messages, and looks at every
// block of every segment.

import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import type { Findings } from './directory-check.ts'
import type { Disk } from './disk.ts'
import { nodeDisk } from './disk.ts'
import { keepNothing } from './entry-keeper.ts'
import { asideFolder, segmentFolder, walFolder } from './layout.ts'
import type { Damage } from './recovery.ts'
import { WalRecovery } from './recovery.ts'
import { Replay } from './replay.ts'
import type { StoredQueue } from './restoration.ts'
import type { SegmentListing, StoredSegment } from './segment-reader.ts'
import { eachBlock, listSegments } from './segment-reader.ts'
import { isUnfinished, missingSegments } from './segment-state.ts'
import { checkStreams } from './stream-check.ts'
import { hasBegun } from './wal.ts'
import { queueOfKey } from './wal-queue.ts'

/** Queues that are named one by one; of more, only the sum is told. */
const queuesNamedMax = 50

/** A ShardChecker (see directory-check.ts). */
export function checkShard(
  folder: string,
  queues: ReadonlyMap<number, StoredQueue>,
  salt: number,
  findings: Findings,
): void {
  const disk = nodeDisk
  if (!existsSync(walFolder(folder))) {
    if (hasBegun(disk, walFolder(folder))) findings.problem(`${basename(folder)}: its log is gone`)
    else findings.note(`${basename(folder)}: no messages`)
    return
  }
  const listing: SegmentListing = existsSync(segmentFolder(folder))
    ? listSegments(disk, segmentFolder(folder), salt)
    : { segments: [], broken: [] }
  const replay = new Replay(keepNothing, queues.keys())
  for (const { runs } of listing.segments) {
    for (const run of runs) replay.addStored(run)
  }
  const end = new WalRecovery(
    { disk, folder: walFolder(folder), salt, aside: undefined },
    replay,
  ).run()
  for (const damage of end.damage) sayDamage(folder, damage, findings)
  for (const { path, generation, number } of listing.broken) {
    const text = `${basename(folder)}: segment ${basename(path)} is not whole`
    if (isUnfinished({ generation, number }, end, replay)) {
      findings.note(`${text}; its messages are in the log`)
    } else findings.problem(text)
  }
  for (const name of missingSegments(listing, replay)) {
    findings.problem(`${basename(folder)}: segment ${name} is missing`)
  }
  for (const segment of listing.segments) checkSegment(disk, folder, segment, salt, findings)
  if (replay.incomplete > 0) {
    findings.problem(`${basename(folder)}: of ${replay.incomplete} messages a part is damaged`)
  }
  for (const [queue, messages] of replay.orphans) {
    findings.note(`${basename(folder)}: ${messages} messages of queue ${queue}, which is gone`)
  }
  sayQueues(folder, queues, replay, findings)
  checkStreams(disk, folder, queues, findings)
  sayAside(disk, folder, findings)
}

/** What earlier starts could not read. */
function sayAside(disk: Disk, folder: string, findings: Findings): void {
  const aside = asideFolder(folder)
  const files = existsSync(aside) ? disk.list(aside).length : 0
  if (files > 0) findings.note(`${aside}: ${files} files that earlier starts could not read`)
}

function sayDamage(folder: string, damage: Damage, findings: Findings): void {
  const { kind, file, offset, size } = damage
  const place = `${basename(folder)}: log file ${file} at ${offset}`
  // A write that was not finished was not confirmed either.
  if (kind === 'torn tail') findings.note(`${place}: ends in an unfinished write of ${size} bytes`)
  else if (kind === 'gone') findings.problem(`${basename(folder)}: its log is gone`)
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
  // Levels of a queue with priorities are told together.
  const counts = new Map<number, number>()
  for (const [key, replayed] of replay.queues) {
    const id = queueOfKey(key)
    counts.set(id, (counts.get(id) ?? 0) + replayed.count + replayed.stored.count)
  }
  for (const [id, count] of counts) {
    const queue = queues.get(id)
    messages += count
    if (count === 0 || queue === undefined || ++named > queuesNamedMax) continue
    findings.note(`queue '${queue.name}' in vhost '${queue.vhost}': ${count} messages`)
  }
  findings.note(`${basename(folder)}: ${messages} messages in ${counts.size} queues`)
}

function checkSegment(
  disk: Disk,
  folder: string,
  segment: StoredSegment,
  salt: number,
  findings: Findings,
): void {
  const name = `${basename(folder)}: segment ${basename(segment.path)}`
  eachBlock(
    disk,
    segment,
    salt,
    () => {},
    (at, bytes) => findings.problem(`${name} at ${at}: ${bytes} bytes are damaged`),
  )
}
