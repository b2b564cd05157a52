// Which virtual host an MQTT client gets: RabbitMQ's rules, first match.

import type { Client } from './client.ts'
import { ask, registryShard } from './ops.ts'

/** How long global parameters are taken to hold. */
const keptMs = 1000
const portParameter = 'mqtt_port_to_vhost_mapping'
const certificateParameter = 'mqtt_default_vhosts'

/**
 * The vhost and the user name for what a client gives as user name. By certificate: the parameter
 * `mqtt_default_vhosts`, then the port's vhost, then `vhost:user`; otherwise `vhost:user`, then the
 * port's vhost; last `mqtt.vhost`.
 */
export function vhostAndUser(
  client: Client,
  name: string,
  byCertificate: boolean,
  done: (vhost: string, user: string) => void,
): void {
  const colon = name.lastIndexOf(':')
  if (!byCertificate && colon >= 0) {
    done(name.slice(0, colon), name.slice(colon + 1))
    return
  }
  globalParameters(client, (parameters) => {
    const port = String(client.host.peer.localPort)
    const byName = byCertificate ? textIn(parameters.get(certificateParameter), name) : undefined
    const byPort = textIn(parameters.get(portParameter), port)
    if (byName !== undefined) done(byName, name)
    else if (byPort !== undefined) done(byPort, name)
    else if (colon >= 0) done(name.slice(0, colon), name.slice(colon + 1))
    else done(client.settings.vhost, name)
  })
}

/** Global parameters, as they were not long ago: they are looked at for every connection. */
function globalParameters(
  client: Client,
  done: (parameters: ReadonlyMap<string, unknown>) => void,
): void {
  const { hub } = client
  const now = hub.clock.now()
  if (now < hub.parametersUntil) {
    done(hub.parameters)
    return
  }
  const command = { op: 'listGlobalParameters' }
  ask(client.port, registryShard, { op: 'admin', command }, (reply) => {
    const found = new Map<string, unknown>()
    const listed: unknown = reply['parameters'] ?? reply['items']
    if (Array.isArray(listed)) {
      for (const each of listed as readonly { name?: unknown; value?: unknown }[]) {
        if (typeof each.name === 'string') found.set(each.name, each.value)
      }
    }
    hub.parameters = found
    hub.parametersUntil = now + keptMs
    done(found)
  })
}

function textIn(table: unknown, key: string): string | undefined {
  if (typeof table !== 'object' || table === null || !Object.hasOwn(table, key)) return undefined
  const value: unknown = (table as Readonly<Record<string, unknown>>)[key]
  return typeof value === 'string' ? value : undefined
}
