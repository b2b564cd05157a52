// Every refusal of the registry with its scope, code and text: a table of what clients match on.

import { describe, expect, test } from 'vitest'
import type { QueueStats } from '../../../core/topology/decision.ts'
import type { Actor, RegistryOp } from '../../../core/topology/registry-op.ts'
import type { FieldTable, FieldValue } from '../../../shared/message/value.ts'
import type { Node } from './fixture.ts'
import { addUser, bindQueue, exchangeDeclare, newNode, queueDeclare, table } from './fixture.ts'

const other: Actor = { user: 'guest', vhost: '/', owner: 'connection 2' }
const inVhost = "in vhost '/'"
const locked =
  `channel 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' ${inVhost}. It could be ` +
  'originally declared on another connection or the exclusive property value does not match that of the original ' +
  'declaration.'

/** One of everything the table refers to. */
function furnishedNode(): Node {
  const node = newNode()
  node.must(queueDeclare('q'))
  node.must(queueDeclare('brief', { durable: false, autoDelete: true }))
  node.must(queueDeclare('ttl', { arguments: table({ 'x-message-ttl': 10 }) }))
  node.must(queueDeclare('mine', { exclusive: true }))
  node.must(exchangeDeclare('x', 'direct'))
  node.must(exchangeDeclare('t', 'topic'))
  node.must(exchangeDeclare('h', 'headers'))
  node.must(exchangeDeclare('hash', 'x-consistent-hash'))
  node.must(exchangeDeclare('local', 'x-local-random'))
  bindQueue(node, 'q', 'x', 'k')
  return node
}

interface Row {
  readonly title: string
  readonly op: RegistryOp
  readonly actor?: Actor
  readonly stats?: QueueStats
  readonly text: string
}

function checkRows(rows: readonly Row[]): void {
  test.each(rows)('$title', ({ op, actor, stats, text }) => {
    expect(furnishedNode().refusal(op, actor, stats)).toBe(text)
  })
}

function bindOp(queue: string, exchange: string, routingKey = 'k', args: FieldTable = []) {
  return { op: 'queueBind', queue, exchange, routingKey, arguments: args } as const
}

function deleteExchangeOp(exchange: string, ifUnused = false) {
  return { op: 'exchangeDelete', exchange, ifUnused } as const
}

function deleteQueueOp(queue: string, ifUnused = false, ifEmpty = false) {
  return { op: 'queueDelete', queue, ifUnused, ifEmpty } as const
}

