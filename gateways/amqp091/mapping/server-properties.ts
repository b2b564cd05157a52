// What connection.start tells the client, and what start-ok tells us. Client libraries turn
// features on by these tables, so names and types are RabbitMQ's.

import type { FieldTable } from '../../../shared/message/value.ts'
import { boolField, fieldOf, tableField, textField, textOf } from '../../../shared/message/value.ts'
import type { AmqpSettings } from './settings.ts'

/** What a client can do, from its `capabilities` table. */
export interface ClientCapabilities {
  readonly authenticationFailureClose: boolean
  readonly consumerCancelNotify: boolean
  readonly connectionBlocked: boolean
}

/** The server-properties table of connection.start. */
export function serverProperties(settings: AmqpSettings): FieldTable {
  return [
    ['capabilities', tableField(CAPABILITIES.map((name) => [name, boolField(true)]))],
    ['cluster_name', textField(settings.clusterName)],
    ['copyright', textField('Copyright the authors of Warren')],
    ['information', textField('Licensed under the Apache License 2.0')],
    ['platform', textField(`Node.js ${process.versions.node}`)],
    ['product', textField(settings.product)],
    ['version', textField(settings.version)],
  ]
}

/** Reads `capabilities` out of the client-properties table; what is not there is false. */
export function clientCapabilities(properties: FieldTable): ClientCapabilities {
  const field = fieldOf(properties, 'capabilities')
  const table = field?.type === 'F' ? field.value : []
  const has = (name: string): boolean => fieldOf(table, name)?.value === true
  return {
    authenticationFailureClose: has('authentication_failure_close'),
    consumerCancelNotify: has('consumer_cancel_notify'),
    connectionBlocked: has('connection.blocked'),
  }
}

/** The name that the user gave the connection, empty if none. */
export function connectionName(properties: FieldTable): string {
  return textOf(fieldOf(properties, 'connection_name')) ?? ''
}

const CAPABILITIES = [
  'publisher_confirms',
  'exchange_exchange_bindings',
  'basic.nack',
  'consumer_cancel_notify',
  'connection.blocked',
  'consumer_priorities',
  'authentication_failure_close',
  'per_consumer_qos',
  'direct_reply_to',
] as const
