// Control ops: one at a time per connection, and each after everything that its session sent before.
//
// The rings to different shards know nothing of each other. So where an op may overtake messages or
// settlements that went to another shard, these are fenced first: a fence is answered when what came
// before it on that ring has arrived where it was routed.

import type { ControlOp, ControlReply } from '../../../shared/bus/control.ts'
import type { ConnectionContext } from './connection-context.ts'

/** The shard of the registry, where everything is declared. */
export const registryShard = 0

/** What a session has sent since its last fence. */
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

  /** The shards to fence, which count as fenced from now on. */
  takeFences(): number[] {
    const fences: number[] = []
    for (let shard = 0; shard < this.settled.length; shard++) {
      if (this.settled[shard] === 1 || (this.published && shard === this.ingress))
        fences.push(shard)
    }
    this.published = false
    this.settled.fill(0)
    return fences
  }
}

/** A session as ops see it. */
export interface Operator {
  readonly context: ConnectionContext
  /** Its slot on the bus. */
  readonly slot: number
  /** False: what was asked for it is no longer wanted. */
  readonly open: boolean
  readonly traffic: Traffic
}

/** Runs `op` on `shard`, after what the session has sent; the connection reads no further before `done`. */
export function perform(
  session: Operator,
  shard: number,
  op: ControlOp,
  done: (reply: ControlReply) => void,
): void {
  const { context } = session
  context.await(session)
  fence(session, () => {
    if (!session.open) {
      context.answered(session)
      return
    }
    context.port.request(shard, op, {
      onReply: (reply) => {
        context.answered(session)
        if (session.open) done(reply)
      },
    })
  })
}

/** Runs `done` when what the session has sent is where it belongs; the connection reads no further before. */
export function settleDown(session: Operator, done: () => void): void {
  const { context } = session
  context.await(session)
  fence(session, () => {
    context.answered(session)
    if (session.open) done()
  })
}

/** Calls `next` when what the session sent can no longer be overtaken. */
export function fence({ context, slot, traffic }: Operator, next: () => void): void {
  const fences = traffic.takeFences()
  let left = fences.length
  if (left === 0) {
    next()
    return
  }
  const onReply = (): void => {
    left--
    if (left === 0) next()
  }
  for (const shard of fences)
    context.port.request(shard, { op: 'fence', channel: slot }, { onReply })
}
