// MQTT as one of the host's protocols.

import type { GatewayPort } from '../../shared/bus/gateway-port.ts'
import type { Log } from '../../shared/log.ts'
import type { Attendant, Clock, Protocol, Session, SessionHost } from '../host/protocol.ts'
import { readSettings } from './mapping/settings.ts'
import { MqttConnection } from './session/connection.ts'
import { Hub } from './session/hub.ts'

export const mqtt: Protocol = {
  name: 'mqtt',
  createSession(host: SessionHost, settings: Readonly<Record<string, unknown>>): Session {
    return new MqttConnection(host, hubOf(host.port, host.log, settings, host))
  },
  attend(
    port: GatewayPort,
    log: Log,
    settings: Readonly<Record<string, unknown>>,
    clock: Clock,
  ): Attendant {
    return hubOf(port, log, settings, clock)
  },
}

// One per thread.
const hubs = new WeakMap<GatewayPort, Hub>()

function hubOf(
  port: GatewayPort,
  log: Log,
  settings: Readonly<Record<string, unknown>>,
  clock: Clock,
): Hub {
  let hub = hubs.get(port)
  if (hub === undefined) {
    hub = new Hub(port, log, readSettings(settings), clock)
    hubs.set(port, hub)
  }
  return hub
}
