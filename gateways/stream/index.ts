// The stream protocol as one of the host's protocols.

import type { Protocol, Session, SessionHost } from '../host/protocol.ts'
import type { StreamProtocolSettings } from './mapping/settings.ts'
import { readSettings } from './mapping/settings.ts'
import { StreamConnection } from './session/connection.ts'

export const stream: Protocol = {
  name: 'stream',
  createSession(host: SessionHost, settings: Readonly<Record<string, unknown>>): Session {
    let read = settingsRead.get(settings)
    if (read === undefined) {
      read = readSettings(settings)
      settingsRead.set(settings, read)
    }
    return new StreamConnection(host, read)
  },
}

// One configuration per thread: read once, not once per connection.
const settingsRead = new WeakMap<object, StreamProtocolSettings>()
