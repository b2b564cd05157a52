// What is declared and has to come back after a restart, as rows of a key-value store.
//
//   key    kind (u8), then its parts: ids as u32, texts as length (u16) and UTF-8 bytes
//   value  CRC-32 of the key and of what follows (u32), then msgpack of the change that declares it
//
// Integers are big-endian and kinds are numbered so that rows in the order of their keys can be
// applied one after the other. Policies, parameters and limits have keys that begin with the key of
// their vhost or user: they come right after it, and before all that a policy may apply to. Which row a change writes or removes is decided here, with the
// topology as it is before the change.

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { assert } from '../../shared/assert.ts'
import { pack, unpack } from '../../shared/bus/control.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import { canonicalTable } from '../routing/field-equality.ts'
import type {
  BindingRecord,
  ExchangeRecord,
  QueueRecord,
  VhostRecord,
} from '../topology/records.ts'
import type { Topology } from '../topology/topology.ts'
import type {
  BindingChange,
  LimitsChange,
  ParameterChange,
  PolicyChange,
  TopologyChange,
} from '../topology/topology-change.ts'
import type { RowBatch } from './row-batch.ts'

/** What a row says: a declaration, or a fact about the node itself. */
export type MetadataRow =
  | TopologyChange
  /** No id up to this one may be given out again. */
  | { readonly change: 'lastId'; readonly id: number }
  /** The first vhost and user were made: the node is not blank, whatever was deleted since. */
  | { readonly change: 'provisioned' }

/** The first byte of a key. */
const Kind = {
  node: 1,
  vhost: 2,
  user: 3,
  permission: 4,
  topicPermission: 5,
  exchange: 6,
  queue: 7,
  binding: 8,
} as const
type Kind = (typeof Kind)[keyof typeof Kind]

/** LMDB takes keys up to 1978 bytes; a longer one is replaced by its hash, since the row says it all. */
const keySizeMax = 1024

/** Appends to `batch` what `change` writes and removes. Call it before `change` is applied to `topology`. */
export function collectRows(topology: Topology, change: TopologyChange, batch: RowBatch): void {
  switch (change.change) {
    case 'vhostAdded':
      return put(batch, key(Kind.vhost, change.id), change)
    case 'vhostChanged': {
      const { name } = vhostOf(topology, change.id)
      return put(batch, key(Kind.vhost, change.id), { ...change, change: 'vhostAdded', name })
    }
    case 'vhostDeleted':
      return removeVhost(topology, vhostOf(topology, change.id), batch)
    case 'exchangeDeclared':
      if (change.durable) put(batch, key(Kind.exchange, change.vhost, change.name), change)
      return
    case 'exchangeDeleted':
      return removeExchange(vhostOf(topology, change.vhost).exchanges.get(change.name), batch)
    case 'queueDeclared':
      if (change.durable) put(batch, key(Kind.queue, change.vhost, change.name), change)
      return
    case 'queuePaused':
      return collectPauseRow(topology, change, batch)
    case 'queueDeleted':
      return removeQueue(vhostOf(topology, change.vhost).queues.get(change.name), batch)
    case 'bound':
      if (isDurableBinding(topology, change)) put(batch, bindingKey(change), change)
      return
    case 'unbound':
      if (isDurableBinding(topology, change)) batch.remove(bindingKey(change))
      return
    case 'policySet':
    case 'policyCleared':
    case 'parameterSet':
    case 'parameterCleared':
    case 'vhostLimitsSet':
    case 'userLimitsSet':
      return collectSettingRow(change, batch)
    default:
      return collectAccessRows(topology, change, batch)
  }
}

/** Its key begins with that of the queue, so it comes after it. */
function collectPauseRow(
  topology: Topology,
  change: Extract<TopologyChange, { readonly change: 'queuePaused' }>,
  batch: RowBatch,
): void {
  const { vhost, name, paused } = change
  if (vhostOf(topology, vhost).queues.get(name)?.durable !== true) return
  const rowKey = key(Kind.queue, vhost, name, 'paused')
  if (paused) put(batch, rowKey, change)
  else batch.remove(rowKey)
}

