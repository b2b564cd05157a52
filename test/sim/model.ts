// What a node of shards promises, as plain values: messages, their copies in queues, consumers.

import type { ControlOp } from '../../shared/bus/control.ts'
import type { SimEntry } from '../support/sim-entry.ts'
import type { CreditModel } from './credit-model.ts'

/** Something happened that the model does not allow. */
export class Violation extends Error {}

export function check(condition: boolean, text: () => string): asserts condition {
  if (!condition) throw new Violation(text())
}

/** A message in one queue. */
export interface Copy {
  readonly message: MessageModel
  readonly queue: QueueModel
  /**
   * pending: its transaction commits; coming: on its way from another shard; purging: a purge may
   * have dropped it this turn; maybe: what happened to it can't be told from outside.
   */
  state: 'pending' | 'coming' | 'ready' | 'purging' | 'unacked' | 'maybe' | 'gone'
  /** The turn in which it became ready. */
  since: number
  deliveries: number
  /** When it has to be gone, if it waits then. */
  expiry: number
}

export interface MessageModel {
  readonly id: number
  readonly entry: SimEntry
  readonly flags: number
  /** Count of its publisher's messages before it. */
  seq: number
  publisher: ChannelModel | undefined
  readonly copies: Map<QueueModel, Copy>
  /** Whether it found no queue. */
  unroutable: 'yes' | 'no' | 'maybe'
  returned: boolean
  /** For a message of a transaction: how many changes of the topology came before its commit. */
  routedAt: number
}

export interface QueueModel {
  readonly name: string
  readonly shard: number
  autoDelete: boolean
  singleActive: boolean
  /** Messages may leave by themselves: what happened to one can't be told from outside. */
  bounded: boolean
  /** Undefined: they don't expire. */
  ttl: number | undefined
  /** It may refuse messages. */
  refuses: boolean
  priorityMax: number
  /** The connection that owns it, if exclusive. */
  owner: string | undefined
  /** The topology's id; -1 before it is known. */
  id: number
  status: 'arriving' | 'present' | 'leaving' | 'gone'
  /** Declares without an answer. */
  declares: number
  /** Reasons to leave that have not been refused. */
  leaving: number
  readonly copies: Set<Copy>
  consumers: ConsumerModel[]
  active: ConsumerModel | undefined
  /** Copies delivered in this turn. */
  served: Copy[]
}

export interface ConsumerModel {
  readonly slot: number
  readonly channel: ChannelModel
  readonly queue: QueueModel
  readonly noAck: boolean
  readonly prefetch: number
  /** Of a credited consumer. */
  readonly credit: CreditModel | undefined
  readonly registered: number
  unacked: number
  /** The shard has answered its consume op. */
  ok: boolean
  /** Its end was handled in this turn. */
  ending: boolean
}

export interface ConnectionModel {
  readonly owner: string
  readonly window: number
  outstanding: number
}

/** A channel as one shard sees it. */
export interface ChannelModel {
  readonly slot: number
  readonly connection: ConnectionModel
  readonly unacked: Map<number, Unacked>
  lastDelivery: number
  published: number
  /** Publishes in confirm mode without an answer, in order. */
  awaiting: MessageModel[]
  /** Of an open transaction. */
  held: MessageModel[]
  /** Of a transaction that commits. */
  committing: MessageModel[]
  failed: boolean
  ending: boolean
}

export interface Unacked {
  readonly copy: Copy
  readonly consumer: ConsumerModel | undefined
}

/** A control op that waits for its answer. */
export interface RequestModel {
  readonly op: ControlOp
  queue: QueueModel | undefined
  consumer: ConsumerModel | undefined
  channel: ChannelModel | undefined
  binding: BindingModel | undefined
  /** Publishes of the channel before it. */
  before: number
}

export interface BindingModel {
  readonly exchange: string
  readonly queue: QueueModel
  readonly key: string
  /** changing: a bind or unbind has no answer yet. */
  status: 'changing' | 'present' | 'gone'
  /** The status before the requests that are open. */
  before: 'changing' | 'present' | 'gone'
  requests: number
  /** Requests met: their answers don't tell what came of them. */
  conflict: boolean
}