describe('exchange.declare and exchange.delete', () => {
  const inequivalent = `channel 406 PRECONDITION_FAILED - inequivalent arg`
  checkRows([
    {
      title: 'unknown type',
      op: exchangeDeclare('new', 'foo'),
      text: "channel 406 PRECONDITION_FAILED - unknown exchange type 'foo'",
    },
    {
      title: 'default exchange',
      op: exchangeDeclare('', 'direct'),
      text: 'channel 403 ACCESS_REFUSED - operation not permitted on the default exchange',
    },
    {
      title: 'reserved name',
      op: exchangeDeclare('amq.new', 'direct'),
      text: "channel 403 ACCESS_REFUSED - exchange name 'amq.new' contains reserved prefix 'amq.*'",
    },
    {
      title: 'passive, missing',
      op: exchangeDeclare('new', 'direct', { passive: true }),
      text: `channel 404 NOT_FOUND - no exchange 'new' ${inVhost}`,
    },
    {
      title: 'other type',
      op: exchangeDeclare('x', 'topic'),
      text: `${inequivalent} 'type' for exchange 'x' ${inVhost}: received 'topic' but current is 'direct'`,
    },
    {
      title: 'other durability',
      op: exchangeDeclare('x', 'direct', { durable: false }),
      text: `${inequivalent} 'durable' for exchange 'x' ${inVhost}: received 'false' but current is 'true'`,
    },
    {
      title: 'other auto-delete',
      op: exchangeDeclare('x', 'direct', { autoDelete: true }),
      text: `${inequivalent} 'auto_delete' for exchange 'x' ${inVhost}: received 'true' but current is 'false'`,
    },
    {
      title: 'other internal',
      op: exchangeDeclare('x', 'direct', { internal: true }),
      text: `${inequivalent} 'internal' for exchange 'x' ${inVhost}: received 'true' but current is 'false'`,
    },
    {
      title: 'other alternate exchange',
      op: exchangeDeclare('x', 'direct', { arguments: table({ 'alternate-exchange': 'a' }) }),
      text:
        `${inequivalent} 'alternate-exchange' for exchange 'x' ${inVhost}: ` +
        "received the value 'a' of type 'longstr' but current is none",
    },
    {
      title: 'alternate exchange of a wrong type',
      op: exchangeDeclare('new', 'direct', { arguments: table({ 'alternate-exchange': 1 }) }),
      text:
        "channel 406 PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' " +
        `in exchange 'new' ${inVhost}`,
    },
    {
      title: 'hash on header and property',
      op: exchangeDeclare('new', 'x-consistent-hash', {
        arguments: table({ 'hash-header': 'a', 'hash-property': 'message_id' }),
      }),
      text: 'channel 406 PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive',
    },
    {
      title: 'hash on an unknown property',
      op: exchangeDeclare('new', 'x-consistent-hash', {
        arguments: table({ 'hash-property': 'priority' }),
      }),
      text: 'channel 406 PRECONDITION_FAILED - Unsupported property: priority',
    },
    {
      title: 'delete the default exchange',
      op: deleteExchangeOp(''),
      text: 'channel 403 ACCESS_REFUSED - operation not permitted on the default exchange',
    },
    {
      title: 'delete a system exchange',
      op: deleteExchangeOp('amq.direct'),
      text: `channel 403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' ${inVhost} not allowed`,
    },
    {
      title: 'delete if unused, in use',
      op: deleteExchangeOp('x', true),
      text: `channel 406 PRECONDITION_FAILED - exchange 'x' ${inVhost} in use`,
    },
  ])
})

describe('bindings', () => {
  checkRows([
    {
      title: 'no such exchange',
      op: bindOp('q', 'none'),
      text: `channel 404 NOT_FOUND - no exchange 'none' ${inVhost}`,
    },
    {
      title: 'no such queue',
      op: bindOp('none', 'x'),
      text: `channel 404 NOT_FOUND - no queue 'none' ${inVhost}`,
    },
    {
      title: 'no such destination exchange',
      op: { op: 'exchangeBind', destination: 'none', source: 'x', routingKey: '', arguments: [] },
      text: `channel 404 NOT_FOUND - no exchange 'none' ${inVhost}`,
    },
    {
      title: 'default exchange as source',
      op: bindOp('q', ''),
      text: 'channel 403 ACCESS_REFUSED - operation not permitted on the default exchange',
    },
    {
      title: 'default exchange as destination',
      op: { op: 'exchangeBind', destination: '', source: 'x', routingKey: '', arguments: [] },
      text: 'channel 403 ACCESS_REFUSED - operation not permitted on the default exchange',
    },
    { title: "another connection's queue", op: bindOp('mine', 'x'), actor: other, text: locked },
    {
      title: 'direct reply-to',
      op: bindOp('amq.rabbitmq.reply-to', 'x'),
      text: 'channel 403 ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue',
    },
    {
      title: 'three hash words',
      op: bindOp('q', 't', '#.a.#.b.#'),
      text:
        "channel 406 PRECONDITION_FAILED - Topic binding key '#.a.#.b.#' uses 3 '#' wildcards, " +
        'at most 2 are allowed',
    },
    {
      title: 'unknown x-match',
      op: bindOp('q', 'h', '', table({ 'x-match': 'some' })),
      text:
        'channel 406 PRECONDITION_FAILED - Invalid x-match field value <<"some">>; ' +
        'expected all, any, all-with-x, or any-with-x',
    },
    {
      title: 'x-match of a wrong type',
      op: bindOp('q', 'h', '', table({ 'x-match': 1 })),
      text:
        'channel 406 PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); ' +
        'expected longstr',
    },
    {
      title: 'weight that is no number',
      op: bindOp('q', 'hash', 'k'),
      text: 'channel 406 PRECONDITION_FAILED - The binding key must be an integer: <<"k">>',
    },
    {
      title: 'weight of nothing',
      op: bindOp('q', 'hash', '0'),
      text: 'channel 406 PRECONDITION_FAILED - The binding key must be greater than 0',
    },
    {
      title: 'local random with a key',
      op: bindOp('q', 'local', 'k'),
      text: "channel 406 PRECONDITION_FAILED - Non empty binding 'k' key not permitted",
    },
  ])
})

