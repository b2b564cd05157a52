// AMQP 0-9-1 as one of the host's protocols.

import type { Protocol, Session, SessionHost } from '../host/protocol.ts'
import type { AmqpSettings } from './mapping/settings.ts'
import { readSettings } from './mapping/settings.ts'
import { AmqpConnection } from './session/connection.ts'

export const amqp091: Protocol = {
  name: 'amqp091',
  createSession(host: SessionHost, settings: Readonly<Record<string, unknown>>): Session {
    let read = settingsRead.get(settings)
    if (read === undefined) {
      read = readSettings(settings)
      settingsRead.set(settings, read)
    }
    return new AmqpConnection(host, read)
  },
}

// One configuration per thread: read once, not once per connection.
const settingsRead = new WeakMap<object, AmqpSettings>()
