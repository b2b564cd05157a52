// Nodes that the broker makes for a link.

import { randomBytes } from 'node:crypto'
import { Descriptor } from '../codec/spec.ts'
import type { AmqpMap } from '../codec/value.ts'
import { symbol, ulong } from '../codec/value.ts'

/** Capabilities by which a client says what it wants. */
export const temporaryQueue = 'temporary-queue'
export const volatileQueue = 'rabbitmq:volatile-queue'

/** lifetime-policy delete-on-close: the node goes with the link. */
export const dynamicNodeProperties: AmqpMap = [
  [
    symbol('lifetime-policy'),
    {
      type: 'described',
      descriptor: ulong(Descriptor.deleteOnClose),
      value: { type: 'list', value: [] },
    },
  ],
]

/** A name that nobody can guess; container and link make it easy to recognise (3.5.4). */
export function dynamicQueueName(containerId: string, link: string): string {
  const secret = randomBytes(16).toString('base64url')
  const own = `amq.dyn-${containerId}-${link}-${secret}`
  return Buffer.byteLength(containerId + link) < 150 ? own : `amq.dyn.gen-${secret}`
}
