// Topics and topic filters: what is allowed, and what they are to queues.

import { createHash } from 'node:crypto'
import { utf8Size } from '../../../shared/bytes/utf8.ts'
import { placeQueue } from '../../../shared/placement.ts'

/** Longest name of a queue, in bytes. */
const queueNameMax = 255
/** Longest topic filter, in bytes [MQTT 1.5.4]. */
const filterBytesMax = 65535

/** A shared subscription's parts. */
export interface SharedFilter {
  readonly group: string
  readonly filter: string
}

/** Whether a topic filter is well-formed [MQTT-4.7.1-1 to 4.7.1-3, MQTT-4.7.3-1]. */
export function isFilter(filter: string): boolean {
  if (filter === '' || utf8Size(filter) > filterBytesMax) return false
  if (!filter.includes('#') && !filter.includes('+')) return true
  const levels = filter.split('/')
  return levels.every((level, i) => {
    if (level === '#') return i === levels.length - 1
    return level === '+' || !/[#+]/.test(level)
  })
}

/** Whether a topic name is well-formed: not empty, no wildcards. */
export function isTopic(topic: string): boolean {
  return topic !== '' && !/[#+\0]/.test(topic)
}

/** The parts of `$share/group/filter`; 'malformed' where it begins so and is none [MQTT-4.8.2-1]. */
export function sharedParts(filter: string): SharedFilter | 'malformed' | undefined {
  if (!filter.startsWith('$share/') && filter !== '$share') return undefined
  const slash = filter.indexOf('/', sharePrefix.length)
  if (slash < 0) return 'malformed'
  const group = filter.slice(sharePrefix.length, slash)
  const rest = filter.slice(slash + 1)
  if (group === '' || /[#+]/.test(group) || !isFilter(rest)) return 'malformed'
  return { group, filter: rest }
}

/** The queue of a session's subscriptions of QoS 1 and 2: RabbitMQ's name. */
export function sessionQueue(clientId: string): string {
  return `mqtt-subscription-${clientId}qos1`
}

/** The name that permission is asked for where RabbitMQ has a queue for QoS 0. */
export function directQueue(clientId: string): string {
  return `mqtt-subscription-${clientId}qos0`
}

/** The first of the queues that remember which QoS 2 messages of a client are not released. */
export function receivedQueue(clientId: string): string {
  return `mqtt-subscription-${clientId}qos2`
}

/** All of them, by the shard that each is on. */
export function receivedQueues(vhost: string, clientId: string, shards: number): string[] {
  return namesByShard(vhost, receivedQueue(clientId), shards)
}

/** The queues of what a session was given by shared subscriptions, by the shard that each is on. */
export function givenQueues(vhost: string, clientId: string, shards: number): string[] {
  return namesByShard(vhost, `mqtt-subscription-${clientId}given`, shards)
}

/** `first` and names like it, one for each shard. */
function namesByShard(vhost: string, first: string, shards: number): string[] {
  const names: string[] = new Array<string>(shards).fill('')
  names[placeQueue(vhost, first, shards)] = first
  let left = shards - 1
  for (let i = 1; left > 0 && i < suffixMax; i++) {
    const name = `${first}-${i}`
    const shard = placeQueue(vhost, name, shards)
    if (names[shard] !== '') continue
    names[shard] = name
    left--
  }
  return names
}

/** The queue that the members of a shared subscription consume from. */
export function sharedQueue({ group, filter }: SharedFilter): string {
  const name = `mqtt-shared-${group}/${filter}`
  if (utf8Size(name) <= queueNameMax) return name
  const hash = createHash('sha256').update(`${group}/${filter}`).digest('hex')
  return `mqtt-shared-${hash}`
}

/** Whether the queues of a client can have their names. */
export function fitsQueueName(clientId: string): boolean {
  return utf8Size(sessionQueue(clientId)) + suffixBytes <= queueNameMax
}

/** Whether `topic` matches `filter`, both whole. The definition [MQTT 4.7]; for cold paths. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  const wild = wanted[0] === '#' || wanted[0] === '+'
  if (wild && topic.startsWith('$')) return false
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '#') return true
    if (i >= levels.length) return false
    if (wanted[i] !== '+' && wanted[i] !== levels[i]) return false
  }
  return wanted.length === levels.length
}

const sharePrefix = '$share/'
/** Of the names that are tried for a queue of every shard. */
const suffixMax = 100_000
const suffixBytes = 7