describe('queue.declare and queue.delete', () => {
  checkRows([
    {
      title: 'passive, missing',
      op: queueDeclare('none', { passive: true }),
      text: `channel 404 NOT_FOUND - no queue 'none' ${inVhost}`,
    },
    {
      title: "passive, another connection's",
      op: queueDeclare('mine', { passive: true }),
      actor: other,
      text: locked,
    },
    { title: 'exclusive now, was not', op: queueDeclare('mine', {}), text: locked },
    {
      title: 'another connection',
      op: queueDeclare('mine', { exclusive: true }),
      actor: other,
      text: locked,
    },
    {
      title: 'reserved name',
      op: queueDeclare('amq.new'),
      text: "channel 403 ACCESS_REFUSED - queue name 'amq.new' contains reserved prefix 'amq.*'",
    },
    {
      title: 'direct reply-to without a consumer',
      op: queueDeclare('amq.rabbitmq.reply-to.unknown'),
      text: `channel 404 NOT_FOUND - no queue 'amq.rabbitmq.reply-to.unknown' ${inVhost}`,
    },
    {
      title: 'other durability',
      op: queueDeclare('q', { durable: false }),
      text:
        `channel 406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' ${inVhost}: ` +
        "received 'false' but current is 'true'",
    },
    {
      title: 'other auto-delete',
      op: queueDeclare('q', { autoDelete: true }),
      text:
        `channel 406 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'q' ${inVhost}: ` +
        "received 'true' but current is 'false'",
    },
    {
      title: 'an argument more',
      op: queueDeclare('q', { arguments: [['x-message-ttl', { type: 'l', value: 10 }]] }),
      text:
        `channel 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' ${inVhost}: ` +
        "received the value '10' of type 'long' but current is none",
    },
    {
      title: 'an argument less',
      op: queueDeclare('ttl'),
      text:
        `channel 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'ttl' ${inVhost}: ` +
        "received none but current is the value '10' of type 'signedint'",
    },
    {
      title: 'another value',
      op: queueDeclare('ttl', { arguments: table({ 'x-message-ttl': 20 }) }),
      text:
        `channel 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'ttl' ${inVhost}: ` +
        "received '20' but current is '10'",
    },
    {
      title: 'another type of queue',
      op: queueDeclare('q', { arguments: table({ 'x-queue-type': 'quorum' }) }),
      text:
        `channel 406 PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' ${inVhost}: ` +
        "received 'quorum' but current is 'classic'",
    },
    {
      title: 'server-named quorum queue',
      op: queueDeclare('', { arguments: table({ 'x-queue-type': 'quorum' }) }),
      text:
        'channel 406 PRECONDITION_FAILED - Cannot declare a server-named queue for type ' +
        'rabbit_quorum_queue',
    },
    {
      title: 'dead-letter exchange of a wrong type',
      op: queueDeclare('new', { arguments: table({ 'x-dead-letter-exchange': 1 }) }),
      text:
        "channel 406 PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' " +
        `in queue 'new' ${inVhost}`,
    },
    {
      title: 'delete if unused, in use',
      op: deleteQueueOp('q', true),
      stats: { messages: 0, consumers: 1 },
      text: `channel 406 PRECONDITION_FAILED - queue 'q' ${inVhost} in use`,
    },
    {
      title: 'delete if empty, not empty',
      op: deleteQueueOp('q', false, true),
      stats: { messages: 1, consumers: 0 },
      text: `channel 406 PRECONDITION_FAILED - queue 'q' ${inVhost} not empty`,
    },
    { title: "delete another connection's", op: deleteQueueOp('mine'), actor: other, text: locked },
  ])
})

