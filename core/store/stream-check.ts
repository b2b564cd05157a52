// Reads every chunk of every stream of a shard offline.

import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Findings } from './directory-check.ts'
import type { Disk } from './disk.ts'
import { streamMarksFolder, streamsFolder } from './layout.ts'
import type { StoredQueue } from './restoration.ts'
import { inspectSegment, segmentBases, segmentPath } from './stream-scan.ts'

/** `queues` are the durable queues of the shard, by id; `folder` is the shard's. */
export function checkStreams(
  disk: Disk,
  folder: string,
  queues: ReadonlyMap<number, StoredQueue>,
  findings: Findings,
): void {
  const parent = streamsFolder(folder)
  const marked = new Set(listed(disk, streamMarksFolder(folder)))
  for (const name of listed(disk, parent)) {
    const queue = queues.get(Number(name))
    if (queue === undefined) {
      findings.note(`${basename(folder)}: stream ${name}, which is gone`)
    } else if (checkStream(disk, join(parent, name), titleOf(queue), findings) > 0) {
      marked.delete(name)
    }
  }
  for (const name of marked) {
    const queue = queues.get(Number(name))
    if (queue !== undefined) findings.problem(`${titleOf(queue)}: its messages are gone`)
  }
}

function listed(disk: Disk, folder: string): string[] {
  if (!existsSync(folder)) return []
  return disk.list(folder).sort((a, b) => Number(a) - Number(b))
}

function titleOf({ name, vhost }: StoredQueue): string {
  return `stream '${name}' in vhost '${vhost}'`
}

/** How many segments there are. */
function checkStream(disk: Disk, folder: string, title: string, findings: Findings): number {
  const bases = segmentBases(disk, folder)
  let next = bases[0] ?? 0
  let messages = 0
  for (const base of bases) {
    const path = segmentPath(folder, base)
    if (base !== next) findings.problem(`${title}: messages ${next} to ${base - 1} are missing`)
    const found = inspectSegment(disk, folder, base)
    messages += found.next - base
    next = found.next
    if (found.damage !== undefined) {
      const { offset, size } = found.damage
      findings.problem(`${title}: ${path} at ${offset}: ${size} bytes are damaged`)
    }
    if (found.wholeTo === found.size) continue
    const bytes = found.size - found.wholeTo
    // What was not finished was not confirmed either.
    const text = `${path} at ${found.wholeTo}: the last ${bytes} bytes are no whole chunks`
    if (base === bases.at(-1)) findings.note(`${title}: ${text}; a start would cut them off`)
    else findings.problem(`${title}: ${text}`)
  }
  findings.note(`${title}: ${messages} messages in ${bases.length} segments`)
  return bases.length
}
