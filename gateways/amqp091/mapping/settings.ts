// The part of the configuration that an AMQP 0-9-1 session looks at, read once per gateway thread.

import type { Values } from '../../../shared/config/lookup.ts'
import { flag, integer, text, words } from '../../../shared/config/lookup.ts'

/** Sizes in bytes, times in milliseconds unless the name says otherwise; 0 is "no limit" or "off". */
export interface AmqpSettings {
  readonly product: string
  readonly version: string
  readonly clusterName: string
  readonly mechanisms: readonly string[]
  readonly anonymousUser: string
  readonly anonymousPassword: string
  readonly handshakeTimeoutMs: number
  readonly initialFrameMax: number
  readonly frameMax: number
  readonly channelMax: number
  readonly heartbeatSeconds: number
  readonly messageSizeMax: number
  readonly consumersPerChannelMax: number
  readonly globalQosPermitted: boolean
}

/** Picks what the session needs; a key that is missing or of another kind has its default. */
export function readSettings(values: Values): AmqpSettings {
  return {
    product: text(values, 'product.name'),
    version: text(values, 'product.version'),
    clusterName: text(values, 'cluster_name'),
    mechanisms: words(values, 'auth_mechanisms'),
    anonymousUser: text(values, 'anonymous_login_user'),
    anonymousPassword: text(values, 'anonymous_login_pass'),
    handshakeTimeoutMs: integer(values, 'handshake_timeout'),
    initialFrameMax: integer(values, 'initial_frame_max'),
    frameMax: integer(values, 'frame_max'),
    channelMax: integer(values, 'channel_max'),
    heartbeatSeconds: integer(values, 'heartbeat'),
    messageSizeMax: integer(values, 'max_message_size'),
    consumersPerChannelMax: integer(values, 'consumer_max_per_channel'),
    globalQosPermitted: flag(values, 'deprecated_features.permit.global_qos'),
  }
}
