/** SEND to SUBSCRIBE, over TCP and as browsers do it; and one topic with a thousand browsers. */

import type { Scenario } from './scenario.ts'
import { throughputScenario } from './scenario.ts'

export const stompScenarios: readonly Scenario[] = [
  throughputScenario(
    'stomp-64b',
    'STOMP 64 B, 1:1, ack:auto',
    { mode: 'stomp', size: 64 },
    { of: 'ratio', atLeast: 10 },
  ),
  throughputScenario('stomp-4kib', 'STOMP 4 KiB, 1:1, ack:auto', { mode: 'stomp', size: 4096 }),
  throughputScenario(
    'web-stomp-64b',
    'STOMP over WebSocket 64 B, 1:1, ack:auto',
    { mode: 'stomp', web: true, size: 64 },
    { of: 'ratio', atLeast: 5 },
  ),
  throughputScenario('web-stomp-1000', 'STOMP over WebSocket 64 B, 1000 on one topic', {
    mode: 'stomp',
    web: true,
    size: 64,
    exchange: 'topic',
    consumers: 1000,
  }),
]
