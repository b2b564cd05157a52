import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../core/config/load.ts'
import type { GatewayPlan } from '../../../core/supervisor/gateway-plan.ts'
import { planGateways } from '../../../core/supervisor/gateway-plan.ts'
import { amqpOnly } from '../../support/listeners.ts'

const together = ['mqtt', 'stomp', 'stream'].map((name) => `gateways.${name}.workers=0`)

function plan(set: readonly string[], env: Readonly<Record<string, string>> = {}): GatewayPlan[] {
  return planGateways(loadConfig({ env, set }).config)
}

describe('the gateways of a node', () => {
  test('are one for AMQP and one that the others share', () => {
    expect(plan(together)).toEqual([
      { name: 'amqp', services: ['amqp'], isolation: 'thread' },
      { name: 'mqtt+stomp+stream', services: ['mqtt', 'stomp', 'stream'], isolation: 'thread' },
    ])
  })

  test('are as many as each protocol is given, threads or processes', () => {
    const set = [...together, 'gateways.amqp.workers=2', 'gateways.mqtt.workers=1']
    expect(plan([...set, 'gateways.stomp.isolation=process']).map(({ name }) => name)).toEqual([
      'amqp',
      'amqp-2',
      'mqtt',
      'stomp',
      'stream',
    ])
    const [, other] = plan([...together, 'gateways.shared.isolation=process'])
    expect(other).toMatchObject({ isolation: 'process' })
  })

  test('serve nothing that has no listener', () => {
    expect(plan([], amqpOnly).map(({ name }) => name)).toEqual(['amqp'])
    const set = [...together, 'stomp.listeners.tcp.a=1', 'listeners.tcp=none']
    expect(plan(set, amqpOnly).map(({ name }) => name)).toEqual(['stomp'])
  })
})
