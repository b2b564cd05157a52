// What our open tells the client. Client libraries turn features on by it, so names are RabbitMQ's.

import { hostname } from 'node:os'
import type { AmqpMap } from '../codec/value.ts'
import { symbol, utf8 } from '../codec/value.ts'
import type { Amqp10Settings } from './settings.ts'

/** Link pairs (management), and a target without address. */
export const CAPABILITIES: readonly string[] = ['LINK_PAIR_V1_0', 'ANONYMOUS-RELAY']

/** The properties of our open. */
export function serverProperties(settings: Amqp10Settings): AmqpMap {
  const texts: Readonly<Record<string, string>> = {
    node: nodeName(),
    cluster_name: settings.clusterName,
    copyright: 'Copyright the authors of Warren',
    information: 'Licensed under the Apache License 2.0',
    platform: `Node.js ${process.versions.node}`,
    product: settings.product,
    version: settings.version,
  }
  return Object.entries(texts).map(([key, value]) => [symbol(key), utf8(value)])
}

/** How this node is called where a queue's leader is named. */
export function nodeName(): string {
  return `warren@${hostname().split('.')[0] ?? ''}`
}

/** The vhost that the hostname in a client's open selects. */
export function vhostOf(hostname: string | undefined, settings: Amqp10Settings): string {
  return hostname?.startsWith('vhost:') === true
    ? hostname.slice('vhost:'.length)
    : settings.defaultVhost
}
