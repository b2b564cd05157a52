// The part of the configuration that a STOMP session looks at, read once per gateway thread.

import type { Values } from '../../../shared/config/lookup.ts'
import { flag, integer, text, words } from '../../../shared/config/lookup.ts'

/** Sizes in bytes, times in milliseconds. */
export interface StompSettings {
  /** `product/version`, or empty: it is not told. */
  readonly server: string
  readonly defaultVhost: string
  readonly defaultUser: string
  readonly defaultPassword: string
  readonly certificateLogin: boolean
  readonly implicitConnect: boolean
  readonly topicExchange: string
  readonly nackRequeues: boolean
  readonly trailingLineFeed: boolean
  readonly loginTimeoutMs: number
  readonly frameMax: number
  readonly frameMaxUnauthenticated: number
  readonly messageSizeMax: number
  readonly loopbackUsers: readonly string[]
}

/** Picks what the session needs; a key that is missing or of another kind has its default. */
export function readSettings(values: Values): StompSettings {
  const server = `${text(values, 'product.name')}/${text(values, 'product.version')}`
  return {
    server: flag(values, 'stomp.hide_server_info') ? '' : server,
    defaultVhost: text(values, 'stomp.default_vhost'),
    defaultUser: text(values, 'stomp.default_user'),
    defaultPassword: text(values, 'stomp.default_pass'),
    certificateLogin: flag(values, 'stomp.ssl_cert_login'),
    implicitConnect: flag(values, 'stomp.implicit_connect'),
    topicExchange: text(values, 'stomp.default_topic_exchange'),
    nackRequeues: flag(values, 'stomp.default_nack_requeue'),
    trailingLineFeed: flag(values, 'stomp.trailing_lf'),
    loginTimeoutMs: integer(values, 'stomp.login_timeout'),
    frameMax: integer(values, 'stomp.max_frame_size'),
    frameMaxUnauthenticated: integer(values, 'stomp.max_frame_size_unauthenticated'),
    messageSizeMax: integer(values, 'max_message_size'),
    loopbackUsers: words(values, 'loopback_users'),
  }
}
