// CONNACK: what the server tells a client it accepts, and whom it refuses.

import type { Version } from '../codec/constants.ts'
import { Reason, Version as Versions } from '../codec/constants.ts'
import type { ConnectPacket, ServerPacket } from '../codec/packets.ts'
import type { MqttSettings } from './settings.ts'

/** What was settled for a connection. */
export interface Accepted {
  readonly version: Version
  /** There was a session. */
  readonly present: boolean
  readonly clientId: string
  readonly expirySeconds: number
  /** Seconds; 0: none. */
  readonly keepAlive: number
}

export function connackFor(
  settings: MqttSettings,
  packet: ConnectPacket,
  accepted: Accepted,
): ServerPacket {
  const { present, version } = accepted
  if (version !== Versions.mqtt5) {
    // [MQTT-3.2.2-1]: MQTT 3.1 knows no session present.
    const sessionPresent = present && version === Versions.mqtt311
    return { cmd: 'connack', returnCode: 0, sessionPresent }
  }
  const assigned = packet.clientId === '' ? { assignedClientIdentifier: accepted.clientId } : {}
  const keepAlive =
    accepted.keepAlive === (packet.keepalive ?? 0) ? {} : { serverKeepAlive: accepted.keepAlive }
  const window = settings.receiveMaximum < 65535 ? { receiveMaximum: settings.receiveMaximum } : {}
  const retain = settings.retained ? {} : { retainAvailable: false }
  return {
    cmd: 'connack',
    reasonCode: 0,
    sessionPresent: present,
    properties: {
      sessionExpiryInterval: accepted.expirySeconds,
      maximumPacketSize: settings.packetSizeAuthenticated,
      topicAliasMaximum: settings.topicAliasMaximum,
      ...window,
      ...retain,
      ...assigned,
      ...keepAlive,
    },
  }
}

/** The CONNACK that refuses: `reason` as in MQTT 5. */
export function connectRefusal(version: Version, reason: number): ServerPacket {
  if (version === Versions.mqtt5) {
    return { cmd: 'connack', reasonCode: reason, sessionPresent: false }
  }
  return { cmd: 'connack', returnCode: returnCode(reason), sessionPresent: false }
}

/** The return code of MQTT 3.1.1 [3.2.2.3]; what it has none for is "server unavailable", as in RabbitMQ. */
function returnCode(reason: number): number {
  switch (reason) {
    case Reason.unsupportedVersion:
      return 1
    case Reason.clientIdNotValid:
      return 2
    case Reason.badUserOrPassword:
      return 4
    case Reason.notAuthorized:
    case Reason.quotaExceeded:
      return 5
    default:
      return 3
  }
}
