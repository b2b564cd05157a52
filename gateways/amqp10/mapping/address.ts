// Addresses, version 2: `/queues/:q`, `/exchanges/:e`, `/exchanges/:e/:k`, each part percent-encoded.

/** Where a target address leads. */
export interface TargetAddress {
  readonly exchange: string
  readonly routingKey: string
  /** The queue that `/queues/:q` names: it has to be there. */
  readonly queue: string | undefined
}

const queues = '/queues/'
const exchanges = '/exchanges/'

/** The target in a version 2 address; undefined where the address is bad. */
export function parseTarget(address: string): TargetAddress | undefined {
  if (address.startsWith(queues)) {
    const queue = unquote(address.slice(queues.length))
    if (queue === undefined || queue === '') return undefined
    return { exchange: '', routingKey: queue, queue }
  }
  if (!address.startsWith(exchanges)) return undefined
  const parts = address.slice(exchanges.length).split('/')
  const [name = '', key = ''] = parts
  const exchange = unquote(name)
  const routingKey = unquote(key)
  const nameless = name === '' || name === 'amq.default'
  if (parts.length > 2 || nameless || exchange === undefined || routingKey === undefined) {
    return undefined
  }
  return { exchange, routingKey, queue: undefined }
}

/** The queue in a version 2 source address; undefined where the address is bad. */
export function parseSource(address: string): string | undefined {
  if (!address.startsWith(queues)) return undefined
  const queue = unquote(address.slice(queues.length))
  return queue === '' ? undefined : queue
}

/** Whether an address has the form of version 2, good or bad. */
export function isVersion2(address: string): boolean {
  return address.startsWith(queues) || address.startsWith(exchanges)
}

/** The address of a queue. */
export function queueAddress(queue: string): string {
  return queues + quote(queue)
}

/** RFC 3986: everything but unreserved characters is percent-encoded. */
export function quote(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** The text in percent-encoded UTF-8; undefined where it is none. */
export function unquote(text: string): string | undefined {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Version 1: what an address of RabbitMQ 3 names. */
export interface AddressV1 {
  readonly kind: 'exchange' | 'queue'
  readonly name: string
  /** Undefined: the subject of each message. */
  readonly routingKey: string | undefined
  /** `/queue/q` and `q` are declared; `/amq/queue/q` has to be there. */
  readonly declares: boolean
}

/** What a version 1 address names; undefined where it is bad. */
export function parseAddressV1(address: string): AddressV1 | undefined {
  if (!address.startsWith('/')) return named('queue', address, true)
  const [, kind, ...rest] = address.split('/')
  const [first, second] = rest.map((part) => unquote(part))
  switch (kind) {
    case 'exchange':
      if (rest.length > 2 || first === undefined || first === '') return undefined
      return { kind: 'exchange', name: first, routingKey: second, declares: false }
    case 'topic':
      if (rest.length !== 1 || first === undefined) return undefined
      return { kind: 'exchange', name: 'amq.topic', routingKey: first, declares: false }
    case 'queue':
      if (rest.length === 0) {
        return { kind: 'queue', name: '', routingKey: undefined, declares: false }
      }
      return rest.length === 1 ? named('queue', first, true) : undefined
    case 'amq': {
      const name = unquote(rest[1] ?? '')
      return rest.length === 2 && rest[0] === 'queue' ? named('queue', name, false) : undefined
    }
    default:
      return undefined
  }
}

function named(kind: 'queue', name: string | undefined, declares: boolean): AddressV1 | undefined {
  if (name === undefined || name === '') return undefined
  return { kind, name, routingKey: name, declares }
}
