// What of the configuration the stream protocol goes by.

import type { Config } from '../../../shared/config/schema.ts'

export interface StreamProtocolSettings {
  readonly frameMax: number
  readonly initialFrameMax: number
  readonly heartbeatSeconds: number
  /** Unconfirmed messages at which a connection is no longer read, and below which it is again. */
  readonly unconfirmedMax: number
  readonly unconfirmedLow: number
  readonly advertisedHost: string
  /** 0: the one that the client came to. */
  readonly advertisedPort: number
  readonly advertisedTlsHost: string
  readonly advertisedTlsPort: number
  readonly partitionsMax: number
  readonly batchBytesMax: number
  readonly handshakeTimeoutMs: number
  readonly mechanisms: readonly string[]
  readonly anonymousUser: string
  readonly anonymousPassword: string
  readonly clusterName: string
  readonly product: string
  readonly version: string
}

/** `values` is the resolved configuration. */
export function readSettings(values: Readonly<Record<string, unknown>>): StreamProtocolSettings {
  const config = values as unknown as Config
  return {
    frameMax: config['stream.frame_max'],
    initialFrameMax: config['stream.initial_frame_max'],
    heartbeatSeconds: config['stream.heartbeat'],
    unconfirmedMax: config['stream.initial_credits'],
    unconfirmedLow: config['stream.credits_required_for_unblocking'],
    advertisedHost: config['stream.advertised_host'],
    advertisedPort: config['stream.advertised_port'],
    advertisedTlsHost: config['stream.advertised_tls_host'],
    advertisedTlsPort: config['stream.advertised_tls_port'],
    partitionsMax: config['stream.max_super_stream_partitions'],
    batchBytesMax: config['stream.max_uncompressed_sub_entry_batch_size'],
    handshakeTimeoutMs: config.handshake_timeout,
    mechanisms: config.auth_mechanisms,
    anonymousUser: config.anonymous_login_user,
    anonymousPassword: config.anonymous_login_pass,
    clusterName: config.cluster_name,
    product: config['product.name'],
    version: config['product.version'],
  }
}
