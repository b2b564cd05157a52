/** Making and unmaking: connections, channels, queues with a binding. */

import type { LoadMode } from '../load/options.ts'
import type { Scenario } from './scenario.ts'

export const churnScenarios: readonly Scenario[] = [
  churn('connection-churn', 'connections opened, used and closed, 8 at a time'),
  churn('channel-churn', 'channels opened and closed, 8 at a time'),
  churn('declare-churn', 'queues declared, bound, unbound and deleted, 8 at a time'),
]

function churn(mode: LoadMode, title: string): Scenario {
  return {
    name: mode,
    metrics: [{ id: 'rate', title, unit: 'rounds/s', better: 'more' }],
    run: async (context) => ({ rate: (await context.load({ mode })).roundsPerS }),
  }
}
