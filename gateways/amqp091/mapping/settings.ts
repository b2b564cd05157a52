// The part of the configuration that an AMQP 0-9-1 session looks at, read once per gateway thread.

import { settings as table } from '../../../shared/config/schema.ts'

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
export function readSettings(values: Readonly<Record<string, unknown>>): AmqpSettings {
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

type Values = Readonly<Record<string, unknown>>
type Key = keyof typeof table

function text(values: Values, key: Key): string {
  const value = values[key] ?? table[key].default
  return typeof value === 'string' ? value : ''
}

function integer(values: Values, key: Key): number {
  const value = values[key] ?? table[key].default
  // `infinity` is how the table writes "no limit".
  return typeof value === 'number' ? value : Number.POSITIVE_INFINITY
}

function flag(values: Values, key: Key): boolean {
  return (values[key] ?? table[key].default) === true
}

function words(values: Values, key: Key): readonly string[] {
  const value: unknown = values[key] ?? table[key].default
  return Array.isArray(value) ? value.filter((word) => typeof word === 'string') : []
}
