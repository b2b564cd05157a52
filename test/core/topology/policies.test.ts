import { describe, expect, test } from 'vitest'
import { collectRows } from '../../../core/store/metadata-rows.ts'
import { restore } from '../../../core/store/restoration.ts'
import { eachRow, RowBatch } from '../../../core/store/row-batch.ts'
import { queueSettings } from '../../../core/topology/queue-settings.ts'
import type { PolicyOp, RegistryOp } from '../../../core/topology/registry-op.ts'
import { Topology } from '../../../core/topology/topology.ts'
import type { Node } from './fixture.ts'
import { exchangeDeclare, guest, newNode, queueDeclare, queueNamed, table } from './fixture.ts'

type SetPolicy = Extract<PolicyOp, { op: 'setPolicy' }>

function policy(name: string, fields: Partial<SetPolicy>): SetPolicy {
  return { op: 'setPolicy', vhost: '/', name, pattern: '.*', definition: {}, ...fields }
}

function appliedTo(node: Node, queue: string): string | undefined {
  return queueNamed(node, queue).policy?.name
}

function reason(node: Node, fields: Partial<SetPolicy>): string {
  const refusal = node.refusal(policy('p', fields))
  const start = 'channel 400 Validation failed\n\n'
  expect(refusal.startsWith(start)).toBe(true)
  return refusal.slice(start.length).trimEnd()
}

describe('which policy applies', () => {
  test('the highest priority that matches; equal ones by name', () => {
    const node = newNode()
    node.must(queueDeclare('q'))
    node.must(policy('low', { definition: { 'max-length': 1 }, priority: -1 }))
    expect(appliedTo(node, 'q')).toBe('low')
    node.must(policy('b', { definition: { 'max-length': 2 } }))
    node.must(policy('a', { definition: { 'max-length': 3 } }))
    expect(appliedTo(node, 'q')).toBe('a')
    node.must(policy('top', { definition: { 'max-length': 4 }, priority: 1.5 }))
    expect(queueNamed(node, 'q').settings.lengthMax).toBe(4)
    node.must({ op: 'clearPolicy', vhost: '/', name: 'top' })
    expect(queueNamed(node, 'q').settings.lengthMax).toBe(3)
  })

  test('by name: the pattern is not anchored', () => {
    const node = newNode()
    for (const name of ['orders', 'my.orders.eu', 'other']) node.must(queueDeclare(name))
    node.must(policy('p', { pattern: 'orders', definition: { expires: 1000 } }))
    expect(['orders', 'my.orders.eu', 'other'].map((name) => appliedTo(node, name))).toEqual([
      'p',
      'p',
      undefined,
    ])
  })

  test('a negative look-ahead at the start, as operators write it, works', () => {
    const node = newNode()
    for (const name of ['a', 'mq']) node.must(queueDeclare(name))
    node.must(queueDeclare(''))
    node.must(policy('p', { pattern: '^(?!amq\\.).*', definition: { 'max-length': 1 } }))
    const generated = [...node.vhost.queues.keys()].find((name) => name.startsWith('amq.gen'))
    expect(appliedTo(node, 'a')).toBe('p')
    expect(appliedTo(node, 'mq')).toBe('p')
    expect(appliedTo(node, generated ?? '')).toBe(undefined)
  })

  test.each([
    ['all', true, true],
    ['queues', true, false],
    ['classic_queues', true, false],
    ['quorum_queues', false, false],
    ['streams', false, false],
    ['exchanges', false, true],
  ] as const)('apply-to %s', (applyTo, queue, exchange) => {
    const node = newNode()
    node.must(queueDeclare('q'))
    node.must(exchangeDeclare('x', 'fanout'))
    node.must(policy('p', { applyTo, definition: { 'alternate-exchange': 'y' } }))
    expect(appliedTo(node, 'q') === 'p').toBe(queue)
    expect(node.vhost.exchanges.get('x')?.alternate).toBe(exchange ? 'y' : undefined)
    expect(node.vhost.exchanges.get('')?.alternate).toBe(undefined)
  })

  test('with a key that the queue type has no use for, it does not apply at all', () => {
    const node = newNode()
    node.must(queueDeclare('q'))
    node.must(policy('p', { definition: { 'max-length': 1, 'delivery-limit': 5 } }))
    expect(appliedTo(node, 'q')).toBe(undefined)
  })

  test('a queue or exchange that is declared later gets it too', () => {
    const node = newNode()
    node.must(policy('p', { definition: { 'message-ttl': 5 } }))
    node.must(queueDeclare('q'))
    expect(queueNamed(node, 'q').settings.messageTtlMs).toBe(5)
  })

  test('the shard is told of queues whose settings change, and of no others', () => {
    const node = newNode()
    node.must(queueDeclare('a'))
    node.must(queueDeclare('b'))
    node.must(policy('p', { pattern: '^a$', definition: { 'message-ttl': 5 } }))
    const told = [{ effect: 'queueConfigured', queue: queueNamed(node, 'a') }]
    expect(node.effects).toEqual(told)
    node.must({ op: 'clearPolicy', vhost: '/', name: 'p' })
    expect(node.effects).toEqual(told)
    expect(queueNamed(node, 'a').settings).toEqual(queueSettings([]))
  })
})

