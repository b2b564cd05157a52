// Direct reply-to: a queue without a declaration behind each `amq.rabbitmq.reply-to` consumer. Its
// name tells the shard and the queue, so a reply published anywhere finds its way without a table.

import { ClassicQueue } from '../queue/classic-queue.ts'
import type { QueueEnd } from '../queue/holder.ts'
import type { Queue } from '../queue/queue.ts'
import type { QueueContext } from '../queue/queue-context.ts'
import type { QueueSettings } from '../topology/queue-settings.ts'
import { plainSettings } from '../topology/queue-settings.ts'
import type { ShardChannel } from './channel.ts'

const pseudoName = 'amq.rabbitmq.reply-to'

/** The reply queues of one shard. Their ids are negative, declared queues' are not. */
export class ReplyQueues {
  readonly pseudoName: string = pseudoName
  private readonly shard: number
  private readonly queues: Map<number, Queue>
  private readonly context: QueueContext
  private readonly random: () => number
  /** Secret part of each queue's name, by id: a name can't be guessed from another. */
  private readonly secrets: Map<number, string>
  private readonly channels: Map<ShardChannel, Set<number>>
  private last: number

  /** `queues` is the shard's table of queues by id. */
  constructor(
    shard: number,
    queues: Map<number, Queue>,
    context: QueueContext,
    random: () => number,
  ) {
    this.shard = shard
    this.queues = queues
    this.context = context
    this.random = random
    this.secrets = new Map()
    this.channels = new Map()
    this.last = 0
  }

  /** Opens the channel's reply queue and gives the name that requests carry. */
  open(channel: ShardChannel): { readonly name: string; readonly queue: Queue } {
    const id = --this.last
    const queue = new ClassicQueue(id, false, replySettings, this.context)
    const secret = `${this.random().toString(36)}${this.random().toString(36)}`
    this.queues.set(id, queue)
    this.secrets.set(id, secret)
    const own = this.channels.get(channel)
    if (own === undefined) this.channels.set(channel, new Set([id]))
    else own.add(id)
    const place = Buffer.from(`${this.shard}:${-id}`).toString('base64url')
    return { name: `${pseudoName}.${place}.${Buffer.from(secret).toString('base64url')}`, queue }
  }

  /** The channel is gone: replies to it are dropped from now on. */
  close(channel: ShardChannel): void {
    for (const id of this.channels.get(channel) ?? []) this.forget(id)
    this.channels.delete(channel)
  }

  /** A consumer of the channel is gone; if `queue` is one of the channel's reply queues, so is that. */
  closeQueue(channel: ShardChannel, queue: QueueEnd): void {
    const own = this.channels.get(channel)
    for (const id of own ?? []) {
      if (this.queues.get(id) !== queue) continue
      this.forget(id)
      own?.delete(id)
    }
  }

  private forget(id: number): void {
    this.queues.get(id)?.destroy()
    this.queues.delete(id)
    this.secrets.delete(id)
  }

  /** Where a reply with routing key `key` goes; undefined when it is no (plausible) reply-to name. */
  target(key: string): { readonly shard: number; readonly id: number } | undefined {
    const target = replyTarget(key)
    if (target === undefined || (target.shard === this.shard && !this.isOpen(key))) return undefined
    return target
  }

  /** Whether `key` names a queue that is open here. */
  isOpen(key: string): boolean {
    const target = replyTarget(key)
    if (target === undefined || target.shard !== this.shard) return false
    const secret = this.secrets.get(target.id)
    return secret !== undefined && Buffer.from(secret).toString('base64url') === target.secret
  }
}

/** Replies that wait for a requester without credit or a socket that is stuck; older ones are dropped. */
const replySettings: QueueSettings = { ...plainSettings, lengthMax: 10_000 }

/** Whether a queue name is the pseudo queue's or that of a reply queue. */
export function isReplyName(name: string): boolean {
  return name === pseudoName || name.startsWith(`${pseudoName}.`)
}

/** What a reply-to name says; undefined when it is not one. */
export function replyTarget(
  key: string,
): { readonly shard: number; readonly id: number; readonly secret: string } | undefined {
  if (!key.startsWith(`${pseudoName}.`)) return undefined
  const [place = '', secret, ...more] = key.slice(pseudoName.length + 1).split('.')
  const match = /^(\d{1,4}):(\d{1,10})$/.exec(Buffer.from(place, 'base64url').toString())
  if (match === null || secret === undefined || more.length > 0) return undefined
  // Forwarded as an int32: 0, or a number that wraps, would be the id of a declared queue.
  const number = Number(match[2])
  if (number < 1 || number > 0x7fffffff) return undefined
  return { shard: Number(match[1]), id: -number, secret }
}
