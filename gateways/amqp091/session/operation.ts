// Control ops: one at a time per connection, and each after everything that its channel sent before.
//
// The rings to different shards know nothing of each other. So where an op goes to another shard
// than the channel's messages and settlements went, these are fenced first: a fence is answered when
// what came before it on that ring has arrived where it was routed.

import type { ControlOp, ControlReply } from '../../../shared/bus/control.ts'
import type { GatewayLink, GatewayPort, RequestSink } from '../../../shared/bus/gateway-port.ts'
import type { ConnectionContext } from './connection-context.ts'

/** What a channel has sent since its last fence. */
export class Traffic {
  /** The shard that publishes go to; -1 before the first. */
  ingress: number
  published: boolean
  /** By shard: 1 where deliveries were settled. */
  readonly settled: Uint8Array

  constructor(shardCount: number) {
    this.ingress = -1
    this.published = false
    this.settled = new Uint8Array(shardCount)
  }

  /**
   * The shards to fence before an op for `shard` (-1: for all), which count as fenced from now on.
   * `always`: also where one ring carries both and order is no question.
   */
  takeFences(shard: number, always: boolean): number[] {
    const fences: number[] = []
    if (this.settled.length > 1 || always) {
      for (let i = 0; i < this.settled.length; i++) {
        // Settlements stay ahead of an op on the same ring; publishes may be forwarded to others.
        const settledElsewhere = this.settled[i] === 1 && shard >= 0 && shard !== i
        if ((this.published && i === this.ingress) || settledElsewhere) fences.push(i)
      }
    }
    this.published = false
    this.settled.fill(0)
    return fences
  }
}

/** A channel as ops see it. */
export interface OperatingChannel {
  readonly slot: number
  readonly open: boolean
  readonly traffic: Traffic
}

/** Runs `op` on `shard`; the connection reads no further before `sink` has the answer. */
export function perform(
  context: ConnectionContext,
  channel: OperatingChannel,
  shard: number,
  op: ControlOp,
  sink: RequestSink,
): void {
  context.await(channel)
  // What a publish does wrong closes the channel before anything is declared through it. Ops that
  // name the channel need no fence for that: their shard knows.
  const always = !('channel' in op)
  fence(context.port, channel, shard, always, () => {
    // If an earlier publish has closed it meanwhile, its error came first: the op is not done.
    if (channel.open) context.port.request(shard, op, new Answer(context, channel, sink))
    else context.answered(channel)
  })
}

/** Calls `next` when what the channel sent can no longer be overtaken by an op for `shard` (-1: all). */
export function fence(
  port: GatewayPort,
  channel: OperatingChannel,
  shard: number,
  always: boolean,
  next: () => void,
): void {
  const fences = channel.traffic.takeFences(shard, always)
  let left = fences.length
  if (left === 0) {
    next()
    return
  }
  const sink: RequestSink = {
    onReply: () => {
      left--
      if (left === 0) next()
    },
  }
  for (const shard of fences) port.request(shard, { op: 'fence', channel: channel.slot }, sink)
}

// Ends the wait, then hands on.
class Answer implements RequestSink {
  private readonly context: ConnectionContext
  private readonly channel: OperatingChannel
  private readonly sink: RequestSink

  constructor(context: ConnectionContext, channel: OperatingChannel, sink: RequestSink) {
    this.context = context
    this.channel = channel
    this.sink = sink
  }

  onReply(reply: ControlReply): void {
    this.context.answered(this.channel)
    this.sink.onReply(reply)
    this.context.sendLate()
  }

  onGot(link: GatewayLink, at: number, deliveryId: number, flags: number, ready: number): void {
    this.context.answered(this.channel)
    this.sink.onGot?.(link, at, deliveryId, flags, ready)
    this.context.sendLate()
  }
}