describe('argument, policy and operator policy together', () => {
  // argument, policy, operator policy, what holds
  test.each([
    ['message-ttl', 100, 50, undefined, 50],
    ['message-ttl', 40, 50, undefined, 40],
    ['message-ttl', 40, 50, 30, 30],
    ['message-ttl', undefined, undefined, 30, 30],
    ['expires', 10, 20, 15, 10],
    ['max-length', 10, 5, 7, 5],
    ['max-length-bytes', undefined, 9, 7, 7],
  ])('%s: %s, %s, %s is %s', (key, argument, set, operator, holds) => {
    const node = newNode()
    const args = argument === undefined ? [] : table({ [`x-${key}`]: argument })
    node.must(queueDeclare('q', { arguments: args }))
    if (set !== undefined) node.must(policy('p', { definition: { [key]: set } }))
    if (operator !== undefined) {
      node.must(policy('o', { definition: { [key]: operator }, operator: true }))
    }
    const { messageTtlMs, expiresMs, lengthMax, bytesMax } = queueNamed(node, 'q').settings
    const values = [messageTtlMs, expiresMs, lengthMax, bytesMax]
    expect(values.filter((value) => value !== undefined)).toEqual([holds])
  })

  test('names are those of the argument', () => {
    const args = table({ 'x-dead-letter-exchange': 'a', 'x-dead-letter-routing-key': 'k' })
    const definition = { 'dead-letter-exchange': 'b', 'dead-letter-routing-key': 'l' }
    expect(queueSettings(args, 'classic', definition)).toMatchObject({
      deadLetterExchange: 'a',
      deadLetterRoutingKey: 'k',
    })
    expect(queueSettings([], 'quorum', definition)).toMatchObject({
      deadLetterExchange: 'b',
      deadLetterRoutingKey: 'l',
    })
  })

  test('overflow is the argument for classic queues, the policy for quorum queues', () => {
    const args = table({ 'x-overflow': 'drop-head' })
    const definition = { overflow: 'reject-publish' }
    expect(queueSettings(args, 'classic', definition).overflow).toBe('drop-head')
    expect(queueSettings(args, 'quorum', definition).overflow).toBe('reject-publish')
  })

  test.each([
    [5, 3, 3],
    [-1, 3, 3],
    [3, -1, 3],
    [-1, -1, -1],
  ])('delivery-limit: argument %s and policy %s is %s', (argument, set, holds) => {
    const args = table({ 'x-delivery-limit': argument })
    const { deliveryLimit } = queueSettings(args, 'quorum', { 'delivery-limit': set })
    expect(deliveryLimit).toBe(holds)
  })

  test('an operator policy decides overflow, and keys of one alone stay', () => {
    const node = newNode()
    node.must(queueDeclare('q'))
    node.must(policy('p', { definition: { overflow: 'drop-head', 'max-length': 9 } }))
    const definition = { overflow: 'reject-publish', expires: 5 }
    node.must(policy('o', { definition, operator: true }))
    expect(node.must({ op: 'effectivePolicy', vhost: '/', queue: 'q' })).toEqual({
      policy: 'p',
      operatorPolicy: 'o',
      definition: { overflow: 'reject-publish', 'max-length': 9, expires: 5 },
    })
  })
})

