import { describe, expect, test } from 'vitest'
import { makeEntry } from '../../../shared/bus/fake-shard.ts'
import { names, noProperties, SessionRig } from './session-rig.ts'

function slots(rig: SessionRig): number[] {
  const { connections, channels, consumers } = rig.port
  return [connections, channels, consumers].map((table) => [...table.values()].length)
}

describe('the end of a connection', () => {
  test('by the client waits for all shards, then frees every slot', () => {
    const rig = new SessionRig({ shards: 2 }).login()
    rig.send(1, 'basic.consume', { queue: 'q' })
    rig.send(2, 'channel.open')
    rig.publish(2, 'k', 'x')
    rig.answers.set('closeConnection', (asked) => (asked.shard === 1 ? {} : undefined))
    rig.forget()
    rig.send(0, 'connection.close', { replyCode: 200, replyText: 'bye' })
    expect(rig.told).toEqual([])
    expect(rig.asked.map((each) => each.op)).toEqual([
      'fence',
      'closeConnection',
      'closeConnection',
    ])
    expect(slots(rig)).toEqual([1, 2, 1])
    rig.answer('closeConnection', {})
    expect(rig.names()).toEqual(['connection.close-ok'])
    expect(rig.ended).toBe(true)
    expect(slots(rig)).toEqual([0, 0, 0])
    rig.session.onClosed(undefined)
    expect(rig.askedOf('closeConnection')).toHaveLength(2)
  })

  test('by a lost socket frees the same, without a word', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.consume', { queue: 'q' })
    rig.forget()
    rig.session.onClosed(undefined)
    rig.settle()
    expect(rig.told).toEqual([])
    expect(slots(rig)).toEqual([0, 0, 0])
    expect(rig.lines.at(-1)).toContain('client unexpectedly closed TCP connection')
  })

  test('while a channel is closing frees its slots as well', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.consume', { queue: 'q' })
    rig.answers.set('closeChannel', () => undefined)
    rig.send(1, 'channel.close')
    rig.session.onClosed(undefined)
    rig.settle()
    rig.answer('closeChannel', {})
    expect(slots(rig)).toEqual([0, 0, 0])
  })

  test('by an operator is told with the reason', () => {
    const rig = new SessionRig().login()
    const error = {
      scope: 'connection',
      code: 320,
      text: 'CONNECTION_FORCED - Closed via management plugin',
    }
    rig.shards[0]?.event({ event: 'connectionClosed', connection: 1, error })
    rig.drain()
    rig.settle()
    expect(rig.told[0]).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 320, replyText: error.text, classId: 0, methodId: 0 },
    })
  })

  test('by a shutdown as well; a client that does not answer is cut off', () => {
    const rig = new SessionRig().login({}, { heartbeat: 4 })
    rig.session.onShutdown('shutdown')
    rig.settle()
    expect(rig.told[0]?.fields['replyText']).toBe(
      "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
    )
    rig.session.onDeadline(rig.now + 3999)
    expect(rig.destroyed).toBe(false)
    rig.session.onDeadline(rig.now + 4000)
    expect(rig.destroyed).toBe(true)
  })

  test('asked for by both sides at once comes to an end', () => {
    const rig = new SessionRig().login()
    rig.session.onShutdown('shutdown')
    rig.settle()
    rig.send(0, 'connection.close', { replyCode: 200 })
    expect(rig.names()).toEqual(['connection.close', 'connection.close-ok'])
    expect(rig.ended).toBe(true)
  })

  test('drops deliveries that were on their way', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.consume', { queue: 'q' })
    const slot = Number(rig.askedOf('consume')[0]?.['consumer'])
    rig.answers.set('closeConnection', () => undefined)
    rig.session.onShutdown('shutdown')
    rig.settle()
    rig.forget()
    rig.deliver(slot, 0, makeEntry(names('', 'k'), noProperties, Buffer.alloc(100_000)))
    rig.drain()
    rig.settle()
    expect(rig.told).toEqual([])
    expect(rig.records).toEqual([])
  })
})

