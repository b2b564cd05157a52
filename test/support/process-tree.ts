// What a broker's processes look like from outside (Linux: /proc).

import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** Whether this system can tell. */
export const canInspectProcesses: boolean = existsSync('/proc/self/task')

/** Process ids of the direct children. */
export function childrenOf(pid: number): number[] {
  const children: number[] = []
  for (const task of tasksOf(pid)) {
    const list = readOrEmpty(`/proc/${pid}/task/${task}/children`)
    for (const child of list.split(' ')) if (child !== '') children.push(Number(child))
  }
  return children
}

/** Resident memory of a process and everything below it, in bytes. Shared pages count once each. */
export function residentBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readOrEmpty(`/proc/${pid}/status`))?.[1] ?? '0'
  const below = childrenOf(pid).reduce((sum, child) => sum + residentBytes(child), 0)
  return Number(kib) * 1024 + below
}

function tasksOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    // The process has just gone.
    return []
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // The process has just gone.
    return ''
  }
}