describe('what is refused, in the words of RabbitMQ 4.0.5', () => {
  test.each([
    ['alternate-exchange', 5, '5 is not a valid alternate exchange name'],
    ['dead-letter-strategy', 'x', '<<"x">> is not a valid dead letter strategy'],
    ['message-ttl', -1, '-1 is not a valid message TTL'],
    ['message-ttl', 1.5, '1.5 is not a valid message TTL'],
    ['expires', 0, '0 is not a valid queue expiry'],
    ['max-length', [], '[] is not a valid maximum length'],
    ['max-length-bytes', {}, '#{} is not a valid maximum length in bytes'],
    ['overflow', true, 'true is not a valid overflow value'],
    ['delivery-limit', 'x', '<<"x">> is not a valid delivery limit'],
    ['queue-leader-locator', 'x', '<<"x">> is not a valid queue leader locator value'],
    ['stream-filter-size-bytes', 5, '5 is not a valid filter size. Valid range is 16-255'],
    ['foo', 'x', '[{<<"foo">>,<<"x">>}] are not recognised policy settings'],
    ['ha-mode', 'all', '[{<<"ha-mode">>,<<"all">>}] are not recognised policy settings'],
  ])('%s = %j', (key, value, text) => {
    expect(reason(newNode(), { definition: { [key]: value } })).toBe(text)
  })

  test('everything that is wrong beside the definition, too', () => {
    const node = newNode()
    const definition = { 'max-length': 1 }
    expect(reason(node, { definition: {} })).toBe('no policy provided')
    expect(reason(node, { definition, priority: 'x' })).toBe(
      'priority should be a number, actually was <<"x">>',
    )
    expect(reason(node, { definition, pattern: 5 })).toBe('pattern should be a binary but was 5')
    expect(reason(node, { definition, pattern: '(' })).toMatch(
      /^pattern should be regular expression but is invalid: /,
    )
    expect(reason(node, { definition, applyTo: 'bogus' as 'all' })).toBe(
      "apply-to 'bogus' unrecognised; should be one of: 'queues', 'classic_queues',  " +
        "'quorum_queues', 'streams', 'exchanges', or 'all'",
    )
    expect(reason(node, { definition: 'str' })).toBe(
      'parse error while reading policy definition: <<"str">>. Validator: policy_validator.',
    )
  })

  test('operator policies may set limits alone', () => {
    const node = newNode()
    const definition = { 'dead-letter-exchange': 'x' }
    expect(reason(node, { definition, operator: true })).toBe(
      '[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings',
    )
  })

  test('what is not there', () => {
    const node = newNode()
    const gone = 'channel 404 Parameter does not exist'
    expect(node.refusal({ op: 'clearPolicy', vhost: '/', name: 'none' })).toBe(gone)
    const parameter = { vhost: '/', component: 'shovel', name: 'none' }
    expect(node.refusal({ op: 'clearParameter', ...parameter })).toBe(gone)
    expect(node.refusal({ op: 'clearGlobalParameter', name: 'none' })).toBe(gone)
    expect(node.refusal(policy('p', { vhost: 'none' }))).toBe(
      "channel 404 NOT_FOUND - no vhost 'none'",
    )
  })
})

