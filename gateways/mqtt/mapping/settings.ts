// The part of the configuration that MQTT sessions look at, read once per gateway thread.

import { settings as table } from '../../../shared/config/schema.ts'

/** Sizes in bytes; infinity is "no limit". */
export interface MqttSettings {
  readonly allowAnonymous: boolean
  readonly anonymousUser: string
  readonly anonymousPassword: string
  readonly vhost: string
  readonly exchange: string
  readonly loginTimeoutMs: number
  readonly packetSizeUnauthenticated: number
  readonly packetSizeAuthenticated: number
  readonly sessionExpirySecondsMax: number
  readonly prefetch: number
  readonly receiveMaximum: number
  readonly retained: boolean
  readonly topicAliasMaximum: number
  readonly durableQueueType: 'classic' | 'quorum'
  readonly certificateLogin: boolean
  /** What of a certificate the client id must be; empty: nothing. */
  readonly clientIdFrom: string
  readonly disconnectOnUnauthorized: boolean
  readonly keepAliveSecondsMax: number
  /** What a session may have waiting for its socket of QoS 0 before the policy takes over. */
  readonly slowConsumerBytes: number
  readonly slowConsumerPolicy: 'drop' | 'disconnect'
  readonly banAfter: number
  readonly banMs: number
  readonly sysIntervalMs: number
  readonly version: string
}

/** Picks what sessions need; a key that is missing or of another kind has its default. */
export function readSettings(values: Readonly<Record<string, unknown>>): MqttSettings {
  return {
    allowAnonymous: flag(values, 'mqtt.allow_anonymous'),
    anonymousUser: text(values, 'anonymous_login_user'),
    anonymousPassword: text(values, 'anonymous_login_pass'),
    vhost: text(values, 'mqtt.vhost'),
    exchange: text(values, 'mqtt.exchange'),
    loginTimeoutMs: number(values, 'mqtt.login_timeout'),
    packetSizeUnauthenticated: number(values, 'mqtt.max_packet_size_unauthenticated'),
    packetSizeAuthenticated: number(values, 'mqtt.max_packet_size_authenticated'),
    sessionExpirySecondsMax: number(values, 'mqtt.max_session_expiry_interval_seconds'),
    prefetch: number(values, 'mqtt.prefetch'),
    receiveMaximum: number(values, 'mqtt.receive_maximum'),
    retained: text(values, 'mqtt.retained_message_store') !== 'rabbit_mqtt_retained_msg_store_noop',
    topicAliasMaximum: number(values, 'mqtt.topic_alias_maximum'),
    durableQueueType: text(values, 'mqtt.durable_queue_type') === 'quorum' ? 'quorum' : 'classic',
    certificateLogin: flag(values, 'mqtt.ssl_cert_login'),
    clientIdFrom: text(values, 'mqtt.ssl_cert_client_id_from'),
    disconnectOnUnauthorized: flag(values, 'mqtt.disconnect_on_unauthorized'),
    keepAliveSecondsMax: number(values, 'mqtt.max_keepalive'),
    slowConsumerBytes: number(values, 'mqtt.slow_consumer_limit'),
    slowConsumerPolicy:
      text(values, 'mqtt.slow_consumer_policy') === 'disconnect' ? 'disconnect' : 'drop',
    banAfter: number(values, 'mqtt.ban_after'),
    banMs: number(values, 'mqtt.ban_time'),
    sysIntervalMs: number(values, 'mqtt.sys_interval'),
    version: text(values, 'product.version'),
  }
}

type Values = Readonly<Record<string, unknown>>
type Key = keyof typeof table

function text(values: Values, key: Key): string {
  const value = values[key] ?? table[key].default
  return typeof value === 'string' ? value : ''
}

function number(values: Values, key: Key): number {
  const value = values[key] ?? table[key].default
  // `infinity` is how the table writes "no limit".
  return typeof value === 'number' ? value : Number.POSITIVE_INFINITY
}

function flag(values: Values, key: Key): boolean {
  return (values[key] ?? table[key].default) === true
}
