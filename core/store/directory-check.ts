// `warren check-data`: reads a whole data directory that no broker uses, changes nothing, and says
// what it finds.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { lockDirectory } from './directory-lock.ts'
import { keyedFolder, metadataFolder } from './layout.ts'
import { findDamagedPages } from './lmdb-pages.ts'
import { DataDirectoryError, hasCleanStop, readFacts } from './node-directory.ts'
import type { StoredQueue } from './restoration.ts'
import { anyShard, restore } from './restoration.ts'

/** Exit codes of the command. */
export const CheckResult = {
  sound: 0,
  /** Something that was stored cannot be read, or lacks what it refers to. */
  damaged: 1,
  /** No data directory, one in use, or one of a newer format. */
  unchecked: 3,
} as const
export type CheckResult = (typeof CheckResult)[keyof typeof CheckResult]

/** Where findings go, one line each. */
export interface Findings {
  /** What is there and sound. */
  note(text: string): void
  /** What is damaged or missing. */
  problem(text: string): void
}

/** Checks the messages of one shard. `queues` are the durable queues of that shard, by id. */
export type ShardChecker = (
  folder: string,
  queues: ReadonlyMap<number, StoredQueue>,
  salt: number,
  findings: Findings,
) => void

/** Checks the data directory at `path`; `checkShard` is called for each of its shards. */
export async function checkData(
  path: string,
  checkShard: ShardChecker,
  write: (line: string) => void,
): Promise<CheckResult> {
  let problems = 0
  const findings: Findings = {
    note: write,
    problem: (text) => {
      problems++
      write(`PROBLEM: ${text}`)
    },
  }
  const release = await lock(path, findings)
  if (release === undefined) return CheckResult.unchecked
  try {
    if (!checkFacts(path, checkShard, findings)) return CheckResult.unchecked
  } finally {
    release()
  }
  write(problems === 0 ? 'everything can be read' : `${problems} problems`)
  return problems === 0 ? CheckResult.sound : CheckResult.damaged
}

async function lock(path: string, findings: Findings): Promise<(() => void) | undefined> {
  if (!existsSync(path)) {
    findings.problem(`${path}: no such directory`)
    return undefined
  }
  try {
    const outcome = await lockDirectory(path)
    if (outcome.kind === 'locked') return outcome.release
    if (outcome.kind === 'busy') {
      findings.problem(`${path} is in use by process ${outcome.pid ?? '?'}: stop the broker first`)
      return undefined
    }
  } catch {
    findings.note('the directory cannot be written to, so a running broker would not be noticed')
  }
  return () => {}
}

/** False where there is nothing to check. */
function checkFacts(path: string, checkShard: ShardChecker, findings: Findings): boolean {
  try {
    const facts = readFacts(path)
    if (facts === undefined) {
      findings.problem(`${path} is no data directory: it holds no node.json`)
      return false
    }
    const stop = hasCleanStop(path) ? 'stopped in order' : 'not stopped in order'
    findings.note(
      `${path}: format ${facts.format}, made by Warren ${facts.version}, ${facts.shards} shards, ${stop}`,
    )
    const queues = checkMetadata(path, findings)
    for (let shard = 0; shard < facts.shards; shard++) {
      const own = [...queues].filter(
        ([, queue]) => queue.shard === shard || queue.shard === anyShard,
      )
      checkShard(join(path, `shard-${shard}`), new Map(own), facts.salt, findings)
    }
    checkKeyed(path, findings)
    sayUnknown(path, facts.shards, findings)
    for (const { name, vhost, shard } of queues.values()) {
      if (shard < facts.shards) continue
      findings.problem(
        `queue '${name}' in vhost '${vhost}' is on shard ${shard}, which is not there`,
      )
    }
    return true
  } catch (error) {
    if (!(error instanceof DataDirectoryError)) throw error
    findings.problem(error.message)
    return false
  }
}

/** Says how many rows gateways keep, by table. */
function checkKeyed(path: string, findings: Findings): void {
  const file = join(keyedFolder(path), 'data.mdb')
  if (!existsSync(file)) return
  const tables = new Map<string, number>()
  const damagedPages = findDamagedPages(file, (key) => {
    const end = key.indexOf(0)
    const table = Buffer.from(key.subarray(0, Math.max(0, end))).toString()
    tables.set(table, (tables.get(table) ?? 0) + 1)
  })
  for (const text of damagedPages) findings.problem(`${file}: ${text}`)
  const counts = [...tables].map(([table, rows]) => `${rows} in '${table}'`)
  findings.note(`rows of gateways: ${counts.length === 0 ? 'none' : counts.join(', ')}`)
}

/** Says what lies there that no start looks at. */
function sayUnknown(path: string, shards: number, findings: Findings): void {
  for (const name of readdirSync(path).sort()) {
    const shard = /^shard-(\d+)(?:-begun)?$/.exec(name)?.[1]
    if (shard !== undefined && Number(shard) >= shards) {
      findings.problem(`${join(path, name)}: there are ${shards} shards, numbered from 0`)
    } else if (
      shard === undefined &&
      !/^(?:node\.json|clean-stop|metadata|keyed|lock.*)$/.test(name)
    ) {
      findings.note(`${join(path, name)}: not a part of the data directory`)
    }
  }
}

/** Says what the metadata holds; returns the durable queues by id. */
function checkMetadata(path: string, findings: Findings): ReadonlyMap<number, StoredQueue> {
  const file = join(metadataFolder(path), 'data.mdb')
  if (!existsSync(file)) {
    findings.note('metadata: none')
    return new Map()
  }
  const rows: { key: Uint8Array; value: Uint8Array }[] = []
  const damagedPages = findDamagedPages(file, (key, value) => rows.push({ key, value }))
  for (const text of damagedPages) findings.problem(`${file}: ${text}`)
  const { changes, queues, inner, damaged, dangling, provisioned } = restore(rows)
  const count = (kind: string): number => changes.filter(({ change }) => change === kind).length
  findings.note(
    `metadata: ${count('vhostAdded')} vhosts, ${count('userSet')} users, ` +
      `${count('exchangeDeclared')} exchanges, ${queues.size} queues, ${count('bound')} bindings`,
  )
  for (const text of [...damaged, ...dangling]) findings.problem(`${file}: ${text}`)
  if (!provisioned) findings.note('metadata: the first start has not ended')
  return new Map([...queues, ...inner])
}