function collectSettingRow(
  change: PolicyChange | ParameterChange | LimitsChange,
  batch: RowBatch,
): void {
  switch (change.change) {
    case 'policySet':
      return put(batch, policyKey(change.vhost, change.operator, change.policy.name), change)
    case 'policyCleared':
      return batch.remove(policyKey(change.vhost, change.operator, change.name))
    case 'parameterSet':
      return put(batch, parameterKey(change), change)
    case 'parameterCleared':
      return batch.remove(parameterKey(change))
    case 'vhostLimitsSet':
      return put(batch, key(Kind.vhost, change.vhost, 'limits'), change)
    case 'userLimitsSet':
      return put(batch, key(Kind.user, change.user, 'limits'), change)
  }
}

function policyKey(vhost: number, operator: boolean, name: string): Uint8Array {
  return key(Kind.vhost, vhost, operator ? 'operator_policy' : 'policy', name)
}

function parameterKey({ vhost, component, name }: ParameterChange): Uint8Array {
  if (vhost === undefined) return key(Kind.node, 'parameter', name)
  return key(Kind.vhost, vhost, 'parameter', component, name)
}

/** Appends a fact about the node itself. */
export function collectNodeRow(
  row: Extract<MetadataRow, { readonly change: 'lastId' | 'provisioned' }>,
  batch: RowBatch,
): void {
  put(batch, key(Kind.node, row.change), row)
}

/** The row that is stored under `rowKey`; undefined when key or value are not as they were written. */
export function decodeRow(rowKey: Uint8Array, value: Uint8Array): MetadataRow | undefined {
  if (value.length < 5) return undefined
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  const body = value.subarray(4)
  if (view.getUint32(0) !== crc32(body, crc32(rowKey))) return undefined
  return unpack<MetadataRow>(body)
}

type AccessChange = Extract<
  TopologyChange,
  { readonly change: `user${string}` | `permissions${string}` | `topicPermissions${string}` }
>

function collectAccessRows(topology: Topology, change: AccessChange, batch: RowBatch): void {
  switch (change.change) {
    case 'userSet':
      return put(batch, key(Kind.user, change.name), change)
    case 'userDeleted': {
      batch.remove(key(Kind.user, change.name))
      batch.remove(key(Kind.user, change.name, 'limits'))
      for (const vhost of topology.vhosts.values()) {
        removeAccess(topology, change.name, vhost.name, batch)
      }
      return
    }
    case 'permissionsSet':
      return put(batch, key(Kind.permission, change.user, change.vhost), change)
    case 'permissionsCleared':
      return batch.remove(key(Kind.permission, change.user, change.vhost))
    case 'topicPermissionsSet':
      return put(
        batch,
        key(Kind.topicPermission, change.user, change.vhost, change.exchange),
        change,
      )
    case 'topicPermissionsCleared': {
      const { user, vhost, exchange } = change
      if (exchange === undefined) removeTopicAccess(topology, user, vhost, batch)
      else batch.remove(key(Kind.topicPermission, user, vhost, exchange))
    }
  }
}

function removeAccess(topology: Topology, user: string, vhost: string, batch: RowBatch): void {
  if (topology.users.get(user)?.permissions.has(vhost) === true) {
    batch.remove(key(Kind.permission, user, vhost))
  }
  removeTopicAccess(topology, user, vhost, batch)
}

function removeTopicAccess(topology: Topology, user: string, vhost: string, batch: RowBatch): void {
  const exchanges = topology.users.get(user)?.topicPermissions.get(vhost)
  for (const exchange of exchanges?.keys() ?? []) {
    batch.remove(key(Kind.topicPermission, user, vhost, exchange))
  }
}