describe('limits', () => {
  test('queues of a vhost', () => {
    const node = newNode()
    node.must({ op: 'setVhostLimits', vhost: '/', limits: { 'max-queues': 1 } })
    node.must(queueDeclare('q'))
    node.must(queueDeclare('q'))
    expect(node.refusal(queueDeclare('r'))).toBe(
      "channel 406 PRECONDITION_FAILED - cannot declare queue 'r': queue limit in vhost '/' (1) is reached",
    )
    node.must({ op: 'setVhostLimits', vhost: '/', limits: { 'max-queues': -1 } })
    node.must(queueDeclare('r'))
  })

  test('connections of a vhost and of a user, channels of a user', () => {
    const node = newNode()
    const open = { op: 'openConnection', user: 'guest', vhost: '/' } as const
    node.must({ op: 'setVhostLimits', vhost: '/', limits: { 'max-connections': 2 } })
    node.must({ ...open, openInVhost: 1 })
    expect(node.refusal({ ...open, openInVhost: 2 })).toBe(
      "connection 530 NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (2) is reached",
    )
    const limits = { 'max-connections': 0, 'max-channels': 1 }
    node.must({ op: 'setUserLimits', user: 'guest', limits })
    expect(node.refusal(open)).toBe(
      "connection 530 NOT_ALLOWED - connection refused for user 'guest': user connection limit (0) is reached",
    )
    expect(node.refusal({ op: 'openUserChannel', user: 'guest', open: 1 })).toBe(
      "connection 530 NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of (1)",
    )
    node.must({ op: 'setUserLimits', user: 'guest', limits: {} })
    node.must({ ...open, openInVhost: 1 })
    expect(node.must({ op: 'listVhostLimits' })).toEqual({
      items: [{ vhost: '/', value: { 'max-connections': 2 } }],
    })
  })

  test('values that are no limits', () => {
    const node = newNode()
    const limits = { 'max-connections': 'x' }
    expect(node.refusal({ op: 'setVhostLimits', vhost: '/', limits })).toBe(
      'channel 400 Validation failed\n\nmax-connections should be a number, actually was <<"x">>\n',
    )
    expect(node.refusal({ op: 'setUserLimits', user: 'guest', limits: { foo: 1 } })).toBe(
      'channel 400 Unrecognised terms [{<<"foo">>,1}] in user-limits',
    )
  })

  test("the default queue type is the vhost's, else the node's", () => {
    const node = newNode({ defaultQueueType: 'stream' })
    const plain = { durable: false }
    node.must(queueDeclare('transient', plain))
    expect(queueNamed(node, 'transient').type).toBe('classic')
    node.must({ op: 'changeVhost', name: '/', defaultQueueType: 'classic' })
    node.must(queueDeclare('durable'))
    expect(queueNamed(node, 'durable').type).toBe('classic')
  })
})

describe('after a restart', () => {
  test('policies, parameters and limits are back, before the queues that they apply to', () => {
    const node = newNode()
    const rows = new Map<string, [Uint8Array, Uint8Array]>()
    const run = (op: RegistryOp): void => {
      const decision = node.registry.decide(op, guest)
      if (decision.kind !== 'decided') throw new Error(JSON.stringify(decision))
      for (const change of decision.changes) {
        const batch = new RowBatch()
        collectRows(node.topology, change, batch)
        node.topology.apply(change)
        eachRow(batch.take(), (key, value) => {
          const text = Buffer.from(key).toString('hex')
          if (value === undefined) rows.delete(text)
          else rows.set(text, [Uint8Array.from(key), Uint8Array.from(value)])
        })
      }
    }
    run({ op: 'addVhost', name: 'v' })
    run({ op: 'addVhost', name: 'gone' })
    run({ op: 'changeVhost', name: 'v', description: 'mine', tags: ['t'] })
    run({ op: 'addUser', name: 'u', password: 'p', tags: [] })
    run({ op: 'setUserLimits', user: 'u', limits: { 'max-channels': 3 } })
    for (const vhost of ['v', 'gone']) {
      run({ op: 'setVhostLimits', vhost, limits: { 'max-queues': 9 } })
      run({ ...policy('p', { definition: { 'max-length': 2 } }), vhost })
      run({ ...policy('o', { definition: { 'max-length': 1 }, operator: true }), vhost })
      run({ op: 'setParameter', vhost, component: 'shovel', name: 's', value: { a: [1] } })
    }
    run({ op: 'setGlobalParameter', name: 'cluster_name', value: 'w' })
    run({ ...policy('cleared', { definition: { 'max-length': 2 } }), vhost: 'v' })
    run({ op: 'clearPolicy', vhost: 'v', name: 'cleared' })
    run({ op: 'deleteVhost', name: 'gone' })
    const sorted = [...rows.values()].sort(([a], [b]) => Buffer.compare(a, b))
    const found = restore(sorted.map(([key, value]) => ({ key, value })))
    expect(found.damaged).toEqual([])
    expect(found.dangling).toEqual([])
    const back = new Topology()
    for (const change of found.changes) back.apply(change)
    expect([...back.vhosts.keys()]).toEqual(['v'])
    const vhost = back.vhosts.get('v')
    expect(vhost).toMatchObject({ description: 'mine', tags: ['t'], limits: { 'max-queues': 9 } })
    expect(vhost?.policies.list().map(({ name }) => name)).toEqual(['p'])
    expect(vhost?.operatorPolicies.get('o')?.definition).toEqual({ 'max-length': 1 })
    expect(vhost?.parameters.get('shovel')?.get('s')).toEqual({ a: [1] })
    expect(back.globalParameters.get('cluster_name')).toBe('w')
    expect(back.users.get('u')?.limits).toEqual({ 'max-channels': 3 })
  })
})
