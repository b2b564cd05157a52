import { describe, expect, test } from 'vitest'
import { slabBytes } from '../../../../shared/bus/arena.ts'
import { EntryFlag, Record } from '../../../../shared/bus/wire.ts'
import { placeQueue } from '../../../../shared/placement.ts'
import type { Properties } from '../../../support/amqp-wire.ts'
import {
  encodeFrame,
  encodeHeader,
  encodeMethod,
  FrameType,
  TypedValue,
} from '../../../support/amqp-wire.ts'
import { names, noProperties, SessionRig } from './session-rig.ts'

function closed(rig: SessionRig): unknown {
  return rig.told.map((each) => [each.name, each.fields['replyCode'], each.fields['replyText']])
}

describe('a publish', () => {
  test('becomes names, properties and body in one entry', () => {
    const rig = new SessionRig().login()
    rig.publish(1, 'key', 'body', { exchange: 'ex', mandatory: true })
    expect(rig.published()).toEqual([
      { exrk: names('ex', 'key'), extra: '', props: noProperties, body: Buffer.from('body') },
    ])
    expect(rig.ofType(Record.publish)).toEqual([[1, EntryFlag.mandatory]])
  })

  test('carries flags for persistence, headers and the mode of the channel', () => {
    const rig = new SessionRig().login()
    rig.publish(1, 'k', '', { properties: { deliveryMode: 2 } })
    rig.send(1, 'confirm.select')
    rig.publish(1, 'k', 'x', { properties: { headers: { a: 1 } } })
    rig.send(2, 'channel.open')
    rig.send(2, 'tx.select')
    rig.publish(2, 'k', 'x')
    expect(rig.ofType(Record.publish).map((fields) => fields[1])).toEqual([
      EntryFlag.persistent,
      EntryFlag.confirm | EntryFlag.headers,
      EntryFlag.transactional,
    ])
  })

  test('is the same however its bytes are cut', () => {
    const rig = new SessionRig().login()
    const properties: Properties = { contentType: 'text/plain', headers: { a: 'b' } }
    const bytes = rig.publishBytes(1, 'some-key', 'a body', { exchange: 'ex', properties })
    rig.write(bytes)
    const [whole] = rig.published()
    for (let at = 1; at < bytes.length; at++) {
      rig.forget()
      rig.write(bytes.subarray(0, at))
      rig.write(bytes.subarray(at))
      expect(rig.published(), `cut at ${at}`).toEqual([whole])
    }
  })

  test('may be interleaved with those of other channels, also across chunks', () => {
    const rig = new SessionRig().login()
    rig.send(2, 'channel.open')
    const one = [
      encodeMethod(1, 'basic.publish', { routingKey: 'one' }),
      encodeHeader(1, 6),
      encodeFrame(FrameType.body, 1, Buffer.from('abc')),
      encodeFrame(FrameType.body, 1, Buffer.from('def')),
    ]
    const two = [
      encodeMethod(2, 'basic.publish', { routingKey: 'two' }),
      encodeHeader(2, 6),
      encodeFrame(FrameType.body, 2, Buffer.from('uvw')),
      encodeFrame(FrameType.body, 2, Buffer.from('xyz')),
    ]
    const woven = one.flatMap((frame, i) => [frame, two[i] as Buffer])
    rig.write(Buffer.concat(woven))
    const bodies = (): string[] => rig.published().map((each) => each.exrk.slice(2) + each.body)
    expect(bodies()).toEqual(['oneabcdef', 'twouvwxyz'])
    rig.forget()
    for (const frame of woven) rig.write(frame)
    expect(bodies()).toEqual(['oneabcdef', 'twouvwxyz'])
  })

  test('is the same whether its body comes in one frame or in several', () => {
    const rig = new SessionRig().login()
    const frames = [
      encodeMethod(1, 'basic.publish', { routingKey: 'k', mandatory: true }),
      encodeHeader(1, 5, { deliveryMode: 2 }),
    ]
    const bodies = [['whole'], ['wh', 'ole'], ['who', '', 'le'], ['w', 'h', 'o', 'l', 'e']]
    for (const parts of bodies) {
      const body = parts.map((part) => encodeFrame(FrameType.body, 1, Buffer.from(part)))
      rig.write(Buffer.concat([...frames, ...body, ...frames, ...body]))
    }
    const seen = rig.records.filter((each) => each.entry !== undefined)
    expect(seen).toHaveLength(8)
    for (const each of seen) expect(each).toEqual(seen[0])
  })

  test('with a large body goes over several slabs', () => {
    const rig = new SessionRig().login()
    const body = Buffer.alloc(2 * slabBytes + 54321)
    for (let i = 0; i < body.length; i += 4) body.writeUInt32LE(i, i > body.length - 4 ? 0 : i)
    const bytes = rig.publishBytes(1, 'k', body)
    for (let at = 0; at < bytes.length; at += 60_000) rig.write(bytes.subarray(at, at + 60_000))
    const [entry] = rig.published()
    expect(entry?.exrk).toBe(names('', 'k'))
    expect(entry?.body.equals(body)).toBe(true)
  })

  test('takes its way by the first target and keeps to it', () => {
    const rig = new SessionRig({ shards: 3 }).login()
    const queues = Array.from({ length: 8 }, (_, i) => `q${i}`)
    for (const [i, queue] of queues.entries()) {
      rig.send(i + 2, 'channel.open')
      rig.publish(i + 2, queue, 'x')
      rig.publish(i + 2, 'other', 'x')
    }
    const shards = rig.records.filter((each) => each.entry !== undefined).map((each) => each.shard)
    expect(shards).toEqual(queues.flatMap((q) => Array(2).fill(placeQueue('/', q, 3))))
  })

  test('over the size limit closes the channel and the rest of it is ignored', () => {
    const rig = new SessionRig({ settings: { max_message_size: 2000 } }).login()
    rig.publish(1, 'k', Buffer.alloc(2001))
    const text = 'PRECONDITION_FAILED - message size 2001 is larger than configured max size 2000'
    expect(closed(rig)).toEqual([['channel.close', 406, text]])
    expect(rig.askedOf('closeChannel')).toHaveLength(1)
    rig.send(1, 'channel.close-ok')
    rig.send(1, 'channel.open')
    rig.publish(1, 'k', Buffer.alloc(2000))
    expect(rig.published()).toHaveLength(1)
  })

  test('with immediate ends the connection', () => {
    const rig = new SessionRig().login()
    rig.publish(1, 'k', 'x', { immediate: true })
    expect(closed(rig)).toEqual([['connection.close', 540, 'NOT_IMPLEMENTED - immediate=true']])
  })
})

