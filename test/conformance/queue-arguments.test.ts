// Validation and equivalence of queue arguments, with the texts that clients and tests match on.

import { expect, it } from 'vitest'
import { TypedValue } from '../support/amqp-wire.ts'
import { channelError } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'

describeBrokers('queue arguments', (use) => {
  it.each([
    ['x-message-ttl', 0],
    ['x-message-ttl', 315_360_000_000],
    ['x-expires', 1],
    ['x-max-length', 0],
    ['x-max-length-bytes', 0],
    ['x-overflow', 'drop-head'],
    ['x-overflow', 'reject-publish'],
    ['x-overflow', 'reject-publish-dlx'],
    ['x-dead-letter-exchange', 'nowhere-yet'],
    ['x-max-priority', 0],
    ['x-max-priority', 255],
    ['x-single-active-consumer', true],
    ['x-queue-type', 'classic'],
    ['x-queue-leader-locator', 'balanced'],
    ['x-queue-leader-locator', 'client-local'],
    ['x-queue-mode', 'lazy'],
    ['x-queue-version', 2],
    ['x-completely-unknown', 'accepted'],
  ])('accepts %s = %j', async (key, value) => {
    const channel = await use().channel()
    await channel.assertQueue(use().name('ok'), { arguments: { [key]: value } })
  })

  it.each([
    ['x-message-ttl', -1, '{value_negative,-1}'],
    ['x-message-ttl', 315_360_000_001, '{value_too_large,315360000001}'],
    ['x-message-ttl', 'soon', '"expected integer, got longstr"'],
    ['x-expires', 0, '{value_zero,0}'],
    ['x-expires', -5, '{value_negative,-5}'],
    ['x-expires', true, '"expected integer, got bool"'],
    ['x-max-length', -5, '{value_negative,-5}'],
    ['x-max-length', 'many', '"expected integer, got longstr"'],
    ['x-max-length-bytes', -1, '{value_negative,-1}'],
    ['x-max-priority', -1, '{value_negative,-1}'],
    ['x-max-priority', 256, '{max_value_exceeded,256}'],
    ['x-overflow', 'spill', 'invalid_overflow'],
    ['x-queue-leader-locator', 'nearest', 'invalid_queue_locator_arg'],
    ['x-queue-mode', 'odd', '"unsupported queue mode \'odd\'"'],
    ['x-queue-version', 3, '"unsupported queue version \'3\'"'],
    ['x-queue-version', 'two', '"expected integer, got longstr"'],
    ['x-queue-type', 'magic', '"unsupported queue type \'magic\'"'],
    ['x-single-active-consumer', 'yes', '{unacceptable_type,longstr}'],
    ['x-overflow', true, '{unacceptable_type,bool}'],
    ['x-dead-letter-routing-key', 'k', 'routing_key_but_no_dlx_defined'],
  ])('refuses %s = %j', async (key, value, reason) => {
    const channel = await use().channel()
    const queue = use().name('bad')
    const args = { [key]: value }
    const error = await channelError(channel, () => channel.assertQueue(queue, { arguments: args }))
    expect(error).toEqual({
      code: 406,
      text: `PRECONDITION_FAILED - invalid arg '${key}' for queue '${queue}' in vhost '/': ${reason}`,
      classId: 50,
      methodId: 10,
    })
  })

  it.each([
    ['t', true, 'bool'],
    ['b', 5, 'byte'],
    ['B', 5, 'unsignedbyte'],
    ['s', 5, 'short'],
    ['u', 5, 'unsignedshort'],
    ['I', 5, 'signedint'],
    ['i', 5, 'unsignedint'],
    ['l', 5, 'long'],
    ['f', 1.5, 'float'],
    ['d', 1.5, 'double'],
    ['T', 5, 'timestamp'],
    ['F', {}, 'table'],
    ['A', [], 'array'],
    ['x', 'bytes', 'binary'],
    ['V', null, 'void'],
  ])('names table type %s in refusals', async (letter, value, typeName) => {
    const raw = await use().raw()
    const queue = use().name('bad')
    const args = { 'x-overflow': new TypedValue(letter, value) }
    const reply = await raw.call(1, 'queue.declare', { queue, durable: true, arguments: args })
    expect(reply.fields['replyText']).toBe(
      `PRECONDITION_FAILED - invalid arg 'x-overflow' for queue '${queue}' in vhost '/': {unacceptable_type,${typeName}}`,
    )
  })

  it('refuses a dead letter exchange that is no string', async () => {
    const channel = await use().channel()
    const queue = use().name('bad')
    const args = { 'x-dead-letter-exchange': true }
    const error = await channelError(channel, () => channel.assertQueue(queue, { arguments: args }))
    expect(error.text).toBe(
      `PRECONDITION_FAILED - invalid type 'bool' for arg 'x-dead-letter-exchange' in queue '${queue}' in vhost '/'`,
    )
  })

  it('takes classic as equal to no queue type', async () => {
    const channel = await use().channel()
    const queue = use().name('typed')
    await channel.assertQueue(queue)
    await channel.assertQueue(queue, { arguments: { 'x-queue-type': 'classic' } })
    await channel.assertQueue(queue)
  })

  it('compares integers by value, whatever their width', async () => {
    const raw = await use().raw()
    const queue = use().name('wide')
    for (const letter of ['b', 'B', 's', 'u', 'I', 'i', 'l', 'L']) {
      const args = { 'x-max-length': new TypedValue(letter, 100) }
      const reply = await raw.call(1, 'queue.declare', { queue, durable: true, arguments: args })
      expect(reply.name, letter).toBe('queue.declare-ok')
    }
  })

  it('ignores arguments that no queue type knows when it compares', async () => {
    const channel = await use().channel()
    const queue = use().name('unknown')
    await channel.assertQueue(queue, { arguments: { 'x-note': 'a' } })
    await channel.assertQueue(queue, { arguments: { 'x-note': 'b' } })
    await channel.assertQueue(queue)
  })

  it('names an argument that is new', async () => {
    const raw = await use().raw()
    const queue = use().name('args')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    const args = { 'x-max-length': new TypedValue('l', 10) }
    const reply = await raw.call(1, 'queue.declare', { queue, durable: true, arguments: args })
    expect(reply.fields['replyText']).toBe(
      `PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '${queue}' in vhost '/': received the value '10' of type 'long' but current is none`,
    )
  })

  it('names an argument that is missing', async () => {
    const raw = await use().raw()
    const queue = use().name('args')
    const args = { 'x-max-length': new TypedValue('I', 10) }
    await raw.call(1, 'queue.declare', { queue, durable: true, arguments: args })
    const reply = await raw.call(1, 'queue.declare', { queue, durable: true })
    expect(reply.fields['replyText']).toBe(
      `PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '${queue}' in vhost '/': received none but current is the value '10' of type 'signedint'`,
    )
  })

  it.each([
    ['x-max-length', 10, 20, "received '20' but current is '10'"],
    ['x-message-ttl', 1000, 2000, "received '2000' but current is '1000'"],
    ['x-dead-letter-exchange', 'one', 'two', "received 'two' but current is 'one'"],
    ['x-single-active-consumer', true, false, "received 'false' but current is 'true'"],
  ])('names both values of %s', async (key, current, received, difference) => {
    const channel = await use().channel()
    const queue = use().name('args')
    await channel.assertQueue(queue, { arguments: { [key]: current } })
    const error = await channelError(channel, () =>
      channel.assertQueue(queue, { arguments: { [key]: received } }),
    )
    expect(error).toMatchObject({
      code: 406,
      text: `PRECONDITION_FAILED - inequivalent arg '${key}' for queue '${queue}' in vhost '/': ${difference}`,
    })
  })
})
