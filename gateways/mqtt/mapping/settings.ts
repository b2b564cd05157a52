// The part of the configuration that MQTT sessions look at, read once per gateway thread.

import type { Values } from '../../../shared/config/lookup.ts'
import { flag, integer, text } from '../../../shared/config/lookup.ts'

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
export function readSettings(values: Values): MqttSettings {
  return {
    allowAnonymous: flag(values, 'mqtt.allow_anonymous'),
    anonymousUser: text(values, 'anonymous_login_user'),
    anonymousPassword: text(values, 'anonymous_login_pass'),
    vhost: text(values, 'mqtt.vhost'),
    exchange: text(values, 'mqtt.exchange'),
    loginTimeoutMs: integer(values, 'mqtt.login_timeout'),
    packetSizeUnauthenticated: integer(values, 'mqtt.max_packet_size_unauthenticated'),
    packetSizeAuthenticated: integer(values, 'mqtt.max_packet_size_authenticated'),
    sessionExpirySecondsMax: integer(values, 'mqtt.max_session_expiry_interval_seconds'),
    prefetch: integer(values, 'mqtt.prefetch'),
    receiveMaximum: integer(values, 'mqtt.receive_maximum'),
    retained: text(values, 'mqtt.retained_message_store') !== 'rabbit_mqtt_retained_msg_store_noop',
    topicAliasMaximum: integer(values, 'mqtt.topic_alias_maximum'),
    durableQueueType: text(values, 'mqtt.durable_queue_type') === 'quorum' ? 'quorum' : 'classic',
    certificateLogin: flag(values, 'mqtt.ssl_cert_login'),
    clientIdFrom: text(values, 'mqtt.ssl_cert_client_id_from'),
    disconnectOnUnauthorized: flag(values, 'mqtt.disconnect_on_unauthorized'),
    keepAliveSecondsMax: integer(values, 'mqtt.max_keepalive'),
    slowConsumerBytes: integer(values, 'mqtt.slow_consumer_limit'),
    slowConsumerPolicy:
      text(values, 'mqtt.slow_consumer_policy') === 'disconnect' ? 'disconnect' : 'drop',
    banAfter: integer(values, 'mqtt.ban_after'),
    banMs: integer(values, 'mqtt.ban_time'),
    sysIntervalMs: integer(values, 'mqtt.sys_interval'),
    version: text(values, 'product.version'),
  }
}
