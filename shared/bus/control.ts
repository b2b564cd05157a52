// Control ops: rare, msgpack, request and reply. Ops marked [registry] go to shard 0, [owner] to the
// shard of the queue, [all] to every shard, [ingress] to the shard that a channel publishes through.

import { Packr } from 'msgpackr/pack'
import type { FieldTable } from '../message/value.ts'
import type { StreamOp } from './stream-op.ts'

/** Arguments travel as field tables, with their wire types. */
export type WireArguments = FieldTable

/** Gateway -> shard. `connection` and `channel` are the gateway's slot numbers. */
export type ControlOp =
  | {
      /** [registry] Reply `{ user, tags }`. Scope of refusals is connection, code 403. */
      readonly op: 'authenticate'
      readonly mechanism: string
      readonly user: string
      /** Undefined when the transport proved the identity (EXTERNAL). */
      readonly password: string | undefined
      readonly loopback: boolean
    }
  | {
      /** [registry] first, with checks; then as a notice to the other shards. `owner` is unique in the node's life. */
      readonly op: 'openConnection'
      readonly connection: number
      readonly owner: string
      readonly user: string
      readonly vhost: string
      /** The MQTT client id: what `{client_id}` in topic permissions stands for. */
      readonly clientId?: string
      /** Bytes that may be on their way to this connection's socket, per shard. */
      readonly window: number
    }
  /** [all] Reply when its unacknowledged messages are back, its consumers gone and (registry) its exclusive queues deleted. */
  | { readonly op: 'closeConnection'; readonly connection: number }
  /**
   * [all] The user's secret was renewed: consumers that may no longer read are cancelled; the
   * registry's shard refuses a user who may no longer use the vhost.
   */
  | { readonly op: 'recheckAccess'; readonly connection: number }
  /** [all] A notice; as a request, [registry] refuses it where the user has too many channels. */
  | { readonly op: 'openChannel'; readonly connection: number; readonly channel: number }
  /** [all] Reply when unacknowledged messages are back in their queues. */
  | { readonly op: 'closeChannel'; readonly channel: number }
  /** [all], notice. `limit` 0 ends token mode. */
  | { readonly op: 'globalPrefetch'; readonly channel: number; readonly limit: number }
  /**
   * [queue] Settles a delivery as the record `settle` does; a queue that keeps what consumers say of its
   * messages puts `headers` into this one. Notice.
   */
  | {
      readonly op: 'modify'
      readonly channel: number
      readonly delivery: number
      readonly outcome: number
      readonly headers: WireArguments
    }
  /** [ingress] Reply when everything the channel published before is where it was routed. */
  | { readonly op: 'fence'; readonly channel: number }
  /** [ingress] Reply when all publishes of the transaction are as durable as promised. */
  | { readonly op: 'txCommit'; readonly channel: number }
  | { readonly op: 'txRollback'; readonly channel: number }
  /** [registry] */
  | {
      readonly op: 'exchangeDeclare'
      readonly connection: number
      readonly exchange: string
      readonly type: string
      readonly passive: boolean
      readonly durable: boolean
      readonly autoDelete: boolean
      readonly internal: boolean
      readonly arguments: WireArguments
    }
  | {
      readonly op: 'exchangeDelete'
      readonly connection: number
      readonly exchange: string
      readonly ifUnused: boolean
    }
  | {
      readonly op: 'exchangeBind' | 'exchangeUnbind'
      readonly connection: number
      readonly destination: string
      readonly source: string
      readonly routingKey: string
      readonly arguments: WireArguments
    }
  /** Reply `{ queue, messages, consumers }`. */
  | {
      readonly op: 'queueDeclare'
      readonly connection: number
      readonly queue: string
      /** The gateway has made the name: it may begin with `amq.`. */
      readonly generated?: boolean
      readonly passive: boolean
      readonly durable: boolean
      readonly exclusive: boolean
      readonly autoDelete: boolean
      readonly arguments: WireArguments
    }
  | {
      readonly op: 'queueBind' | 'queueUnbind'
      readonly connection: number
      readonly queue: string
      readonly exchange: string
      readonly routingKey: string
      readonly arguments: WireArguments
    }
  /** Reply `{ messages }`. */
  | {
      readonly op: 'queueDelete'
      readonly connection: number
      readonly queue: string
      readonly ifUnused: boolean
      readonly ifEmpty: boolean
    }
  /** [owner] Reply `{ messages }`. */
  | { readonly op: 'queuePurge'; readonly connection: number; readonly queue: string }
  /**
   * [owner] Reply `{}` before the first delivery; for `amq.rabbitmq.reply-to` (any shard) `{ replyTo }`,
   * the full name to put in place of the pseudo queue's name in reply-to.
   */
  | {
      readonly op: 'consume'
      readonly channel: number
      readonly consumer: number
      readonly queue: string
      readonly tag: string
      readonly noAck: boolean
      readonly exclusive: boolean
      /** Unacknowledged deliveries allowed; 0: any number. */
      readonly prefetch: number
      /**
       * Nothing is delivered beyond what linkCredit records grant, the first of which may follow at
       * once; the delivery-count begins at 0. For any `noAck`.
       */
      readonly credited?: boolean
      /** Deliveries say where in the queue their message is: the same place as long as it is there. */
      readonly positions?: boolean
      readonly arguments: WireArguments
    }
  /** [owner] Reply after the last delivery. */
  | { readonly op: 'cancel'; readonly channel: number; readonly consumer: number }
  /** [owner] Answered by a `got` record, or by an error reply. */
  | {
      readonly op: 'get'
      readonly channel: number
      readonly queue: string
      readonly noAck: boolean
    }
  /**
   * [registry] Reply `{}` once the connection is the only one of its vhost that goes by `name`. Who
   * did before hears `claimWanted` and gives it up by closing. `ifFree`: reply `{ claimed }` at once,
   * and nobody has to give anything up.
   */
  | {
      readonly op: 'claim'
      readonly connection: number
      readonly name: string
      readonly ifFree?: boolean
    }
  /** [any] Reply `{ refused }`: for each question a PeerError, or null where the user may. */
  | {
      readonly op: 'checkAccess'
      readonly connection: number
      readonly questions: readonly AccessQuestion[]
    }
  /** [owner] Reply when what the channel has settled there is as durable as its messages were. */
  | { readonly op: 'sync'; readonly channel: number }
  /**
   * [owner] Moves an unsettled delivery to a queue of the same shard, in one commit. Reply `{ moved }`:
   * false if the log has no room now.
   */
  | {
      readonly op: 'transfer'
      readonly channel: number
      readonly deliveryId: number
      readonly queue: string
    }
  /** [all] `sink` is a consumer slot: see core/shard/sinks.ts. */
  | { readonly op: 'openSink'; readonly sink: number; readonly vhost: string }
  /** [all] Reply when it holds. `filter`: MQTT topic filter. */
  | {
      readonly op: 'bindSink' | 'unbindSink'
      readonly sink: number
      readonly exchange: string
      readonly filter: string
    }
  | KeyedOp
  | StreamOp
  /** [any shard] Reply `{}` if the connection may publish to `exchange`, and `queue`, if given, is there. */
  | {
      readonly op: 'checkTarget'
      readonly connection: number
      readonly exchange: string
      readonly queue: string | undefined
    }
  /** [owner] Reply `{ name, durable, autoDelete, exclusive, type, arguments, messages, consumers }`. */
  | { readonly op: 'describeQueue'; readonly connection: number; readonly queue: string }
  /** [any shard] Reply `{ bindings }`: each `{ routingKey, arguments }`. `routingKey` undefined: any. */
  | {
      readonly op: 'listBindings'
      readonly connection: number
      readonly source: string
      readonly destination: string
      readonly destinationKind: 'queue' | 'exchange'
      readonly routingKey: string | undefined
    }
  /** [registry] The internal API: see core/topology. Reply as there. */
  | { readonly op: 'admin'; readonly command: Readonly<Record<string, unknown>> }

