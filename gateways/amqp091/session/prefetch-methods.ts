// basic.qos.

import type { PeerError } from '../../../shared/errors.ts'
import type { MethodOf } from '../codec/method.ts'
import { notImplemented } from '../mapping/refusals.ts'
import type { Channel } from './channel.ts'

/** Sets the prefetch of consumers to come, or with `global` one for the whole channel. */
export function setPrefetch(
  channel: Channel,
  method: MethodOf<'basic.qos'>,
): PeerError | undefined {
  const { context } = channel
  const { prefetchSize, prefetchCount } = method
  if (prefetchSize !== 0) return notImplemented(`prefetch_size!=0 (${prefetchSize})`)
  // Where global prefetch is turned off RabbitMQ takes it as the other kind, without a word.
  if (method.global && context.settings.globalQosPermitted) {
    if (prefetchCount !== 0 || channel.globalPrefetch.limit !== 0) {
      context.port.notifyAll({
        op: 'globalPrefetch',
        channel: channel.slot,
        limit: prefetchCount,
      })
      channel.globalPrefetch.setLimit(prefetchCount)
    }
  } else {
    channel.prefetch = prefetchCount
  }
  context.send(channel.number, { kind: 'basic.qos-ok' })
  return undefined
}
