/** Every scenario, in the order of the report. */

import { acknowledgementScenarios } from './acknowledgement.ts'
import { amqp10Scenarios } from './amqp10.ts'
import { churnScenarios } from './churn.ts'
import { deepQueueScenarios } from './deep-queue.ts'
import { fanOutScenarios } from './fan-out.ts'
import { idleConnectionScenarios } from './idle-connections.ts'
import { latencyScenarios } from './latency.ts'
import { manyQueuesScenarios } from './many-queues.ts'
import { mqttScenarios } from './mqtt.ts'
import { persistentScenarios } from './persistent.ts'
import { queueFeatureScenarios } from './queue-features.ts'
import { recoveryScenarios } from './recovery.ts'
import type { Scenario } from './scenario.ts'
import { shardScenarios } from './shards.ts'
import { stompScenarios } from './stomp.ts'
import { streamScenarios } from './streams.ts'
import { throughputScenarios } from './throughput.ts'
import { topicBindingsScenarios } from './topic-bindings.ts'

export const allScenarios: readonly Scenario[] = [
  ...throughputScenarios,
  ...acknowledgementScenarios,
  ...fanOutScenarios,
  ...manyQueuesScenarios,
  ...idleConnectionScenarios,
  ...latencyScenarios,
  ...churnScenarios,
  ...topicBindingsScenarios,
  ...shardScenarios,
  ...persistentScenarios,
  ...queueFeatureScenarios,
  ...deepQueueScenarios,
  ...recoveryScenarios,
  ...stompScenarios,
  ...amqp10Scenarios,
  ...streamScenarios,
  ...mqttScenarios,
]
