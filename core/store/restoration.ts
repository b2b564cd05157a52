// From stored rows to the changes that bring everything back, leaving out what refers to things that
// are not there. Used at start and by `warren check-data`.

import { fieldOf } from '../../shared/message/value.ts'
import { exchangeTypeOf } from '../routing/exchange-types.ts'
import { compilePattern } from '../topology/name-matcher.ts'
import { compilePermissions, compileTopicPermissions } from '../topology/permissions.ts'
import { delaysByItself } from '../topology/policy-assignment.ts'
import type { TopologyChange } from '../topology/topology-change.ts'
import { decodeRow } from './metadata-rows.ts'

/** In place of a shard: messages may be on each. */
export const anyShard = -1

/** A durable queue (or exchange that holds messages back), as the check of its messages needs it. */
export interface StoredQueue {
  readonly id: number
  readonly vhost: string
  readonly name: string
  readonly shard: number
}

/** Everything that was stored. */
export interface Restoration {
  /** In an order in which they can be applied. */
  readonly changes: TopologyChange[]
  /** By id. */
  readonly queues: Map<number, StoredQueue>
  /** What else is logged as a queue: messages held back by exchanges, ids of deduplication. By id. */
  readonly inner: Map<number, StoredQueue>
  /** The largest id that may have been given out. */
  lastId: number
  /** False: the node never got its first vhost and user. */
  provisioned: boolean
  /** Rows that are not as they were written, one sentence each. */
  readonly damaged: string[]
  /** Rows that make no sense without others that are missing, one sentence each. */
  readonly dangling: string[]
}

/** Reads rows in the order of their keys. */
export function restore(
  rows: Iterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>,
): Restoration {
  const found: Restoration = {
    changes: [],
    queues: new Map(),
    inner: new Map(),
    lastId: 0,
    provisioned: false,
    damaged: [],
    dangling: [],
  }
  const known: Known = { vhosts: new Map(), ends: new Set(), users: new Set() }
  for (const { key, value } of rows) restoreRow(found, known, key, value)
  return found
}

/** What was read so far, for those who refer to it. */
interface Known {
  /** Names by id. */
  readonly vhosts: Map<number, string>
  /** `endOf` of exchanges and queues. */
  readonly ends: Set<string>
  readonly users: Set<string>
}

function restoreRow(found: Restoration, known: Known, key: Uint8Array, value: Uint8Array): void {
  let row: ReturnType<typeof decodeRow>
  try {
    row = decodeRow(key, value)
  } catch {
    row = undefined
  }
  if (row === undefined) {
    found.damaged.push(`the row ${Buffer.from(key).toString('hex')} is damaged`)
  } else if (row.change === 'lastId') {
    found.lastId = Math.max(found.lastId, row.id)
  } else if (row.change === 'provisioned') {
    found.provisioned = true
  } else {
    const problem = refer(found, known, row)
    if (problem === undefined) found.changes.push(row)
    else found.dangling.push(problem)
  }
}

/** Remembers a declared thing; says what it lacks. */
function refer(found: Restoration, known: Known, row: TopologyChange): string | undefined {
  switch (row.change) {
    case 'vhostAdded':
      known.vhosts.set(row.id, row.name)
      found.lastId = Math.max(found.lastId, row.id)
      return undefined
    case 'queuePaused':
      return known.ends.has(endOf(row.vhost, 'queue', row.name))
        ? undefined
        : `pause of queue '${row.name}': the queue is missing`
    case 'exchangeDeclared':
    case 'queueDeclared':
      return referDeclared(found, known, row)
    case 'bound': {
      const binding = `binding from '${row.source}' to ${row.destinationKind} '${row.destination}'`
      if (!known.ends.has(endOf(row.vhost, 'exchange', row.source))) {
        return `${binding}: its source is missing`
      }
      const destination = endOf(row.vhost, row.destinationKind, row.destination)
      return known.ends.has(destination) ? undefined : `${binding}: its destination is missing`
    }
    case 'userSet':
      known.users.add(row.name)
      return undefined
    case 'permissionsSet':
    case 'topicPermissionsSet':
      return referAccess(known, row)
    case 'policySet':
    case 'parameterSet':
    case 'vhostLimitsSet':
    case 'userLimitsSet':
      return referSetting(known, row)
    default:
      return `a row says '${row.change}', which is never stored`
  }
}

type Declared = Extract<TopologyChange, { readonly change: 'exchangeDeclared' | 'queueDeclared' }>

function referDeclared(found: Restoration, known: Known, row: Declared): string | undefined {
  const kind = row.change === 'queueDeclared' ? 'queue' : 'exchange'
  found.lastId = Math.max(found.lastId, row.id)
  const vhost = known.vhosts.get(row.vhost)
  if (vhost === undefined) return `${kind} '${row.name}': its vhost is missing`
  if (row.change === 'exchangeDeclared') {
    if (exchangeTypeOf(row.type) === undefined) {
      return `exchange '${row.name}': its type '${row.type}' is unknown`
    }
    // What it holds back is logged as the messages of a queue, on every shard.
    const { id, name } = row
    if (delaysByItself(row)) found.inner.set(id, { id, vhost, name, shard: anyShard })
    if (deduplicates(row)) found.inner.set(-id, { id: -id, vhost, name, shard: anyShard })
  } else {
    const { id, name, shard } = row
    found.queues.set(id, { id, vhost, name, shard })
    if (deduplicates(row)) found.inner.set(-id, { id: -id, vhost, name, shard })
  }
  known.ends.add(endOf(row.vhost, kind, row.name))
  return undefined
}

/** By type or arguments; a policy's ids are reported as those of a queue that is gone. */
function deduplicates(row: Declared): boolean {
  if (row.change === 'exchangeDeclared' && row.type === 'x-message-deduplication') return true
  return fieldOf(row.arguments, 'x-message-deduplication')?.value === true
}

type Setting = Extract<
  TopologyChange,
  { readonly change: 'policySet' | 'parameterSet' | 'vhostLimitsSet' | 'userLimitsSet' }
>

function referSetting(known: Known, row: Setting): string | undefined {
  if (row.change === 'userLimitsSet') {
    return known.users.has(row.user) ? undefined : `limits of user '${row.user}': it is missing`
  }
  const what = row.change === 'policySet' ? `policy '${row.policy.name}'` : row.change
  if (row.vhost !== undefined && !known.vhosts.has(row.vhost))
    return `${what}: its vhost is missing`
  if (row.change !== 'policySet') return undefined
  const pattern = compilePattern(row.policy.pattern)
  return 'problem' in pattern ? `${what}: ${pattern.problem}` : undefined
}

type Access = Extract<TopologyChange, { readonly change: 'permissionsSet' | 'topicPermissionsSet' }>

function referAccess(known: Known, row: Access): string | undefined {
  const what = `permissions of user '${row.user}' in vhost '${row.vhost}'`
  if (!known.users.has(row.user)) return `${what}: the user is missing`
  if (![...known.vhosts.values()].includes(row.vhost)) return `${what}: the vhost is missing`
  const compiled =
    row.change === 'permissionsSet'
      ? compilePermissions(row)
      : compileTopicPermissions(row.user, row.vhost, row)
  return typeof compiled === 'string' ? `${what}: ${compiled}` : undefined
}

function endOf(vhost: number, kind: 'queue' | 'exchange', name: string): string {
  return `${vhost} ${kind} ${name}`
}
