// Operators' ops on one queue that every shard and a restart have to know of: pause and resume.

import type { Decision, RegistryContext } from './decision.ts'
import { decided, refused, unchanged } from './decision.ts'
import { noQueue, noSuch } from './refusals.ts'
import type { QueueControlOp } from './registry-op.ts'

/** A paused queue takes messages and gives none. Reply `{}`, also where nothing changes. */
export function setPaused(context: RegistryContext, op: QueueControlOp): Decision {
  const vhost = context.topology.vhosts.get(op.vhost)
  if (vhost === undefined) return refused(noSuch('vhost', op.vhost))
  const queue = vhost.queues.get(op.queue)
  if (queue === undefined) return refused(noQueue(op.queue, vhost.name))
  const paused = op.op === 'pauseQueue'
  if (queue.paused === paused) return unchanged()
  return decided([{ change: 'queuePaused', vhost: vhost.id, name: queue.name, paused }])
}