describe('channel.close by the client', () => {
  test('waits for the shards, and the number can be opened again at once', () => {
    const rig = new SessionRig({ shards: 2 }).login()
    rig.send(1, 'channel.close', { replyCode: 200 })
    rig.send(1, 'channel.open')
    expect(rig.names()).toEqual(['channel.close-ok', 'channel.open-ok'])
    expect(rig.askedOf('closeChannel').map((each) => each.shard)).toEqual([0, 1])
    expect(slots(rig)).toEqual([1, 1, 0])
  })

  test('that crosses an error of the broker is answered, and both are done with close-ok', () => {
    const rig = new SessionRig({ shards: 2 }).login()
    rig.answers.set('fence', () => undefined)
    rig.publish(1, 'k', 'x', { exchange: 'missing' })
    rig.send(1, 'channel.close', { replyCode: 200 })
    const error = { scope: 'channel', code: 404, text: 'NOT_FOUND - x' }
    rig.shards[0]?.event({ event: 'channelError', channel: 1, error })
    rig.drain()
    rig.answer('fence', {})
    expect(rig.names()).toEqual(['channel.close', 'channel.close-ok'])
    rig.send(1, 'channel.close-ok')
    rig.send(1, 'channel.open')
    expect(rig.names()).toEqual(['channel.open-ok'])
  })
})

describe('heartbeats', () => {
  test('go out when nothing else did for half the interval', () => {
    const rig = new SessionRig().login({}, { heartbeat: 10 })
    const tick = (ms: number): number => {
      rig.now += ms
      rig.session.onBytes(Buffer.alloc(0))
      if (rig.session.deadline() <= rig.now) rig.session.onDeadline(rig.now)
      rig.settle()
      return rig.heartbeats
    }
    expect(rig.session.deadline()).toBe(rig.now + 2500)
    // Open-ok went out in the first quarter.
    expect(tick(2500)).toBe(0)
    expect(tick(2500)).toBe(0)
    expect(tick(2500)).toBe(1)
    rig.send(1, 'queue.declare', { queue: 'q' })
    expect(tick(2500)).toBe(1)
    expect(tick(2500)).toBe(1)
    expect(tick(2500)).toBe(2)
  })

  test('leave no gap of a whole interval, even where that is but two ticks of the host', () => {
    const rig = new SessionRig().login({}, { heartbeat: 1 })
    rig.now += 500
    rig.session.onDeadline(rig.now)
    expect(rig.heartbeats).toBe(0)
    rig.now += 450
    rig.session.onDeadline(rig.now)
    rig.settle()
    expect(rig.heartbeats).toBe(1)
  })

  test('that do not come end the connection after two checks; any byte counts', () => {
    const rig = new SessionRig().login({}, { heartbeat: 10 })
    const tick = (): boolean => {
      rig.now += 10_000
      rig.session.onDeadline(rig.now)
      return rig.destroyed
    }
    expect(tick()).toBe(false)
    expect(tick()).toBe(false)
    rig.write(Buffer.from([8]))
    expect(tick()).toBe(false)
    expect(tick()).toBe(false)
    expect(tick()).toBe(true)
    expect(rig.lines.at(-1)).toContain('missed heartbeats from client, timeout: 10s')
  })

  test('are not missed while the connection is not read', () => {
    const rig = new SessionRig().login({}, { heartbeat: 1 })
    rig.answers.set('queueDeclare', () => undefined)
    rig.send(1, 'queue.declare', { queue: 'q' })
    for (let i = 0; i < 10; i++) {
      rig.now += 1000
      rig.session.onDeadline(rig.now)
    }
    expect(rig.destroyed).toBe(false)
  })

  test('are not sent when the client wants none', () => {
    const rig = new SessionRig().login({}, { heartbeat: 0 })
    expect(rig.session.deadline()).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('update-secret', () => {
  test('takes any, as the password store of RabbitMQ does, and asks again what the user may do', () => {
    const rig = new SessionRig().login()
    rig.send(0, 'connection.update-secret', { newSecret: 'new', reason: 'because' })
    expect(rig.names()).toEqual(['connection.update-secret-ok'])
    expect(rig.askedOf('recheckAccess').length).toBeGreaterThan(0)
    const error = { scope: 'connection', code: 403, text: 'ACCESS_REFUSED - no' }
    rig.answers.set('recheckAccess', () => ({ error }))
    rig.send(0, 'connection.update-secret', { newSecret: 'newer', reason: 'because' })
    expect(rig.told[0]?.fields).toMatchObject({ replyCode: 403, replyText: 'ACCESS_REFUSED - no' })
  })
})