describe('the properties of a publish', () => {
  test.each([
    ['abc', 'no_integer'],
    ['', 'no_integer'],
    ['12x', '{leftover_string,"x"}'],
    ['-1', '{value_negative,-1}'],
    ['315360000001', '{value_too_large,315360000001}'],
  ])('refuse the expiration %j', (expiration, reason) => {
    const rig = new SessionRig().login()
    rig.publish(1, 'k', 'x', { properties: { expiration } })
    const text = `PRECONDITION_FAILED - invalid expiration '${expiration}': ${reason}`
    expect(closed(rig)).toEqual([['channel.close', 406, text]])
  })

  test.each(['0', '+5', '315360000000', '007'])('take the expiration %j', (expiration) => {
    const rig = new SessionRig().login()
    rig.publish(1, 'k', 'x', { properties: { expiration } })
    expect(rig.published()).toHaveLength(1)
  })

  test('must name the user who publishes, unless that one may impersonate', () => {
    const rig = new SessionRig().login()
    rig.publish(1, 'k', 'x', { properties: { userId: 'guest' } })
    expect(rig.published()).toHaveLength(1)
    rig.publish(1, 'k', 'x', { properties: { userId: 'guesT' } })
    const text =
      "PRECONDITION_FAILED - user_id property set to 'guesT' but authenticated user was 'guest'"
    expect(closed(rig)).toEqual([['channel.close', 406, text]])

    const other = new SessionRig()
    other.answers.set('authenticate', () => ({ user: 'guest', tags: ['impersonator'] }))
    other.login()
    other.publish(1, 'k', 'x', { properties: { userId: 'anybody' } })
    expect(other.published()).toHaveLength(1)
  })

  test('may hold further keys in CC and BCC, of which BCC is not kept', () => {
    const rig = new SessionRig().login()
    const headers = { CC: ['c1', 7, 'c2'], x: 'y', BCC: ['b'] }
    rig.publish(1, 'k', 'x', { properties: { headers } })
    rig.publish(1, 'k', 'x', { properties: { headers: { CC: headers.CC, x: 'y' } } })
    const [both, cc] = rig.published()
    expect(both?.extra).toBe('\x03\x02c1\x02c2\x01b')
    expect(cc?.extra).toBe('\x02\x02c1\x02c2')
    expect(both?.props).toBe(cc?.props)
  })

  test.each([
    [{ CC: 'text' }, '"CC",longstr'],
    [{ BCC: new TypedValue('I', 5) }, '"BCC",signedint'],
  ])('refuse %j', (headers, what) => {
    const rig = new SessionRig().login()
    rig.publish(1, 'k', 'x', { properties: { headers } })
    const text = `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,${what}}`
    expect(closed(rig)).toEqual([['channel.close', 406, text]])
  })

  test('name the real reply queue in place of the pseudo one', () => {
    const rig = new SessionRig().login()
    const replyTo = 'amq.rabbitmq.reply-to'
    rig.answers.set('consume', () => ({ replyTo: `${replyTo}.abc.def` }))
    rig.send(1, 'basic.consume', { queue: replyTo, noAck: true })
    rig.publish(1, 'k', 'x', { properties: { replyTo, correlationId: '7' } })
    rig.publish(1, 'k', 'x', { properties: { replyTo: `${replyTo}.abc.def`, correlationId: '7' } })
    const [rewritten, given] = rig.published()
    expect(rewritten).toEqual(given)
  })

  test('may not ask for replies without a consumer for them', () => {
    const rig = new SessionRig().login()
    rig.publish(1, 'k', 'x', { properties: { replyTo: 'amq.rabbitmq.reply-to' } })
    const text = 'PRECONDITION_FAILED - fast reply consumer does not exist'
    expect(closed(rig)).toEqual([['channel.close', 406, text]])
  })

  test('that are malformed end the connection', () => {
    const rig = new SessionRig().login()
    const header = encodeHeader(1, 0, { contentType: 'text/plain' })
    header[20] = 0x10
    rig.send(1, 'basic.publish')
    rig.write(header)
    expect(rig.told[0]).toMatchObject({ name: 'connection.close', fields: { replyCode: 501 } })
    expect(rig.ended).toBe(true)
  })
})