describe('queue arguments', () => {
  const rows: readonly (readonly [string, FieldValue | string | number | boolean, string])[] = [
    ['x-queue-type', 'foo', `"unsupported queue type 'foo'"`],
    ['x-queue-type', 1, '{unacceptable_type,signedint}'],
    ['x-message-ttl', -1, '{value_negative,-1}'],
    ['x-message-ttl', 'soon', '"expected integer, got longstr"'],
    ['x-message-ttl', { type: 'l', value: 315_360_000_001 }, '{value_too_large,315360000001}'],
    ['x-expires', 0, '{value_zero,0}'],
    ['x-expires', -5, '{value_negative,-5}'],
    ['x-max-length', -5, '{value_negative,-5}'],
    ['x-max-length', true, '"expected integer, got bool"'],
    ['x-max-length-bytes', -1, '{value_negative,-1}'],
    ['x-max-priority', 256, '{max_value_exceeded,256}'],
    ['x-max-priority', -1, '{value_negative,-1}'],
    ['x-overflow', 'whatever', 'invalid_overflow'],
    ['x-overflow', 1, '{unacceptable_type,signedint}'],
    ['x-dead-letter-routing-key', 'k', 'routing_key_but_no_dlx_defined'],
    ['x-single-active-consumer', 'yes', '{unacceptable_type,longstr}'],
    ['x-queue-mode', 'odd', `"unsupported queue mode 'odd'"`],
    ['x-queue-version', 3, `"unsupported queue version '3'"`],
    ['x-queue-leader-locator', 'moon', 'invalid_queue_locator_arg'],
  ]
  test.each(rows)('%s = %j is refused: %s', (key, value, reason) => {
    expect(newNode().refusal(queueDeclare('q', { arguments: table({ [key]: value }) }))).toBe(
      `channel 406 PRECONDITION_FAILED - invalid arg '${key}' for queue 'q' ${inVhost}: ${reason}`,
    )
  })

  test.each(['x-max-age', 'x-delivery-limit', 'x-quorum-initial-group-size'])(
    '%s is known, but not to classic queues',
    (key) => {
      expect(newNode().refusal(queueDeclare('q', { arguments: table({ [key]: 1 }) }))).toBe(
        `channel 406 PRECONDITION_FAILED - invalid arg '${key}' for queue 'q' ${inVhost} ` +
          'of queue type rabbit_classic_queue',
      )
    },
  )

  test('good values of every argument of a classic queue, and unknown ones, are accepted', () => {
    const args = table({
      'x-message-ttl': 0,
      'x-expires': 1,
      'x-max-length': 0,
      'x-max-length-bytes': 5,
      'x-overflow': 'reject-publish-dlx',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'k',
      'x-max-priority': 255,
      'x-single-active-consumer': true,
      'x-queue-mode': 'lazy',
      'x-queue-version': 2,
      'x-queue-leader-locator': 'balanced',
      'x-whatever': 'kept',
    })
    const node = newNode()
    node.must(queueDeclare('q', { arguments: args }))
    expect(node.vhost.queues.get('q')?.arguments).toEqual([
      ...args,
      ['x-queue-type', { type: 'S', value: 'classic' }],
    ])
    node.must(queueDeclare('q', { arguments: args }))
  })
})

