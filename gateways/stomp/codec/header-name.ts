// The headers that mean something to the broker, told apart by their bytes.

/** Ids of known header names; 0 is any other. */
export const Header = {
  other: 0,
  destination: 1,
  contentLength: 2,
  contentType: 3,
  receipt: 4,
  id: 5,
  transaction: 6,
  messageId: 7,
  persistent: 8,
  ack: 9,
  subscription: 10,
  replyTo: 11,
  correlationId: 12,
  contentEncoding: 13,
  priority: 14,
  expiration: 15,
  amqpMessageId: 16,
  timestamp: 17,
  type: 18,
  userId: 19,
  appId: 20,
  durable: 21,
  autoDelete: 22,
  exclusive: 23,
  prefetchCount: 24,
  selector: 25,
  requeue: 26,
  acceptVersion: 27,
  host: 28,
  login: 29,
  passcode: 30,
  heartBeat: 31,
  queueName: 32,
} as const

const names: readonly (readonly [string, number])[] = [
  ['destination', Header.destination],
  ['content-length', Header.contentLength],
  ['content-type', Header.contentType],
  ['receipt', Header.receipt],
  ['id', Header.id],
  ['transaction', Header.transaction],
  ['message-id', Header.messageId],
  ['persistent', Header.persistent],
  ['ack', Header.ack],
  ['subscription', Header.subscription],
  ['reply-to', Header.replyTo],
  ['correlation-id', Header.correlationId],
  ['content-encoding', Header.contentEncoding],
  ['priority', Header.priority],
  ['expiration', Header.expiration],
  ['amqp-message-id', Header.amqpMessageId],
  ['timestamp', Header.timestamp],
  ['type', Header.type],
  ['user-id', Header.userId],
  ['app-id', Header.appId],
  ['durable', Header.durable],
  ['auto-delete', Header.autoDelete],
  ['exclusive', Header.exclusive],
  ['prefetch-count', Header.prefetchCount],
  ['selector', Header.selector],
  ['requeue', Header.requeue],
  ['accept-version', Header.acceptVersion],
  ['host', Header.host],
  ['login', Header.login],
  ['passcode', Header.passcode],
  ['heart-beat', Header.heartBeat],
  ['x-queue-name', Header.queueName],
]

/** One more than the largest id. */
export const headerCount: number = names.length + 1

interface Known {
  readonly bytes: Uint8Array
  readonly id: number
}

// By size: few names share one.
const bySize: (readonly Known[])[] = []
for (const [name, id] of names) {
  const bytes = Buffer.from(name, 'latin1')
  while (bySize.length <= bytes.length) bySize.push([])
  bySize[bytes.length] = [...(bySize[bytes.length] ?? []), { bytes, id }]
}

// HOT: once per header
/** The id of the name in `bytes[from..to)`; names are case-sensitive. */
export function headerId(bytes: Uint8Array, from: number, to: number): number {
  const known = bySize[to - from]
  if (known === undefined) return Header.other
  for (let k = 0; k < known.length; k++) {
    const name = known[k] as Known
    let i = 0
    while (i < name.bytes.length && name.bytes[i] === bytes[from + i]) i++
    if (i === name.bytes.length) return name.id
  }
  return Header.other
}

/** The written name of a known header. */
export function headerName(id: number): string {
  return names.find(([, each]) => each === id)?.[0] ?? ''
}
