// Destinations to exchanges, routing keys and queues, and back.

import type { Failure } from './failure.ts'
import { blankDestination, invalidDestination, unknownDestination } from './failure.ts'

/** What a destination header names. `name` and `key` are unescaped. */
export type Destination =
  | {
      readonly kind: 'queue' | 'amq-queue' | 'reply-queue' | 'temp-queue'
      readonly name: string
    }
  | { readonly kind: 'exchange'; readonly name: string; readonly key: string }
  | { readonly kind: 'topic'; readonly key: string }

/** Where a message with that destination goes, or what a subscription's queue is bound to. */
export interface Route {
  readonly exchange: string
  readonly key: string
}

/** Reads a destination header. */
export function parseDestination(text: string): Destination | Failure {
  if (text === '') return blankDestination()
  const [first = '', type, ...rest] = text.split('/')
  if (type === undefined) return { kind: 'queue', name: decodePart(first) }
  if (first !== '') return unknownDestination(text)
  if (type === 'exchange') return parseExchange(rest)
  if (type === 'amq' && rest[0] === 'queue') return parseNamed('amq-queue', rest.slice(1))
  // The names of reply queues stand as they are.
  if (type === 'reply-queue' && rest.length > 0) {
    return { kind: 'reply-queue', name: text.slice(replyPrefix.length) }
  }
  if (type === 'queue' || type === 'topic' || type === 'temp-queue') return parseNamed(type, rest)
  return unknownDestination(text)
}

/** The exchange and key behind a destination; `topicExchange` is the one of /topic. */
export function routeOf(destination: Destination, topicExchange: string): Route {
  if (destination.kind === 'exchange') {
    return { exchange: destination.name, key: destination.key }
  }
  if (destination.kind === 'topic') return { exchange: topicExchange, key: destination.key }
  return { exchange: '', key: destination.name }
}

/** The destination header of a message that was published with `exchange` and `key`. */
export function formatDestination(exchange: Uint8Array, key: Uint8Array): string {
  const written = encodePart(key)
  if (exchange.length === 0) return `/queue/${written}`
  const name = encodePart(exchange)
  if (name === 'amq.topic') return `/topic/${written}`
  return written === '' ? `/exchange/${name}` : `/exchange/${name}/${written}`
}

/** `/reply-queue/` */
export const replyPrefix = '/reply-queue/'

/** A reply-to header as consumers get it: a bare queue name becomes a destination. */
export function formatReplyTo(replyTo: string): string {
  return prefixes.some((prefix) => replyTo.startsWith(prefix)) ? replyTo : replyPrefix + replyTo
}

const prefixes = ['/temp-queue', '/topic', '/exchange', '/queue', '/amq/queue', '/reply-queue']

function parseExchange(rest: readonly string[]): Destination | Failure {
  const [name = '', key = ''] = rest
  if (name === '' || rest.length > 2) return invalidDestination(joined(rest), 'exchange')
  return { kind: 'exchange', name: decodePart(name), key: decodePart(key) }
}

function parseNamed(
  kind: 'queue' | 'topic' | 'temp-queue' | 'amq-queue',
  rest: readonly string[],
): Destination | Failure {
  const [name = ''] = rest
  if (name === '' || rest.length > 1) return invalidDestination(joined(rest), typeNames[kind])
  if (kind === 'topic') return { kind, key: decodePart(name) }
  return { kind, name: decodePart(name) }
}

const typeNames = {
  queue: 'queue',
  topic: 'topic',
  'temp-queue': 'temp_queue',
  'amq-queue': 'amqqueue',
} as const

function joined(rest: readonly string[]): string {
  return rest.map((part) => `/${part}`).join('')
}

// The only escape that is undone.
function decodePart(part: string): string {
  return part.replaceAll('%2F', '/')
}

function encodePart(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    const plain = byte > 32 && byte <= 127 && byte !== slash && byte !== percent
    text += plain ? String.fromCodePoint(byte) : `%${hex(byte)}`
  }
  return text
}

function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0')
}

const slash = 0x2f
const percent = 0x25