/** The keyed store: what gateways keep, in tables of rows ordered by the bytes of their keys. [registry] */
export type KeyedOp =
  /** Reply `{}` when it is on disk, whole. A value of null takes the row away. */
  | {
      readonly op: 'keyedWrite'
      readonly table: string
      readonly rows: readonly (readonly [key: Uint8Array, value: Uint8Array | null])[]
    }
  /** Takes a row away. Reply `{ value }` when that is on disk: what it was, or null. One of many gets it. */
  | { readonly op: 'keyedTake'; readonly table: string; readonly key: Uint8Array }
  /** Reply `{ values }`: of each key its value, or null. */
  | { readonly op: 'keyedGet'; readonly table: string; readonly keys: readonly Uint8Array[] }
  /**
   * Reply `{ rows, next }`: some of the rows whose keys begin with `prefix`, [key, value] each, in
   * their order; `next` is null when that was all, else what to give as `after` to go on. What is
   * behind the prefix is a path, levels parted by a zero byte; `filter` says which are wanted, as an
   * MQTT topic filter does (null: all).
   */
  | {
      readonly op: 'keyedScan'
      readonly table: string
      readonly prefix: Uint8Array
      readonly filter: string | null
      readonly after: Uint8Array | null
      /** Bytes of rows after which an answer ends. */
      readonly bytesMax: number
    }

