// What a protocol listens on, from the configuration.

import type { Config } from '../../shared/config/schema.ts'
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

/** One listening socket. */
export interface ListenerPlan {
  /** As in the listener lists of RabbitMQ: `amqp`, `amqp/ssl`. */
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
  readonly tls: TlsPlan | undefined
}

/** The listeners of AMQP. `shared` as in `ListenerPlan`. */
export function planAmqpListeners(config: Config, shared: boolean): ListenerPlan[] {
  const tls = config['listeners.ssl'].length > 0 ? planTls(config) : undefined
  return [
    ...config['listeners.tcp'].map((address) => plan(config, address, 'amqp', shared, undefined)),
    ...config['listeners.ssl'].map((address) => plan(config, address, 'amqp/ssl', shared, tls)),
  ]
}

/** Whether several threads can listen on one port with this release of Node (`major.minor.patch`). */
export function supportsSharedPort(nodeVersion: string, platform: string): boolean {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number)
  const hasOption = major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12)
  return hasOption && platform === 'linux'
}

function plan(
  config: Config,
  address: ListenerAddress,
  protocol: string,
  shared: boolean,
  tls: TlsPlan | undefined,
): ListenerPlan {
  return {
    protocol,
    name: address.name,
    host: address.host,
    port: address.port,
    backlog: config['tcp_listen_options.backlog'],
    noDelay: config['tcp_listen_options.nodelay'],
    keepAlive: config['tcp_listen_options.keepalive'],
    shared,
    tls,
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
