// What DecodeError.code says in this gateway: which condition the peer is told.

export const FaultCode = {
  /** amqp:decode-error */
  decode: 0,
  /** amqp:connection:framing-error */
  framing: 1,
  /** amqp:invalid-field */
  invalidField: 2,
  /** amqp:not-implemented */
  notImplemented: 3,
} as const
