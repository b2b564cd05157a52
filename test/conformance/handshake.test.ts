// From the protocol header to connection.open: what the broker announces, logins, limits, vhosts.

import { connect, credentials } from 'amqplib'
import { expect, it } from 'vitest'
import type { FieldTable } from '../support/amqp-wire.ts'
import { encodeTableBody, TypedValue } from '../support/amqp-wire.ts'
import { describeGateway, itOnWarren } from '../support/profiles.ts'
import type { LoginOptions, RawClient } from '../support/raw-client.ts'
import { numberOf, textOf } from '../support/raw-client.ts'

describeGateway('handshake', (use) => {
  async function loggedIn(options: LoginOptions = {}): Promise<RawClient> {
    const raw = await use().socket()
    await raw.login(options)
    return raw
  }

  it('announces what client libraries look for', async () => {
    const raw = await use().socket()
    const { start, tune } = await raw.login()
    expect(start.fields).toMatchObject({ major: 0, minor: 9, locales: 'en_US' })
    expect(textOf(start, 'mechanisms').split(' ').sort()).toEqual([
      'AMQPLAIN',
      'ANONYMOUS',
      'PLAIN',
    ])
    const properties = start.fields['serverProperties'] as FieldTable
    for (const key of ['product', 'version', 'platform', 'copyright', 'information']) {
      expect(properties[key], key).toEqual(expect.stringMatching(/./))
    }
    expect(properties['version']).toMatch(/^4\.\d+\.\d+/)
    expect(properties['cluster_name']).toEqual(expect.stringMatching(/./))
    expect(properties['capabilities']).toEqual({
      publisher_confirms: true,
      exchange_exchange_bindings: true,
      'basic.nack': true,
      consumer_cancel_notify: true,
      'connection.blocked': true,
      consumer_priorities: true,
      authentication_failure_close: true,
      per_consumer_qos: true,
      direct_reply_to: true,
    })
    expect(tune.fields).toEqual({ channelMax: 2047, frameMax: 131072, heartbeat: 60 })
  })

  it('accepts the protocol header of 0-9 too', async () => {
    const raw = await use().socket()
    raw.write(Buffer.from('AMQP\x01\x01\x00\x09', 'latin1'))
    expect((await raw.expect(0, 'connection.start')).fields).toMatchObject({ major: 0, minor: 9 })
  })

  it('accepts a header that comes in pieces', async () => {
    const raw = await use().socket()
    for (const byte of Buffer.from('AMQP\x00\x00\x09\x01', 'latin1')) {
      await new Promise<void>((resolve) => {
        raw.socket.write(Buffer.of(byte), () => resolve())
      })
    }
    await raw.expect(0, 'connection.start')
  })

  it('accepts everything up to connection.open in one write', async () => {
    const raw = await use().socket()
    await raw.authenticate()
    raw.tuneOk({
      name: 'connection.tune',
      channel: 0,
      fields: { channelMax: 2047, frameMax: 131072 },
      properties: undefined,
      body: undefined,
      bodyFrames: [],
    })
    raw.send(0, 'connection.open', { virtualHost: '/' })
    raw.send(1, 'channel.open')
    raw.send(1, 'queue.declare', { exclusive: true })
    await raw.expect(0, 'connection.open-ok')
    await raw.expect(1, 'channel.open-ok')
    await raw.expect(1, 'queue.declare-ok')
  })

  // RabbitMQ 4.0 waits and drops the connection; later versions say why.
  itOnWarren('refuses tune-ok outside the limits with 530', async () => {
    const cases: [LoginOptions, string][] = [
      [
        { frameMax: 4096 },
        'negotiated frame_max = 4096 is lower than the minimum allowed value (8192)',
      ],
      [
        { frameMax: 131073 },
        'negotiated frame_max = 131073 is higher than the maximum allowed value (131072)',
      ],
      [
        { frameMax: 0 },
        'negotiated frame_max = 0 is higher than the maximum allowed value (131072)',
      ],
      [
        { channelMax: 65535 },
        'negotiated channel_max = 65535 is higher than the maximum allowed value (2047)',
      ],
      [
        { channelMax: 0 },
        'negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)',
      ],
    ]
    const answers = cases.map(async ([limits, reason]) => {
      const raw = await use().socket()
      const { answer } = await raw.authenticate()
      raw.tuneOk(answer, limits)
      expect(await raw.next(0), reason).toMatchObject({
        name: 'connection.close',
        fields: { replyCode: 530, replyText: `NOT_ALLOWED - ${reason}`, classId: 10, methodId: 31 },
      })
    })
    await Promise.all(answers)
  })

  it('takes the smaller limits that a client asks for', async () => {
    const raw = await loggedIn({ frameMax: 8192, channelMax: 1, heartbeat: 0 })
    await raw.openChannel(1)
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    raw.publish(1, { routingKey: queue, body: Buffer.alloc(20_000) })
    const got = await raw.call(1, 'basic.get', { queue, noAck: true })
    expect(got.bodyFrames).toEqual([8184, 8184, 3632])
  })

  it('refuses more channels than negotiated', async () => {
    const raw = await loggedIn({ channelMax: 2 })
    await raw.openChannel(1)
    await raw.openChannel(2)
    expect(await raw.call(3, 'channel.open')).toMatchObject({
      name: 'connection.close',
      fields: {
        replyCode: 530,
        replyText:
          'NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)',
      },
    })
  })

  it('serves the highest channel number', async () => {
    const raw = await loggedIn()
    await raw.openChannel(2047)
    expect((await raw.call(2047, 'queue.declare', { exclusive: true })).name).toBe(
      'queue.declare-ok',
    )
  })

  it('refuses a virtual host that is not there', async () => {
    const raw = await use().socket()
    const { answer } = await raw.authenticate()
    raw.tuneOk(answer)
    raw.send(0, 'connection.open', { virtualHost: 'no-such-vhost' })
    expect(await raw.next(0)).toMatchObject({
      name: 'connection.close',
      fields: {
        replyCode: 530,
        replyText: 'NOT_ALLOWED - vhost no-such-vhost not found',
        classId: 10,
        methodId: 40,
      },
    })
    raw.send(0, 'connection.close-ok')
    await raw.waitForEnd()
  })

  it('answers connection.close and ends the connection', async () => {
    const raw = await loggedIn()
    expect((await raw.call(0, 'connection.close', { replyCode: 200 })).name).toBe(
      'connection.close-ok',
    )
    raw.socket.end()
    await raw.waitForEnd()
  })
})

