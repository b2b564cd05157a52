// What vhosts and users may have of connections, channels and queues, and the refusals where they
// would have more. A limit of 0 forbids, a negative one limits nothing.

import type { PeerError } from '../../shared/errors.ts'
import { connectionError } from '../../shared/errors.ts'
import type { Limits, VhostRecord } from './records.ts'
import { preconditionFailed } from './refusals.ts'

/** The limits there are, by what they limit. The publish rates are Warren's own. */
export const vhostLimitNames: readonly string[] = [
  'max-connections',
  'max-queues',
  'max-publish-rate',
]
export const userLimitNames: readonly string[] = [
  'max-connections',
  'max-channels',
  'max-publish-rate',
]

/** The limit of that name, undefined where there is none. */
export function limitOf(limits: Limits, name: string): number | undefined {
  const value = limits[name]
  return value === undefined || value < 0 ? undefined : value
}

/** For connection.open to a vhost that has `open` connections: undefined, or the 530. */
export function checkVhostConnections(
  vhost: VhostRecord,
  user: string,
  open: number,
): PeerError | undefined {
  const max = limitOf(vhost.limits, 'max-connections')
  if (max === undefined || open < max) return undefined
  return connectionError(
    'NOT_ALLOWED',
    `access to vhost '${vhost.name}' refused for user '${user}': ` +
      `connection limit (${max}) is reached`,
  )
}

/** For connection.open of a user who has `open` connections: undefined, or the 530. */
export function checkUserConnections(
  limits: Limits,
  user: string,
  open: number,
): PeerError | undefined {
  const max = limitOf(limits, 'max-connections')
  if (max === undefined || open < max) return undefined
  return connectionError(
    'NOT_ALLOWED',
    `connection refused for user '${user}': user connection limit (${max}) is reached`,
  )
}

/** For channel.open of a user who has `open` channels: undefined, or the 530. */
export function checkUserChannels(
  limits: Limits,
  user: string,
  open: number,
): PeerError | undefined {
  const max = limitOf(limits, 'max-channels')
  if (max === undefined || open < max) return undefined
  return connectionError(
    'NOT_ALLOWED',
    `number of channels opened for user '${user}' has reached the maximum allowed ` +
      `user limit of (${max})`,
  )
}

/** For a queue that is to be made: undefined, or the 406. */
export function checkVhostQueues(vhost: VhostRecord, queue: string): PeerError | undefined {
  const max = limitOf(vhost.limits, 'max-queues')
  if (max === undefined || vhost.queues.size < max) return undefined
  return preconditionFailed(
    `cannot declare queue '${queue}': queue limit in vhost '${vhost.name}' (${max}) is reached`,
  )
}