function removeVhost(topology: Topology, vhost: VhostRecord, batch: RowBatch): void {
  batch.remove(key(Kind.vhost, vhost.id))
  batch.remove(key(Kind.vhost, vhost.id, 'limits'))
  for (const { name } of vhost.policies.list()) batch.remove(policyKey(vhost.id, false, name))
  for (const { name } of vhost.operatorPolicies.list()) {
    batch.remove(policyKey(vhost.id, true, name))
  }
  for (const [component, parameters] of vhost.parameters) {
    for (const name of parameters.keys()) {
      batch.remove(key(Kind.vhost, vhost.id, 'parameter', component, name))
    }
  }
  for (const user of topology.users.keys()) removeAccess(topology, user, vhost.name, batch)
  for (const exchange of vhost.exchanges.values()) removeExchange(exchange, batch)
  for (const queue of vhost.queues.values()) removeQueue(queue, batch)
}

function removeExchange(exchange: ExchangeRecord | undefined, batch: RowBatch): void {
  if (exchange === undefined || !exchange.durable) return
  batch.remove(key(Kind.exchange, exchange.vhost.id, exchange.name))
  for (const binding of exchange.outbound.values()) removeBinding(binding, batch)
  for (const binding of exchange.inbound) removeBinding(binding, batch)
}

function removeQueue(queue: QueueRecord | undefined, batch: RowBatch): void {
  if (queue === undefined || !queue.durable) return
  batch.remove(key(Kind.queue, queue.vhost.id, queue.name))
  if (queue.paused) batch.remove(key(Kind.queue, queue.vhost.id, queue.name, 'paused'))
  for (const binding of queue.inbound) removeBinding(binding, batch)
}

function removeBinding(binding: BindingRecord, batch: RowBatch): void {
  const { source, destination, routingKey } = binding
  if (!source.durable || !destination.durable) return
  batch.remove(
    bindingKey({
      vhost: source.vhost.id,
      source: source.name,
      destinationKind: destination.kind,
      destination: destination.name,
      routingKey,
      arguments: binding.arguments,
    }),
  )
}

/** A binding comes back only when both of its ends do. */
function isDurableBinding(topology: Topology, change: BindingChange): boolean {
  const vhost = vhostOf(topology, change.vhost)
  const ends = change.destinationKind === 'queue' ? vhost.queues : vhost.exchanges
  const source = vhost.exchanges.get(change.source)
  return source?.durable === true && ends.get(change.destination)?.durable === true
}

function vhostOf(topology: Topology, id: number): VhostRecord {
  const vhost = topology.vhostsById.get(id)
  assert(vhost !== undefined, 'a change names a vhost that there is')
  return vhost
}

function put(batch: RowBatch, rowKey: Uint8Array, row: MetadataRow): void {
  const body = pack(row)
  const value = new Uint8Array(4 + body.length)
  new DataView(value.buffer).setUint32(0, crc32(body, crc32(rowKey)))
  value.set(body, 4)
  batch.put(rowKey, value)
}

function bindingKey(binding: Omit<BindingChange, 'change'>): Uint8Array {
  const { vhost, source, destinationKind, destination, routingKey } = binding
  const hash = argumentsHash(binding.arguments)
  return key(Kind.binding, vhost, source, destinationKind, destination, routingKey, hash)
}

/** Tells apart bindings that differ in arguments alone; they may be of any length. */
function argumentsHash(table: FieldTable): string {
  if (table.length === 0) return ''
  return createHash('sha256').update(canonicalTable(table)).digest('base64url')
}

function key(kind: Kind, ...parts: readonly (number | string)[]): Uint8Array {
  const pieces: Buffer[] = [Buffer.of(kind)]
  for (const part of parts) {
    const text = typeof part === 'string' ? Buffer.from(part) : undefined
    const head = Buffer.alloc(text === undefined ? 4 : 2)
    if (typeof part === 'number') head.writeUInt32BE(part)
    else head.writeUInt16BE(Math.min(text?.length ?? 0, 0xffff))
    pieces.push(head)
    if (text !== undefined) pieces.push(text)
  }
  const whole = Buffer.concat(pieces)
  if (whole.length <= keySizeMax) return whole
  return Buffer.concat([Buffer.of(kind), createHash('sha256').update(whole).digest()])
}