describeGateway('login', (use) => {
  const REFUSED = (mechanism: string): string =>
    `ACCESS_REFUSED - Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`

  const tableResponse = (table: FieldTable): Uint8Array => encodeTableBody(table)

  it.each<[string, LoginOptions]>([
    ['PLAIN', {}],
    [
      'AMQPLAIN',
      {
        mechanism: 'AMQPLAIN',
        response: tableResponse({ LOGIN: 'guest', PASSWORD: 'guest' }),
      },
    ],
    [
      'AMQPLAIN with bytes',
      {
        mechanism: 'AMQPLAIN',
        response: tableResponse({
          PASSWORD: new TypedValue('x', 'guest'),
          LOGIN: new TypedValue('x', 'guest'),
        }),
      },
    ],
    ['ANONYMOUS', { mechanism: 'ANONYMOUS', response: 'whatever' }],
    ['ANONYMOUS without a response', { mechanism: 'ANONYMOUS', response: '' }],
  ])('accepts %s', async (_title, options) => {
    const raw = await use().raw(options)
    expect((await raw.call(1, 'queue.declare', { exclusive: true })).name).toBe('queue.declare-ok')
  })

  it.each<[string, LoginOptions]>([
    ['PLAIN', { password: 'wrong' }],
    ['PLAIN', { user: 'nobody' }],
    ['PLAIN', { user: '', password: '' }],
    [
      'AMQPLAIN',
      {
        mechanism: 'AMQPLAIN',
        response: tableResponse({ LOGIN: 'guest', PASSWORD: 'wrong' }),
      },
    ],
  ])(
    'tells a client that knows the capability about a refused %s login',
    async (mechanism, options) => {
      const raw = await use().socket()
      const { answer } = await raw.authenticate(options)
      expect(answer).toMatchObject({
        name: 'connection.close',
        fields: { replyCode: 403, replyText: REFUSED(mechanism), classId: 0, methodId: 0 },
      })
    },
  )

  it('drops whoever sends a malformed response, or cannot be told that a login is refused', async () => {
    const cases: [string, LoginOptions][] = [
      ['an unknown mechanism', { mechanism: 'MAGIC' }],
      ['EXTERNAL without TLS', { mechanism: 'EXTERNAL', response: '' }],
      ['PLAIN with one part', { response: 'guest' }],
      ['PLAIN with three parts', { response: '\0guest\0guest\0guest' }],
      ['PLAIN with an authorization id', { response: 'other\0guest\0guest' }],
      ['PLAIN with the user as authorization id', { response: 'guest\0guest\0guest' }],
      [
        'AMQPLAIN without a password',
        {
          mechanism: 'AMQPLAIN',
          response: tableResponse({ LOGIN: 'guest' }),
        },
      ],
      ['AMQPLAIN with garbage', { mechanism: 'AMQPLAIN', response: Buffer.from([9, 1, 2]) }],
    ]
    const outcomes = cases.map(async ([title, options]) => {
      const raw = await use().socket()
      const outcome = await raw.authenticate(options).then(
        ({ answer }) => answer.name,
        () => 'dropped',
      )
      // What is wrong before a login is not told by every version: a close or a drop will do.
      expect(['connection.close', 'dropped'], title).toContain(outcome)
    })
    const untold = async (): Promise<void> => {
      const raw = await use().socket()
      const login = raw.authenticate({ password: 'wrong', capabilities: {} })
      await expect(login, 'a client without the capability').rejects.toThrow('the connection ended')
    }
    await Promise.all([...outcomes, untold()])
    await use().roundTrip()
  })

  it('works with the credentials that amqplib offers', async () => {
    for (const kind of [credentials.plain, credentials.amqplain]) {
      const connection = await connect(use().url(), { credentials: kind('guest', 'guest') })
      await connection.close()
    }
  })

  it('shows amqplib why a login was refused', async () => {
    await expect(use().connect({ password: 'wrong' })).rejects.toThrow(
      `403 (ACCESS-REFUSED) with message "${REFUSED('PLAIN')}"`,
    )
  })

  it('takes a new secret on a running connection', async () => {
    const raw = await use().raw()
    const reply = await raw.call(0, 'connection.update-secret', {
      // RabbitMQ's own password store, like ours, has no secrets that expire and looks at none.
      newSecret: 'not the password',
      reason: 'renewal',
    })
    expect(reply.name).toBe('connection.update-secret-ok')
    expect((await raw.call(1, 'queue.declare', { exclusive: true })).name).toBe('queue.declare-ok')
  })
})

