// The part of the configuration that an AMQP 1.0 connection looks at, read once per gateway thread.

import { settings as table } from '../../../shared/config/schema.ts'

/** Sizes in bytes, times in milliseconds unless the name says otherwise. */
export interface Amqp10Settings {
  readonly product: string
  readonly version: string
  readonly clusterName: string
  readonly mechanisms: readonly string[]
  readonly anonymousUser: string
  readonly anonymousPassword: string
  readonly handshakeTimeoutMs: number
  readonly initialFrameMax: number
  readonly frameMax: number
  readonly heartbeatSeconds: number
  readonly defaultVhost: string
  readonly messageSizeMax: number
  readonly sessionsMax: number
  readonly linksMax: number
  readonly linkCreditMax: number
  readonly incomingWindowMax: number
  readonly addressV1Permitted: boolean
}

/** Picks what a connection needs; a key that is missing or of another kind has its default. */
export function readSettings(values: Readonly<Record<string, unknown>>): Amqp10Settings {
  return {
    product: text(values, 'product.name_amqp10'),
    version: text(values, 'product.version'),
    clusterName: text(values, 'cluster_name'),
    mechanisms: words(values, 'auth_mechanisms'),
    anonymousUser: text(values, 'anonymous_login_user'),
    anonymousPassword: text(values, 'anonymous_login_pass'),
    handshakeTimeoutMs: integer(values, 'handshake_timeout'),
    initialFrameMax: integer(values, 'initial_frame_max'),
    frameMax: integer(values, 'frame_max'),
    heartbeatSeconds: integer(values, 'heartbeat'),
    defaultVhost: text(values, 'default_vhost'),
    messageSizeMax: integer(values, 'max_message_size'),
    sessionsMax: integer(values, 'session_max_per_connection'),
    linksMax: integer(values, 'link_max_per_session'),
    linkCreditMax: integer(values, 'max_link_credit'),
    incomingWindowMax: integer(values, 'max_incoming_window'),
    addressV1Permitted: flag(values, 'deprecated_features.permit.amqp_address_v1'),
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
