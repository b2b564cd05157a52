// STOMP 1.0, 1.1 and 1.2 as one of the host's protocols.

import type { Protocol, Session, SessionHost } from '../host/protocol.ts'
import type { StompSettings } from './mapping/settings.ts'
import { readSettings } from './mapping/settings.ts'
import { StompConnection } from './session/connection.ts'

export const stomp: Protocol = {
  name: 'stomp',
  createSession(host: SessionHost, settings: Readonly<Record<string, unknown>>): Session {
    let read = settingsRead.get(settings)
    if (read === undefined) {
      read = readSettings(settings)
      settingsRead.set(settings, read)
    }
    return new StompConnection(host, read)
  },
}

// One configuration per thread: read once, not once per connection.
const settingsRead = new WeakMap<object, StompSettings>()