describe('what the shard says of publishes', () => {
  test('confirms become acks and nacks in sequence', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'confirm.select')
    rig.forget()
    const [shard] = rig.shards
    shard?.writeWords(Record.confirm, [1, 1, 0])
    shard?.writeWords(Record.confirm, [1, 3, 0])
    shard?.writeWords(Record.confirm, [1, 1, 1])
    shard?.writeWords(Record.confirm, [1, 2, 0])
    rig.drain()
    const told = rig.told.map(({ name, fields }) => [
      name,
      fields['deliveryTag'],
      fields['multiple'],
    ])
    expect(told).toEqual([
      ['basic.ack', 1, false],
      ['basic.ack', 4, true],
      ['basic.nack', 5, false],
      ['basic.ack', 7, true],
    ])
  })

  test('returns come back whole, large bodies too', () => {
    const rig = new SessionRig().login()
    const body = Buffer.alloc(300_000, 'z')
    const entry = { exrk: names('ex', 'key'), extra: '\x01\x01c', props: noProperties, body }
    rig.shards[0]?.writeEntry(Record.returned, 1, 312, 0, entry)
    rig.drain()
    expect(rig.told[0]).toMatchObject({
      name: 'basic.return',
      fields: { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'ex', routingKey: 'key' },
      bodyFrames: [131064, 131064, 37872],
    })
    expect(rig.told[0]?.body?.equals(body)).toBe(true)
  })

  test('an error closes the channel, once', () => {
    const rig = new SessionRig().login()
    const text = "NOT_FOUND - no exchange 'x' in vhost '/'"
    const error = { scope: 'channel', code: 404, text }
    rig.shards[0]?.event({ event: 'channelError', channel: 1, error })
    rig.shards[0]?.event({ event: 'channelError', channel: 1, error })
    rig.drain()
    expect(rig.told.map((each) => [each.name, each.fields])).toEqual([
      ['channel.close', { replyCode: 404, replyText: text, classId: 60, methodId: 40 }],
    ])
  })
})