/**
 * Something that a connection's user may do or not. `topic`: write or read a key of a topic exchange;
 * `every topic`: no topic permissions stand in the way of any key.
 */
export type AccessQuestion =
  | {
      readonly kind: 'queue' | 'exchange'
      readonly name: string
      readonly access: 'configure' | 'write' | 'read'
    }
  | {
      readonly kind: 'topic'
      readonly exchange: string
      readonly key: string
      readonly access: 'write' | 'read'
    }
  | { readonly kind: 'every topic'; readonly exchange: string }

/** An error that the session turns into its protocol's own. `text` is whole: `NOT_FOUND - no queue ...`. */
export interface PeerError {
  readonly scope: 'channel' | 'connection'
  readonly code: number
  readonly text: string
}

/** Shard -> gateway, the answer to a request. */
export type ControlReply = {
  readonly error?: PeerError
  readonly [field: string]: unknown
}

/** Shard -> gateway, unasked (a `control` record with request 0). */
export type ShardEvent =
  /** A publish failed; the shard ignores the channel until it is closed. class and method of basic.publish. */
  | { readonly event: 'channelError'; readonly channel: number; readonly error: PeerError }
  /**
   * A publish with EntryFlag.lenient was refused, and that one alone. `sequence` as in the record
   * `returned`; -1: it is not to be confirmed. A confirm follows where it is.
   */
  | {
      readonly event: 'publishRefused'
      readonly channel: number
      readonly sequence: number
      readonly exchange: string
      readonly error: PeerError
    }
  /** The queue is gone (or may no longer be read). */
  | { readonly event: 'consumerCancelled'; readonly consumer: number }
  /** A stream subscription's turn has come, or goes (see StreamOp). */
  | { readonly event: 'consumerActive'; readonly consumer: number; readonly active: boolean }
  /** The stream that the channel publishes to is gone. */
  | { readonly event: 'publisherEnded'; readonly channel: number }
  /** Another connection claims the name that this one holds. */
  | { readonly event: 'claimWanted'; readonly connection: number }
  /** A delivery of the channel was not settled in time: the channel is to be closed. */
  | { readonly event: 'deliveryTimeout'; readonly channel: number; readonly timeoutMs: number }
  /** The connection publishes faster than it may: nothing of it is to be read for so long. */
  | { readonly event: 'connectionHeld'; readonly connection: number; readonly ms: number }
  /** An operator closes the connection, or its vhost went. */
  | { readonly event: 'connectionClosed'; readonly connection: number; readonly error: PeerError }

const packr = new Packr({ useRecords: false, mapsAsObjects: true })

/** msgpack of a control payload. */
export function pack(value: unknown): Uint8Array {
  return packr.pack(value)
}

/** The reverse of `pack`. The peer is a thread of ours: its shape is trusted. */
export function unpack<T>(bytes: Uint8Array): T {
  return packr.unpack(bytes) as T
}
