// The streams of a shard at start: each log is read, what is unfinished is cut off, what is missing is
// told, and what belongs to streams that are gone is removed.

import { join } from 'node:path'
import type { Disk } from './disk.ts'
import {
  asideFolder,
  streamFolder,
  streamMark,
  streamMarksFolder,
  streamsFolder,
} from './layout.ts'
import type { StreamDesk } from './stream-desk.ts'
import { scanStream } from './stream-scan.ts'

/** Reads what `desk`'s streams have on disk. `verify`: the process before may not have stopped in order. */
export function recoverStreams(
  disk: Disk,
  folder: string,
  desk: StreamDesk,
  verify: boolean,
  onReport: (level: 'info' | 'warn' | 'error', text: string, fields: object) => void,
): void {
  const known = new Set<string>()
  const parent = streamsFolder(folder)
  disk.makeFolder(parent)
  const marks = streamMarksFolder(folder)
  disk.makeFolder(marks)
  const marked = new Set(disk.list(marks))
  for (const id of desk.ids()) {
    known.add(String(id))
    const path = streamFolder(folder, id)
    disk.makeFolder(path)
    const { end, first, tracking, damage } = scanStream(disk, path, verify, asideFolder(folder))
    if (damage !== undefined) {
      const { cut, ...where } = damage
      if (cut) {
        const text = 'a stream ended in a write that was not finished: cut there'
        onReport('warn', text, { stream: id, ...where })
      } else {
        onReport('error', 'a stream is damaged: readers pass that part', { stream: id, ...where })
      }
    }
    if (end.base < 0 && marked.has(String(id))) {
      onReport('error', 'the messages of a stream are gone: it starts empty', { stream: id, path })
      disk.remove(streamMark(folder, id))
    }
    const sequences = new Map<string, number>()
    for (const [reference, sequence] of tracking.sequences) sequences.set(reference, sequence.id)
    desk.restore(id, end, first, sequences, tracking.offsets)
  }
  for (const name of disk.list(parent)) {
    if (known.has(name)) continue
    onReport('warn', 'messages of a stream that is gone: removed', { stream: name })
    disk.removeFolder(join(parent, name))
  }
  for (const name of marked) if (!known.has(name)) disk.remove(join(marks, name))
}
