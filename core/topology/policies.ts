// Policies and operator policies of a vhost: at most one of each applies to a queue or exchange.

import type { NameMatcher } from './name-matcher.ts'
import { compilePattern } from './name-matcher.ts'
import type { PolicyDefinition } from './policy-keys.ts'
import { suitsQueueType } from './policy-keys.ts'
import type { QueueTypeName } from './records.ts'

export type ApplyTo =
  | 'all'
  | 'queues'
  | 'classic_queues'
  | 'quorum_queues'
  | 'streams'
  | 'exchanges'

export interface Policy {
  readonly name: string
  /** Regular expression for names, unanchored. */
  readonly pattern: string
  readonly applyTo: ApplyTo
  /** The highest one applies. */
  readonly priority: number
  readonly definition: PolicyDefinition
}

interface Compiled {
  readonly policy: Policy
  readonly matcher: NameMatcher
}

const applyToOfType: Readonly<Record<QueueTypeName, ApplyTo>> = {
  classic: 'classic_queues',
  quorum: 'quorum_queues',
  stream: 'streams',
}

/** The policies (or operator policies) of one vhost. */
export class PolicySet {
  readonly #byName: Map<string, Compiled> = new Map()
  /** Highest priority first; equal ones by name, where RabbitMQ leaves it open. */
  #sorted: readonly Compiled[] = []

  /** Adds a policy or replaces the one of its name. Its pattern compiles: that was checked. */
  set(policy: Policy): void {
    const matcher = compilePattern(policy.pattern)
    if ('problem' in matcher) return
    this.#byName.set(policy.name, { policy, matcher })
    this.#sort()
  }

  delete(name: string): void {
    this.#byName.delete(name)
    this.#sort()
  }

  get(name: string): Policy | undefined {
    return this.#byName.get(name)?.policy
  }

  /** All, in no order that means anything. */
  list(): Policy[] {
    return [...this.#byName.values()].map(({ policy }) => policy)
  }

  forQueue(name: string, type: QueueTypeName): Policy | undefined {
    for (const { policy, matcher } of this.#sorted) {
      const { applyTo, definition } = policy
      const kind = applyTo === 'all' || applyTo === 'queues' || applyTo === applyToOfType[type]
      if (kind && suitsQueueType(definition, type) && matcher.test(name)) return policy
    }
    return undefined
  }

  forExchange(name: string): Policy | undefined {
    for (const { policy, matcher } of this.#sorted) {
      const kind = policy.applyTo === 'all' || policy.applyTo === 'exchanges'
      if (kind && matcher.test(name)) return policy
    }
    return undefined
  }

  #sort(): void {
    this.#sorted = [...this.#byName.values()].sort(
      (a, b) => b.policy.priority - a.policy.priority || (a.policy.name < b.policy.name ? -1 : 1),
    )
  }
}
