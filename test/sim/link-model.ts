// One gateway-to-shard link as its records tell it: what went in, what was handled, what came out.

import type { Arena } from '../../shared/bus/arena.ts'
import type { ControlOp, ControlReply, ShardEvent } from '../../shared/bus/control.ts'
import { unpack } from '../../shared/bus/control.ts'
import type { LinkMemory } from '../../shared/bus/link.ts'
import {
  controlHeaderWords,
  deliverEntryAt,
  deliveryCost,
  EntryFlag,
  publishEntryAt,
  Record,
} from '../../shared/bus/wire.ts'
import type { SimEntry } from '../support/sim-entry.ts'
import { readEntry } from '../support/sim-entry.ts'
import type { ChannelModel, ConnectionModel, ConsumerModel, RequestModel } from './model.ts'
import { RingTap } from './ring-tap.ts'

/** What a gateway wrote; `end` is the ring position behind it. */
export type Input = { readonly end: number } & (
  | { readonly kind: 'publish'; channel: number; flags: number; entry: SimEntry }
  | { readonly kind: 'settle'; channel: number; id: number; outcome: number; upTo: boolean }
  | { readonly kind: 'credit'; connection: number; bytes: number }
  | { readonly kind: 'linkCredit'; consumer: number; count: number; credit: number; flags: number }
  | { readonly kind: 'other' }
  | { readonly kind: 'control'; op: ControlOp; request: RequestModel | undefined }
)

/** What a shard wrote. */
export type Output =
  | {
      readonly kind: 'deliver' | 'got'
      /** Consumer, or request of a `got`. */
      target: number
      id: number
      redelivered: boolean
      settled: boolean
      empty: boolean
      cost: number
      /** Undefined where `empty`. */
      entry: SimEntry | undefined
    }
  | { readonly kind: 'confirm'; channel: number; count: number; nack: boolean }
  | { readonly kind: 'linkState'; consumer: number; count: number; credit: number; flags: number }
  | { readonly kind: 'returned'; channel: number; entry: SimEntry }
  | { readonly kind: 'reply'; request: number; reply: ControlReply }
  | { readonly kind: 'event'; event: ShardEvent }
  | { readonly kind: 'other' }

export class LinkModel {
  readonly id: number
  readonly gateway: number
  readonly shard: number
  readonly connections: Map<number, ConnectionModel> = new Map()
  readonly channels: Map<number, ChannelModel> = new Map()
  readonly consumers: Map<number, ConsumerModel> = new Map()
  readonly requests: Map<number, RequestModel> = new Map()
  lost = false
  private readonly arena: Arena
  private readonly toShard: RingTap
  private readonly toGateway: RingTap
  private inputs: Input[] = []
  private inParts: Buffer[] = []
  private outParts: Buffer[] = []

  constructor(memory: LinkMemory, gateway: number, shard: number, arena: Arena) {
    this.id = memory.id
    this.gateway = gateway
    this.shard = shard
    this.arena = arena
    this.toShard = new RingTap(memory.toShard)
    this.toGateway = new RingTap(memory.toGateway)
  }

  /** The gateway has flushed: notes what it wrote; `onRequest` sees each control op that wants an answer. */
  listen(onRequest: (request: RequestModel) => void): void {
    const tap = this.toShard
    for (let i = tap.next(); i >= 0; i = tap.next()) {
      const input = this.input(i, onRequest)
      if (input !== undefined) this.inputs.push(input)
    }
  }

  /** Takes the inputs that the shard has handled. */
  takeHandled(): Input[] {
    let count = 0
    while (count < this.inputs.length && this.toShard.passed((this.inputs[count] as Input).end))
      count++
    return this.inputs.splice(0, count)
  }

  /** Takes what the shard has written since the last call. */
  takeOutputs(): Output[] {
    const outputs: Output[] = []
    const tap = this.toGateway
    for (let i = tap.next(); i >= 0; i = tap.next()) {
      const output = this.output(i)
      if (output !== undefined) outputs.push(output)
    }
    return outputs
  }

  private input(i: number, onRequest: (request: RequestModel) => void): Input | undefined {
    const { words, end } = this.toShard
    const type = (words[i] as number) & 255
    const [a, b, c, d] = [1, 2, 3, 4].map((k) => words[i + k] as number) as Four
    if (type === Record.publish) {
      const entry = readEntry(this.arena, words, i + publishEntryAt)
      return { end, kind: 'publish', channel: a, flags: b, entry }
    }
    if (type === Record.settle) {
      return { end, kind: 'settle', channel: a, id: b, outcome: c, upTo: d === 1 }
    }
    if (type === Record.credit) return { end, kind: 'credit', connection: a, bytes: b }
    if (type === Record.linkCredit)
      return { end, kind: 'linkCredit', consumer: a, count: b, credit: c, flags: d }
    if (type !== Record.control) return { end, kind: 'other' }
    const payload = join(this.toShard, i, this.inParts)
    if (payload === undefined) return undefined
    const op = unpack<ControlOp>(payload)
    const none = { queue: undefined, consumer: undefined, channel: undefined, binding: undefined }
    const request: RequestModel | undefined = a === 0 ? undefined : { op, ...none, before: 0 }
    if (request !== undefined) {
      this.requests.set(a, request)
      onRequest(request)
    }
    return { end, kind: 'control', op, request }
  }

  private output(i: number): Output | undefined {
    const { words } = this.toGateway
    const type = (words[i] as number) & 255
    const [a, b, c] = [1, 2, 3].map((k) => words[i + k] as number) as Four
    if (type === Record.deliver || type === Record.got) {
      const at = i + deliverEntryAt
      const empty = (c & EntryFlag.empty) !== 0
      return {
        kind: type === Record.got ? 'got' : 'deliver',
        target: a,
        id: b,
        redelivered: (c & EntryFlag.redelivered) !== 0,
        settled: (c & EntryFlag.settled) !== 0,
        empty,
        cost: deliveryCost(
          words[at + 2] as number,
          words[at + 4] as number,
          words[at + 5] as number,
        ),
        entry: empty ? undefined : readEntry(this.arena, words, at),
      }
    }
    if (type === Record.confirm) return { kind: 'confirm', channel: a, count: b, nack: c === 1 }
    if (type === Record.returned) {
      const entry = readEntry(this.arena, words, i + deliverEntryAt)
      return { kind: 'returned', channel: a, entry }
    }
    if (type === Record.linkState) {
      const flags = words[i + 5] as number
      return { kind: 'linkState', consumer: a, count: b, credit: c, flags }
    }
    if (type !== Record.control && type !== Record.reply) return { kind: 'other' }
    const payload = join(this.toGateway, i, this.outParts)
    if (payload === undefined) return undefined
    return type === Record.reply
      ? { kind: 'reply', request: a, reply: unpack<ControlReply>(payload) }
      : { kind: 'event', event: unpack<ShardEvent>(payload) }
  }
}

type Four = [number, number, number, number]

/** The whole control payload once its last part is at `i`. */
function join(tap: RingTap, i: number, parts: Buffer[]): Buffer | undefined {
  const at = (i + controlHeaderWords) * 4
  parts.push(Buffer.from(tap.bytes.subarray(at, at + (tap.words[i + 2] as number))))
  return tap.words[i + 3] === 1 ? undefined : Buffer.concat(parts.splice(0))
}
