// What a service listens on, from the configuration.

import type { Config } from '../../shared/config/schema.ts'
import type { ListenerKey, ListenerRow, ServiceName } from '../../shared/config/services.ts'
import { serviceListeners } from '../../shared/config/services.ts'
import type { ListenerAddress } from '../../shared/config/setting.ts'

/** TLS as configured for one listener. */
export interface TlsPlan {
  readonly certFile: string
  readonly keyFile: string
  readonly caFile: string
  readonly passphrase: string
  /** Whether a client certificate is asked for. */
  readonly verifyPeer: boolean
  readonly requirePeer: boolean
  readonly minVersion: TlsVersion
  readonly maxVersion: TlsVersion
  readonly handshakeMs: number
  readonly loginFrom: CertificateLogin
}

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3'
export type CertificateLogin = Config['ssl_cert_login_from']

/** A listener that speaks HTTP and opens WebSockets. */
export interface WebPlan {
  /** Of the URL, as `/ws`; what lies below is served too. */
  readonly path: string
  /** Origins that may open one; empty, or with `*`: any. */
  readonly origins: readonly string[]
  /** Sub-protocols that are served; a client that asks for none gets the service's own protocol. */
  readonly subprotocols: readonly string[]
  /** Messages go out as binary ones whatever the sub-protocol. */
  readonly binary: boolean
  readonly payloadBytesMax: number
  /** See WebSocketOptions. */
  readonly idleMs: number
  /** HTTP Basic authentication gives the default login. */
  readonly httpAuth: boolean
}

/** One listening socket. */
export interface ListenerPlan {
  /** As in the listener lists of RabbitMQ: `amqp`, `amqp/ssl`, `http/web-stomp`. */
  readonly protocol: string
  readonly name: string
  /** Empty: every interface, IPv6 and IPv4. */
  readonly host: string
  readonly port: number
  readonly backlog: number
  readonly noDelay: boolean
  readonly keepAlive: boolean
  /** Several threads listen on the same port. */
  readonly shared: boolean
  /** Every connection begins with a PROXY header, which may take this long, milliseconds. */
  readonly proxyMs: number | undefined
  readonly tls: TlsPlan | undefined
  readonly web: WebPlan | undefined
}

/** The listeners of a service. `shared` as in `ListenerPlan`. */
export function planListeners(
  config: Config,
  service: ServiceName,
  subprotocols: readonly string[],
  shared: boolean,
): ListenerPlan[] {
  const rows: readonly ListenerRow[] = serviceListeners[service]
  return rows.flatMap((row) => {
    const addresses: readonly ListenerAddress[] = config[row.key]
    if (addresses.length === 0) return []
    const tls = row.tls ? planTls(config) : undefined
    const web = row.web === undefined ? undefined : planWeb(config, row.web, subprotocols)
    const proxy: boolean = config[row.proxy]
    return addresses.map((address) => ({
      protocol: row.protocol,
      name: address.name,
      host: address.host === '' ? defaultHost(config, row.key) : address.host,
      port: address.port,
      backlog: config['tcp_listen_options.backlog'],
      noDelay: config['tcp_listen_options.nodelay'],
      keepAlive: config['tcp_listen_options.keepalive'],
      shared,
      proxyMs: proxy ? config.handshake_timeout : undefined,
      tls,
      web,
    }))
  })
}

/** Whether several threads can listen on one port with this release of Node (`major.minor.patch`). */
export function supportsSharedPort(nodeVersion: string, platform: string): boolean {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number)
  const hasOption = major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12)
  return hasOption && platform === 'linux'
}

function defaultHost(config: Config, key: ListenerKey): string {
  if (key === 'web_stomp.tcp') return config['web_stomp.tcp.ip']
  return key === 'web_mqtt.tcp' ? config['web_mqtt.tcp.ip'] : ''
}

function planWeb(
  config: Config,
  web: 'web_mqtt' | 'web_stomp',
  subprotocols: readonly string[],
): WebPlan {
  return {
    path: config[`${web}.ws_path`],
    origins: config[`${web}.allow_origins`],
    subprotocols,
    binary: web === 'web_mqtt' || config['web_stomp.ws_frame'] === 'binary',
    payloadBytesMax: config[`${web}.ws_opts.max_frame_size`],
    idleMs: config[`${web}.ws_opts.idle_timeout`],
    httpAuth: web === 'web_stomp' && config['web_stomp.use_http_auth'],
  }
}

function planTls(config: Config): TlsPlan {
  const versions = config['ssl_options.versions']
  return {
    certFile: config['ssl_options.certfile'],
    keyFile: config['ssl_options.keyfile'],
    caFile: config['ssl_options.cacertfile'],
    passphrase: config['ssl_options.password'],
    verifyPeer: config['ssl_options.verify'] === 'verify_peer',
    requirePeer: config['ssl_options.fail_if_no_peer_cert'],
    minVersion: versions.includes('tlsv1.2') ? 'TLSv1.2' : 'TLSv1.3',
    maxVersion: versions.includes('tlsv1.3') ? 'TLSv1.3' : 'TLSv1.2',
    handshakeMs: config['ssl_handshake_timeout'],
    loginFrom: config['ssl_cert_login_from'],
  }
}