describe('permissions', () => {
  const rows: readonly (readonly [
    string,
    readonly [string, string, string],
    RegistryOp,
    string,
  ])[] = [
    ['declare a queue', ['x', '.*', '.*'], queueDeclare('q2'), "configure access to queue 'q2'"],
    ['delete a queue', ['x', '.*', '.*'], deleteQueueOp('q'), "configure access to queue 'q'"],
    [
      'passive declare',
      ['a', 'a', 'a'],
      queueDeclare('q', { passive: true }),
      "configure access to queue 'q'",
    ],
    [
      'declare an exchange',
      ['q', '.*', '.*'],
      exchangeDeclare('x', 'direct'),
      "configure access to exchange 'x'",
    ],
    [
      'delete an exchange',
      ['q', '.*', '.*'],
      deleteExchangeOp('x'),
      "configure access to exchange 'x'",
    ],
    ['bind a queue: write', ['.*', 'x', '.*'], bindOp('q', 'x'), "write access to queue 'q'"],
    ['bind a queue: read', ['.*', '.*', 'q'], bindOp('q', 'x'), "read access to exchange 'x'"],
    [
      'dead-letter exchange: read on the queue',
      ['.*', '.*', '^$'],
      queueDeclare('q2', { arguments: table({ 'x-dead-letter-exchange': 'x' }) }),
      "read access to queue 'q2'",
    ],
    [
      'dead-letter exchange: write on it',
      ['.*', '^q', '.*'],
      queueDeclare('q2', { arguments: table({ 'x-dead-letter-exchange': '' }) }),
      "write access to exchange 'amq.default'",
    ],
    [
      'alternate exchange: read on the exchange',
      ['.*', '.*', 'none'],
      exchangeDeclare('y', 'direct', { arguments: table({ 'alternate-exchange': 'x' }) }),
      "read access to exchange 'y'",
    ],
    [
      'alternate exchange: write on it',
      ['.*', 'none', '.*'],
      exchangeDeclare('y', 'direct', { arguments: table({ 'alternate-exchange': 'x' }) }),
      "write access to exchange 'x'",
    ],
  ]
  test.each(rows)('%s', (_title, [configure, write, read], op, what) => {
    const node = furnishedNode()
    const actor = addUser(node, 'u', configure, write, read)
    expect(node.refusal(op, actor)).toBe(
      `channel 403 ACCESS_REFUSED - ${what} ${inVhost} refused for user 'u'`,
    )
  })

  test('topic permissions refuse a binding key', () => {
    const node = furnishedNode()
    const actor = addUser(node, 'u', '.*', '.*', '.*')
    const patterns = { write: '', read: '^{username}\\.' }
    node.must({ op: 'setTopicPermissions', user: 'u', vhost: '/', exchange: 't', ...patterns })
    expect(node.refusal(bindOp('q', 't', 'v.a'), actor)).toBe(
      `channel 403 ACCESS_REFUSED - read access to topic 'v.a' in exchange 't' ${inVhost} refused for user 'u'`,
    )
    node.must(bindOp('q', 't', 'u.a'), actor)
    node.must(bindOp('q', 'x', 'v.a'), actor)
  })

  test('any of the three will do for a passive declare', () => {
    const node = furnishedNode()
    node.must(queueDeclare('q', { passive: true }), addUser(node, 'reader', '', '', 'q'))
    node.must(exchangeDeclare('x', '', { passive: true }), addUser(node, 'writer', '', 'x', ''))
  })
})

describe('limits and settings', () => {
  test('queue limit', () => {
    const node = newNode({ queueCountMax: 1 })
    node.must(queueDeclare('one'))
    node.must(queueDeclare('one'))
    expect(node.refusal(queueDeclare('two'))).toBe(
      "channel 406 PRECONDITION_FAILED - cannot declare queue 'two': queue limit in cluster (1) is reached",
    )
  })

  test('connection limit', () => {
    const node = newNode({ connectionCountMax: 2 })
    const open = { op: 'openConnection', user: 'guest', vhost: '/' } as const
    node.must({ ...open, open: 1 })
    expect(node.refusal({ ...open, open: 2 })).toBe(
      'connection 530 NOT_ALLOWED - connection refused: node connection limit (2) is reached',
    )
  })

  test('exchange limit', () => {
    const node = newNode({ exchangeCountMax: 7 })
    expect(node.refusal(exchangeDeclare('x', 'direct'))).toBe(
      `channel 406 PRECONDITION_FAILED - cannot declare exchange 'x' ${inVhost}: ` +
        'exchange limit of 7 is reached',
    )
  })

  test('transient non-exclusive queues can be denied; exclusive ones cannot', () => {
    const node = newNode({ permitTransientNonexclusiveQueues: false })
    expect(node.refusal(queueDeclare('q', { durable: false }))).toMatch(
      /^connection 541 INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated\./,
    )
    node.must(queueDeclare('q', { durable: false, exclusive: true }))
  })

  test('a text never exceeds a shortstr, and is cut between characters', () => {
    const text = newNode().refusal(queueDeclare('é'.repeat(127), { passive: true }))
    const told = text.replace('channel 404 ', '')
    expect(Buffer.byteLength(told)).toBeLessThanOrEqual(255)
    expect(told).toMatch(/^NOT_FOUND - no queue 'é+\.\.\.$/)
  })
})
