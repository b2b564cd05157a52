// Ops that every shard is asked.

import type { ControlOp, ControlReply, PeerError } from '../../../shared/bus/control.ts'
import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'

/** Asks every shard to carry out `op`; `next` gets the first refusal, if there is one. */
export function requestAll(
  port: GatewayPort,
  op: ControlOp,
  next: (error: PeerError | undefined) => void,
): void {
  let left = port.shardCount
  let error: PeerError | undefined
  const onReply = (reply: ControlReply): void => {
    left--
    error ??= reply.error
    if (left === 0) next(error)
  }
  for (let shard = 0; shard < port.shardCount; shard++) port.request(shard, op, { onReply })
}
