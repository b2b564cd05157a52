// Exchanges, queues and bindings as clients know them. What is being declared or deleted may or may
// not take part in a route; everything else must, or must not.

import type { BindingModel, QueueModel } from './model.ts'

export interface RouteModel {
  readonly must: Set<QueueModel>
  readonly may: Set<QueueModel>
}

export class TopologyModel {
  /** Name to type. Never deleted. */
  readonly exchanges: Map<string, string> = new Map()
  queues: QueueModel[] = []
  bindings: BindingModel[] = []

  /** The queue that `name` stands for, will, or did last. */
  find(name: string): QueueModel | undefined {
    const named = this.queues.filter((queue) => queue.name === name)
    return (
      named.find(({ status }) => status === 'present') ??
      named.find(({ status }) => status === 'arriving') ??
      named.find(({ status }) => status === 'leaving')
    )
  }

  /** The queue of that name that is being declared. */
  arriving(name: string): QueueModel | undefined {
    return this.queues.find((queue) => queue.name === name && queue.status === 'arriving')
  }

  /** The binding of that identity; 'gone' when there was none. */
  binding(exchange: string, queue: QueueModel, key: string): BindingModel {
    const found = this.bindings.find(
      (each) => each.exchange === exchange && each.queue === queue && each.key === key,
    )
    if (found !== undefined) return found
    const status = 'gone'
    const made = {
      exchange,
      queue,
      key,
      status,
      before: status,
      requests: 0,
      conflict: false,
    } as const
    const binding: BindingModel = { ...made }
    this.bindings.push(binding)
    return binding
  }

  /** Undefined when there is no such exchange. */
  route(exchange: string, keys: readonly string[]): RouteModel | undefined {
    const must = new Set<QueueModel>()
    const may = new Set<QueueModel>()
    const add = (queue: QueueModel, sure: boolean): void => {
      if (queue.status === 'gone') return
      if (sure && queue.status === 'present') must.add(queue)
      else may.add(queue)
    }
    if (exchange === '') {
      for (const queue of this.queues) if (keys.includes(queue.name)) add(queue, true)
      return { must, may }
    }
    const type = this.exchanges.get(exchange)
    if (type === undefined) return undefined
    for (const binding of this.bindings) {
      if (binding.exchange !== exchange || binding.status === 'gone') continue
      if (keys.some((key) => matches(type, binding.key, key)))
        add(binding.queue, binding.status === 'present')
    }
    for (const queue of must) may.delete(queue)
    return { must, may }
  }

  /** Forgets what is gone. */
  prune(): void {
    this.queues = this.queues.filter((queue) => queue.status !== 'gone')
    this.bindings = this.bindings.filter(
      (each) => each.status !== 'gone' && each.queue.status !== 'gone',
    )
  }
}

function matches(type: string, pattern: string, key: string): boolean {
  if (type === 'fanout') return true
  if (type === 'direct') return pattern === key
  return matchWords(pattern.split('.'), key.split('.'))
}

function matchWords(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return words.length === 0
  if (first === '#') {
    for (let skip = 0; skip <= words.length; skip++)
      if (matchWords(rest, words.slice(skip))) return true
    return false
  }
  const [word, ...others] = words
  return word !== undefined && (first === '*' || first === word) && matchWords(rest, others)
}
