// AMQP 1.0 as one of the host's protocols.

import type { Protocol, Session, SessionHost } from '../host/protocol.ts'
import type { Amqp10Settings } from './mapping/settings.ts'
import { readSettings } from './mapping/settings.ts'
import { Amqp10Connection } from './session/connection.ts'

export const amqp10: Protocol = {
  name: 'amqp10',
  createSession(host: SessionHost, settings: Readonly<Record<string, unknown>>): Session {
    let read = settingsRead.get(settings)
    if (read === undefined) {
      read = readSettings(settings)
      settingsRead.set(settings, read)
    }
    return new Amqp10Connection(host, read)
  },
}

// One configuration per thread: read once, not once per connection.
const settingsRead = new WeakMap<object, Amqp10Settings>()
