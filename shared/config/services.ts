// What a node serves, and by which settings: one row per kind of listener. Core starts threads by
// this table, gateways open listeners by it.

import type { Config } from './schema.ts'

/** A setting that says where to listen. */
export type ListenerKey =
  | 'listeners.tcp'
  | 'listeners.ssl'
  | 'mqtt.listeners.tcp'
  | 'mqtt.listeners.ssl'
  | 'web_mqtt.tcp'
  | 'web_mqtt.ssl'
  | 'stomp.listeners.tcp'
  | 'stomp.listeners.ssl'
  | 'web_stomp.tcp'
  | 'web_stomp.ssl'
  | 'stream.listeners.tcp'
  | 'stream.listeners.ssl'

/** The listeners of one setting. */
export interface ListenerRow {
  readonly key: ListenerKey
  /** As RabbitMQ names it in its listener lists. */
  readonly protocol: string
  readonly tls: boolean
  /** WebSockets; the prefix of their settings. */
  readonly web: 'web_mqtt' | 'web_stomp' | undefined
  /** The setting that says whether connections begin with a PROXY header. */
  readonly proxy:
    | 'proxy_protocol'
    | 'mqtt.proxy_protocol'
    | 'web_mqtt.proxy_protocol'
    | 'stomp.proxy_protocol'
    | 'web_stomp.proxy_protocol'
    | 'stream.proxy_protocol'
}

/** A protocol with its listeners. */
export type ServiceName = 'amqp' | 'mqtt' | 'stomp' | 'stream'

/** By service, in the order in which they are opened. */
export const serviceListeners: Readonly<Record<ServiceName, readonly ListenerRow[]>> = {
  amqp: socketRows('amqp', 'listeners.tcp', 'listeners.ssl', 'proxy_protocol'),
  mqtt: [
    ...socketRows('mqtt', 'mqtt.listeners.tcp', 'mqtt.listeners.ssl', 'mqtt.proxy_protocol'),
    ...webRows('web-mqtt', 'web_mqtt', 'web_mqtt.proxy_protocol'),
  ],
  stomp: [
    ...socketRows('stomp', 'stomp.listeners.tcp', 'stomp.listeners.ssl', 'stomp.proxy_protocol'),
    ...webRows('web-stomp', 'web_stomp', 'web_stomp.proxy_protocol'),
  ],
  stream: socketRows(
    'stream',
    'stream.listeners.tcp',
    'stream.listeners.ssl',
    'stream.proxy_protocol',
  ),
}

/** Every setting that says where to listen with TLS. */
export const tlsListenerKeys: readonly ListenerKey[] = Object.values(serviceListeners)
  .flat()
  .filter(({ tls }) => tls)
  .map(({ key }) => key)

/** How many addresses `config` gives a service. */
export function countListeners(config: Config, service: ServiceName): number {
  let count = 0
  for (const { key } of serviceListeners[service]) count += config[key].length
  return count
}

function socketRows(
  protocol: string,
  tcp: ListenerKey,
  ssl: ListenerKey,
  proxy: ListenerRow['proxy'],
): readonly ListenerRow[] {
  return [
    { key: tcp, protocol, tls: false, web: undefined, proxy },
    { key: ssl, protocol: `${protocol}/ssl`, tls: true, web: undefined, proxy },
  ]
}

function webRows(
  protocol: string,
  web: 'web_mqtt' | 'web_stomp',
  proxy: ListenerRow['proxy'],
): readonly ListenerRow[] {
  return [
    { key: `${web}.tcp`, protocol: `http/${protocol}`, tls: false, web, proxy },
    { key: `${web}.ssl`, protocol: `https/${protocol}`, tls: true, web, proxy },
  ]
}