describeGateway('heartbeats', (use) => {
  it('sends them, keeps clients that do and drops a client that does not', async () => {
    const [silent, beating, talking] = [
      await use().socket(),
      await use().socket(),
      await use().socket(),
    ]
    for (const raw of [silent, beating, talking]) {
      const { tune } = await raw.login({ heartbeat: 1 })
      expect(numberOf(tune, 'heartbeat')).toBe(60)
    }
    await talking.openChannel(1)
    const timer = setInterval(() => {
      beating.sendHeartbeat()
      talking.publish(1, { routingKey: 'nobody', body: 'x' })
    }, 400)
    try {
      const started = Date.now()
      await silent.waitForEnd(8000)
      const tookMs = Date.now() - started
      // Two checks of one second each must pass without a byte; a third may be under way.
      expect(tookMs).toBeGreaterThan(1500)
      expect(tookMs).toBeLessThan(5000)
      expect(silent.heartbeatsSeen).toBeGreaterThanOrEqual(2)
      expect(beating.isEnded).toBe(false)
      expect(talking.isEnded).toBe(false)
      expect((await talking.call(1, 'queue.declare', { exclusive: true })).name).toBe(
        'queue.declare-ok',
      )
    } finally {
      clearInterval(timer)
    }
  })

  it('sends none when the client asks for none', async () => {
    const raw = await use().raw({ heartbeat: 0 })
    await use().roundTrip()
    expect(raw.heartbeatsSeen).toBe(0)
  })
})
