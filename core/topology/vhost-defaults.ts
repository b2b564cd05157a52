// What virtual hosts get when they are made: limits and operator policies of the configuration.

import type { Policy } from './policies.ts'
import type { Limits } from './records.ts'
import type { TopologyChange } from './topology-change.ts'

/** Limits for vhosts whose names match. */
export interface LimitDefault {
  readonly matches: (vhost: string) => boolean
  readonly limits: Limits
}

/** An operator policy for vhosts whose names match. */
export interface PolicyDefault {
  readonly matches: (vhost: string) => boolean
  readonly policy: Policy
}

export interface VhostDefaults {
  /** The first that matches holds. */
  readonly limits: readonly LimitDefault[]
  /** All that match hold. */
  readonly operatorPolicies: readonly PolicyDefault[]
}

/** The changes that give a new vhost its defaults. */
export function* defaultsFor(
  defaults: VhostDefaults | undefined,
  vhost: number,
  name: string,
): Generator<TopologyChange> {
  const found = defaults?.limits.find(({ matches }) => matches(name))
  if (found !== undefined) yield { change: 'vhostLimitsSet', vhost, limits: found.limits }
  for (const { matches, policy } of defaults?.operatorPolicies ?? []) {
    if (matches(name)) yield { change: 'policySet', vhost, operator: true, policy }
  }
}
