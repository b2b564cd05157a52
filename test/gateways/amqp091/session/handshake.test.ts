import { describe, expect, test } from 'vitest'
import { encodeMethod, encodeTableBody, PROTOCOL_HEADER } from '../../../support/amqp-wire.ts'
import { SessionRig } from './session-rig.ts'

function tuned(rig: SessionRig, fields: Record<string, number> = {}): void {
  rig.send(0, 'connection.tune-ok', { channelMax: 2047, frameMax: 131072, heartbeat: 0, ...fields })
}

describe('the handshake', () => {
  test('goes from the header to open-ok, asking the registry and telling the other shards', () => {
    const rig = new SessionRig({ shards: 3 })
    rig.write(PROTOCOL_HEADER)
    expect(rig.told[0]).toMatchObject({
      name: 'connection.start',
      fields: { mechanisms: 'PLAIN AMQPLAIN ANONYMOUS', locales: 'en_US' },
    })
    rig.startOk()
    expect(rig.told[1]).toMatchObject({
      name: 'connection.tune',
      fields: { channelMax: 2047, frameMax: 131072, heartbeat: 60 },
    })
    tuned(rig)
    rig.send(0, 'connection.open', { virtualHost: 'v' })
    expect(rig.told[2]?.name).toBe('connection.open-ok')
    expect(rig.asked.map(({ op, shard }) => [op, shard])).toEqual([
      ['authenticate', 0],
      ['openConnection', 0],
      ['openConnection', 1],
      ['openConnection', 2],
    ])
    expect(rig.asked[1]).toMatchObject({ user: 'guest', vhost: 'v', window: 1048576 })
    expect(rig.asked[0]).toMatchObject({ mechanism: 'PLAIN', password: 'guest', loopback: true })
  })

  test('goes through in one write, byte by byte as well', () => {
    const login = Buffer.concat([
      PROTOCOL_HEADER,
      encodeMethod(0, 'connection.start-ok', {
        clientProperties: {},
        mechanism: 'PLAIN',
        response: '\0a\0b',
        locale: 'en_US',
      }),
      encodeMethod(0, 'connection.tune-ok', { channelMax: 9, frameMax: 8192, heartbeat: 0 }),
      encodeMethod(0, 'connection.open', { virtualHost: '/' }),
      encodeMethod(3, 'channel.open'),
      encodeMethod(3, 'queue.declare', { queue: 'q' }),
    ])
    const expected = [
      'connection.start',
      'connection.tune',
      'connection.open-ok',
      'channel.open-ok',
      'queue.declare-ok',
    ]
    const whole = new SessionRig()
    whole.write(login)
    expect(whole.names()).toEqual(expected)
    const split = new SessionRig()
    for (const byte of login) split.write(Uint8Array.of(byte))
    expect(split.names()).toEqual(expected)
  })

  test.each([
    ['GET / HT', 'AMQP\x03\x01\x00\x00'],
    ['AMQP\x00\x01\x00\x00', 'AMQP\x03\x01\x00\x00'],
    ['AMQP\x00\x00\x0a\x00', 'AMQP\x00\x00\x09\x01'],
    ['AMQP\x03\x01\x00\x00', 'AMQP\x00\x00\x09\x01'],
  ])('answers the header %j with %j and ends', (header, answer) => {
    const rig = new SessionRig()
    rig.write(Buffer.from(header, 'latin1'))
    expect(rig.rest().toString('latin1')).toBe(answer)
    expect(rig.ended).toBe(true)
  })

  test.each([
    [{ frameMax: 4096 }, 'frame_max = 4096 is lower than the minimum allowed value (8192)'],
    [{ frameMax: 0 }, 'frame_max = 0 is higher than the maximum allowed value (131072)'],
    [
      { channelMax: 0 },
      'channel_max = 0 (no limit) is higher than the maximum allowed value (2047)',
    ],
    [{ channelMax: 2048 }, 'channel_max = 2048 is higher than the maximum allowed value (2047)'],
  ])('refuses the limits %j', (limits, text) => {
    const rig = new SessionRig()
    rig.write(PROTOCOL_HEADER)
    rig.startOk()
    rig.told.length = 0
    tuned(rig, limits)
    expect(rig.told[0]).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 530, replyText: `NOT_ALLOWED - negotiated ${text}` },
    })
  })

  test('takes a limit of 0 where the server has none', () => {
    const rig = new SessionRig({ settings: { frame_max: 0, channel_max: 0 } })
    rig.login({}, { frameMax: 0, channelMax: 0 })
    rig.send(65535, 'channel.open')
    expect(rig.names()).toEqual(['channel.open-ok'])
  })

  test('understands the other mechanisms', () => {
    const amqplain = encodeTableBody({ LOGIN: 'me', PASSWORD: 'secret' }).toString('latin1')
    for (const [mechanism, response, user, password] of [
      ['AMQPLAIN', amqplain, 'me', 'secret'],
      ['ANONYMOUS', '', 'guest', 'guest'],
      ['EXTERNAL', '', 'CN=me', undefined],
    ] as const) {
      const rig = new SessionRig({
        peer: { certificateUser: 'CN=me', tls: true },
        settings: { auth_mechanisms: ['PLAIN', 'AMQPLAIN', 'ANONYMOUS', 'EXTERNAL'] },
      })
      rig.write(PROTOCOL_HEADER)
      rig.startOk({}, mechanism, response)
      expect(rig.asked[0]).toMatchObject({ mechanism, user })
      expect(rig.asked[0]?.['password']).toBe(password)
    }
  })

  test('offers EXTERNAL only to clients with a certificate', () => {
    const rig = new SessionRig({ settings: { auth_mechanisms: ['PLAIN', 'EXTERNAL'] } })
    rig.write(PROTOCOL_HEADER)
    expect(rig.told[0]?.fields['mechanisms']).toBe('PLAIN')
    rig.startOk({}, 'EXTERNAL', '')
    expect(rig.asked).toEqual([])
  })

  test('drops a malformed or unknown login without a word, after a while', () => {
    for (const [mechanism, response] of [
      ['PLAIN', 'nonsense'],
      ['PLAIN', 'authzid\0user\0pass'],
      ['AMQPLAIN', 'nonsense'],
      ['KERBEROS', 'x'],
    ] as const) {
      const rig = new SessionRig()
      rig.write(PROTOCOL_HEADER)
      rig.names()
      rig.startOk({ authentication_failure_close: true }, mechanism, response)
      rig.startOk()
      expect(rig.names()).toEqual([])
      expect(rig.session.deadline()).toBe(rig.now + 3000)
      rig.session.onDeadline(rig.now + 3000)
      expect(rig.destroyed).toBe(true)
    }
  })

  test('tells of a refused login only those who can take it', () => {
    const error = { scope: 'connection', code: 403, text: 'ACCESS_REFUSED - no' }
    for (const able of [true, false]) {
      const rig = new SessionRig()
      rig.answers.set('authenticate', () => ({ error }))
      rig.write(PROTOCOL_HEADER)
      rig.told.length = 0
      rig.startOk({ authentication_failure_close: able })
      const text =
        'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. ' +
        'For details see the broker logfile.'
      const close = { replyCode: 403, replyText: text, classId: 0, methodId: 0 }
      expect(rig.told.map((each) => each.fields)).toEqual(able ? [close] : [])
      expect(rig.lines.some((line) => line.includes("login refused: user 'guest'"))).toBe(true)
    }
  })

  test('passes on why a vhost may not be opened, and frees what it had taken', () => {
    const rig = new SessionRig()
    const text = 'NOT_ALLOWED - vhost nope not found'
    rig.answers.set('openConnection', () => ({ error: { scope: 'connection', code: 530, text } }))
    rig.write(PROTOCOL_HEADER)
    rig.startOk()
    tuned(rig)
    rig.told.length = 0
    rig.send(0, 'connection.open', { virtualHost: 'nope' })
    expect(rig.told[0]).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 530, replyText: text, classId: 10, methodId: 40 },
    })
    expect([...rig.port.connections.values()]).toEqual([])
    rig.send(0, 'connection.close-ok')
    expect(rig.ended).toBe(true)
  })

  test('ends when it takes too long', () => {
    const rig = new SessionRig({ settings: { handshake_timeout: 500 } })
    rig.write(PROTOCOL_HEADER)
    expect(rig.session.deadline()).toBe(rig.now + 500)
    rig.session.onDeadline(rig.now + 500)
    expect(rig.destroyed).toBe(true)
    expect(rig.lines.at(-1)).toContain('handshake_timeout')
  })

  test('frames for channels before open end the connection', () => {
    const rig = new SessionRig()
    rig.write(PROTOCOL_HEADER)
    rig.startOk()
    rig.told.length = 0
    rig.send(1, 'channel.open')
    expect(rig.told[0]).toMatchObject({ name: 'connection.close', fields: { replyCode: 505 } })
  })

  test('a client that goes while its vhost is being opened leaves nothing behind', () => {
    const rig = new SessionRig({ shards: 2 })
    rig.answers.set('openConnection', () => undefined)
    rig.write(PROTOCOL_HEADER)
    rig.startOk()
    tuned(rig)
    rig.send(0, 'connection.open', { virtualHost: '/' })
    rig.session.onClosed(undefined)
    rig.settle()
    rig.answer('openConnection', {})
    const ops = rig.asked.map(({ op, shard }) => `${op} ${shard}`)
    expect(ops.slice(1)).toEqual(['openConnection 0', 'closeConnection 0', 'closeConnection 1'])
    expect([...rig.port.connections.values()]).toEqual([])
  })
})
