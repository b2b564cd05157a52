// The part of the configuration that an AMQP 1.0 connection looks at, read once per gateway thread.

import type { Values } from '../../../shared/config/lookup.ts'
import { flag, integer, text, words } from '../../../shared/config/lookup.ts'

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
export function readSettings(values: Values): Amqp10Settings {
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
