// The refusals that more than one place gives, each text once.

import type { PeerError } from '../../shared/errors.ts'
import { channelError } from '../../shared/errors.ts'
import type { QueueRecord } from './records.ts'

/** How texts name a thing: `queue 'q' in vhost '/'`. */
export function resourceText(kind: 'exchange' | 'queue', name: string, vhost: string): string {
  return `${kind} '${name}' in vhost '${vhost}'`
}

export function noQueue(name: string, vhost: string): PeerError {
  return channelError('NOT_FOUND', `no ${resourceText('queue', name, vhost)}`)
}

export function noExchange(name: string, vhost: string): PeerError {
  return channelError('NOT_FOUND', `no ${resourceText('exchange', name, vhost)}`)
}

/** For basic.publish to an exchange with the internal flag. */
export function internalExchange(name: string, vhost: string): PeerError {
  return channelError(
    'ACCESS_REFUSED',
    `cannot publish to internal ${resourceText('exchange', name, vhost)}`,
  )
}

export function defaultExchangeRefusal(): PeerError {
  return channelError('ACCESS_REFUSED', 'operation not permitted on the default exchange')
}

/** Undefined where the connection `owner` may use the queue, else the 405. */
export function checkExclusive(queue: QueueRecord, owner: string): PeerError | undefined {
  return queue.owner === undefined || queue.owner === owner ? undefined : lockedQueue(queue)
}

export function lockedQueue(queue: QueueRecord): PeerError {
  const resource = resourceText('queue', queue.name, queue.vhost.name)
  return channelError(
    'RESOURCE_LOCKED',
    `cannot obtain exclusive access to locked ${resource}. It could be originally declared on ` +
      'another connection or the exclusive property value does not match that of the original ' +
      'declaration.',
  )
}

/** What an operator asks can't be: `text` whole, without a protocol's name for it. */
export function badRequest(text: string): PeerError {
  return { scope: 'channel', code: 400, text }
}

/** An operator names a vhost or user that there is not. */
export function noSuch(kind: 'user' | 'vhost', name: string): PeerError {
  return channelError('NOT_FOUND', `no ${kind} '${name}'`)
}

/** A 406 for what a declare or bind asks. */
export function preconditionFailed(explanation: string): PeerError {
  return channelError('PRECONDITION_FAILED', explanation)
}

export function systemExchangeRefusal(name: string, vhost: string): PeerError {
  const resource = resourceText('exchange', name, vhost)
  return channelError('ACCESS_REFUSED', `deletion of system ${resource} not allowed`)
}
