// What STOMP clients see: logins, destinations, acknowledgements, transactions, errors.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { externalBroker, startWarren } from '../support/broker.ts'
import type { StompFrame } from '../support/stomp-client.ts'
import { StompClient } from '../support/stomp-client.ts'
import { eventually, pause } from '../support/wait.ts'

const profiles = [
  { name: '1 shard', settings: ['shards=1'] },
  { name: '3 shards, a process', settings: ['shards=3', 'gateways.shared.isolation=process'] },
]

const external = externalBroker()

// Where RabbitMQ 4.0.5 (WARREN_TEST_BROKER, WARREN_TEST_PORTS, a login timeout of 2 s) does not do
// what these tests ask for: it names itself; writes the lines of a MESSAGE in another order; lists
// the kinds of destination in another order; `ack:client` settles other subscriptions too; an ACK
// after UNSUBSCRIBE is refused; it takes no notice of a selector; it gives other texts, or none, for
// an id that is reserved, for names that are too long and for a second CONNECT; and it does not
// close for endless headers.

describe.each(external === undefined ? profiles : profiles.slice(0, 1))(
  'STOMP [$name]',
  ({ settings }) => {
    let broker: Broker
    let clients: StompClient[] = []

    beforeAll(async () => {
      broker =
        external ??
        (await startWarren({
          settings: [...settings, 'gateways.stomp.workers=0', 'stomp.login_timeout=2s'],
          listen: ['stomp'],
        }))
    })

    afterAll(() => broker.stop())

    afterEach(() => {
      for (const client of clients) client.destroy()
      clients = []
    })

    async function login(headers: Readonly<Record<string, string>> = {}): Promise<StompClient> {
      const client = await StompClient.login(broker.portOf('stomp'), headers)
      clients.push(client)
      return client
    }

    async function open(): Promise<StompClient> {
      const client = await StompClient.open(broker.portOf('stomp'))
      clients.push(client)
      return client
    }

    let queues = 0
    function queue(): string {
      queues++
      return `/queue/stomp-${queues}`
    }

    async function refused(
      client: StompClient,
      command: string,
      headers: Readonly<Record<string, string>>,
    ): Promise<{ readonly message: string | undefined; readonly body: string }> {
      client.send(command, headers)
      const { headers: found, body } = await client.expect('ERROR')
      expect(found).toMatchObject({ 'content-type': 'text/plain', version: '1.0,1.1,1.2' })
      return { message: found['message'], body: body.toString() }
    }

    describe('login', () => {
      it('answers with server, session, heart-beat and version, in that order', async () => {
        const client = await open()
        client.send('CONNECT', { 'accept-version': '1.0,1.1,1.2', 'heart-beat': '0,2500' })
        const { command, lines, headers } = await client.next()
        expect(command).toBe('CONNECTED')
        expect(lines.map((line) => line.split(':')[0])).toEqual([
          'server',
          'session',
          'heart-beat',
          'version',
        ])
        expect(headers['server']).toBe('Warren/4.2.1')
        expect(headers['session']).toMatch(/^session-[\w-]{22}$/)
        expect(headers['heart-beat']).toBe('2000,0')
        expect(headers['version']).toBe('1.2')
      })

      it.each([
        [undefined, '1.0'],
        ['1.1', '1.1'],
        ['1.0,1.1', '1.1'],
        ['1.2,1.1,7.9', '1.2'],
      ])('takes the highest common version (%s)', async (offered, version) => {
        const client = await open()
        client.send('STOMP', offered === undefined ? {} : { 'accept-version': offered })
        expect((await client.next()).headers['version']).toBe(version)
      })

      it('refuses what it cannot accept, and lets the client try again', async () => {
        const client = await open()
        expect(await refused(client, 'CONNECT', { 'accept-version': '2.0' })).toEqual({
          message: 'Version mismatch',
          body: 'Supported versions are 1.0,1.1,1.2\n',
        })
        expect(await refused(client, 'SEND', { destination: '/queue/a' })).toEqual({
          message: 'Illegal command',
          body: 'You must log in using CONNECT first',
        })
        expect(await refused(client, 'CONNECT', { login: 'guest', passcode: 'wrong' })).toEqual({
          message: 'Bad CONNECT',
          body: "Access refused for user 'guest'",
        })
        expect(await refused(client, 'CONNECT', { host: 'nowhere' })).toEqual({
          message: 'Bad CONNECT',
          body: "Virtual host 'nowhere' access denied",
        })
        client.send('CONNECT', {})
        await client.expect('CONNECTED')
      })

      it('hangs up on a client that does not log in in time', async () => {
        const client = await open()
        await client.whenClosed()
      })

      it('sends and expects heart-beats, and drops a silent client', async () => {
        const client = await open()
        client.send('CONNECT', { 'accept-version': '1.2', 'heart-beat': '1000,1000' })
        expect((await client.expect('CONNECTED')).headers['heart-beat']).toBe('1000,1000')
        const since = performance.now()
        await client.whenClosed()
        expect(performance.now() - since).toBeGreaterThan(1500)
        expect(client.lineFeeds).toBeGreaterThan(2)
      })
    })

    describe('messages', () => {
      it('go from SEND to SUBSCRIBE with their headers', async () => {
        const client = await login()
        const destination = queue()
        await client.done('SUBSCRIBE', { id: '0:x', destination })
        client.send(
          'SEND',
          {
            destination,
            'content-type': 'text/plain',
            'content-encoding': 'utf-8',
            persistent: 'true',
            priority: '5',
            'correlation-id': 'c:1',
            'reply-to': '/queue/answers',
            expiration: '60000',
            'amqp-message-id': 'm1',
            timestamp: '1700000000',
            type: 'greeting',
            'user-id': 'guest',
            'app-id': 'tests',
            'my:header': 'a\nb\\c',
          },
          'h\u00e9llo',
        )
        const { lines, headers, body } = await client.expect('MESSAGE')
        expect(body.toString()).toBe('h\u00e9llo')
        expect(lines.map((line) => line.split(':')[0])).toEqual([
          'subscription',
          'destination',
          'message-id',
          'redelivered',
          'content-type',
          'content-encoding',
          'persistent',
          'priority',
          'correlation-id',
          'reply-to',
          'expiration',
          'amqp-message-id',
          'timestamp',
          'type',
          'user-id',
          'app-id',
          'my\\cheader',
          'content-length',
        ])
        expect(headers).toMatchObject({
          subscription: '0:x',
          destination,
          redelivered: 'false',
          'reply-to': '/queue/answers',
          'my:header': 'a\nb\\c',
          'content-length': '6',
        })
        expect(headers['message-id']).toMatch(/^T_0:x@@session-[\w-]{22}@@1$/)
      })

      it('of any size and any bytes arrive whole', async () => {
        const client = await login()
        const destination = queue()
        await client.done('SUBSCRIBE', { id: '1', destination })
        const bodies = [0, 1, 100, 16_300, 70_000, 3_000_000].map((size) =>
          Buffer.from(Array.from({ length: size }, (_, i) => (i * 7) & 255)),
        )
        for (const body of bodies)
          client.send('SEND', { destination, 'content-length': String(body.length) }, body)
        for (const body of bodies) {
          const { body: got } = await client.expect('MESSAGE')
          expect(got.equals(body)).toBe(true)
        }
      })

      it('keep their order, whatever their heads', async () => {
        const client = await login()
        const destination = queue()
        await client.done('SUBSCRIBE', { id: '1', destination })
        for (let i = 0; i < 500; i++) {
          const extra: Record<string, string> = i % 7 === 0 ? { receipt: `no-${i}` } : {}
          client.send('SEND', { destination, ...(i % 5 === 0 ? { n: '1' } : {}), ...extra }, `${i}`)
        }
        await eventually('all are there', () => client.bodies().length === 500)
        expect(client.bodies().map(Number)).toEqual(Array.from({ length: 500 }, (_, i) => i))
        const receipts = (): number =>
          client.frames.filter(({ command }) => command === 'RECEIPT').length
        // The one of SUBSCRIBE was taken.
        await eventually('all receipts', () => receipts() === 72)
      })

      it('that would not stop their body at its NUL are dropped with their connection', async () => {
        const client = await login()
        client.raw('SEND\ndestination:/queue/broken\ncontent-length:3\n\nabcdef\0')
        await client.whenClosed()
        const other = await login()
        other.raw('SEND\ndestination:/queue/broken\nfoo:\\q\n\nabc\0')
        await other.whenClosed()
        const third = await login()
        third.raw(`SEND\n${'a:b\n'.repeat(500)}`)
        await third.whenClosed()
      })
    })

    describe('destinations', () => {
      it('/topic reaches every subscriber whose pattern matches, and none that has gone', async () => {
        const [one, two] = [await login(), await login()]
        await one.done('SUBSCRIBE', { id: 'a', destination: '/topic/news.*' })
        await two.done('SUBSCRIBE', { id: 'b', destination: '/topic/news.#' })
        await one.done('SEND', { destination: '/topic/news.sport.ball' }, '1')
        await one.done('SEND', { destination: '/topic/news.sport' }, '2')
        expect((await two.expect('MESSAGE')).body.toString()).toBe('1')
        const message = await one.expect('MESSAGE')
        expect(message.body.toString()).toBe('2')
        expect(message.headers['destination']).toBe('/topic/news.sport')
        await one.done('UNSUBSCRIBE', { id: 'a' })
        await one.done('SEND', { destination: '/topic/news.sport' }, '3')
        expect((await two.expect('MESSAGE')).body.toString()).toBe('2')
        expect((await two.expect('MESSAGE')).body.toString()).toBe('3')
        expect(one.idle()).toBe(true)
      })

      it('/exchange names exchange and key', async () => {
        const client = await login()
        await client.done('SUBSCRIBE', { id: '1', destination: '/exchange/amq.direct/some.key' })
        await client.done('SEND', { destination: '/exchange/amq.direct/other' }, 'no')
        await client.done('SEND', { destination: '/exchange/amq.direct/some.key' }, 'yes')
        const { body, headers } = await client.expect('MESSAGE')
        expect(body.toString()).toBe('yes')
        expect(headers['destination']).toBe('/exchange/amq.direct/some.key')
        const missing = await refused(client, 'SEND', { destination: '/exchange/nothing/x' })
        expect(missing).toEqual({
          message: 'not_found',
          body: "NOT_FOUND - no exchange 'nothing' in vhost '/'",
        })
        await client.whenClosed()
      })

      it('/amq/queue wants a queue that is there, /queue makes it', async () => {
        const client = await login()
        await client.done('SEND', { destination: '/queue/made%2Fhere' }, 'x')
        await client.done('SUBSCRIBE', { destination: '/amq/queue/made%2Fhere' })
        const { headers } = await client.expect('MESSAGE')
        expect(headers['destination']).toBe('/queue/made%2Fhere')
        expect(headers['subscription']).toBeUndefined()
        expect(headers['message-id']).toMatch(/^Q_\/amq\/queue\/made%2Fhere@@/)
        const answer = await refused(client, 'SUBSCRIBE', {
          id: '1',
          destination: '/amq/queue/none',
        })
        expect(answer.message).toBe('not_found')
        await client.whenClosed()
      })

      it('/temp-queue in reply-to brings answers back', async () => {
        const [asks, answers] = [await login(), await login()]
        const destination = queue()
        await answers.done('SUBSCRIBE', { id: '1', destination })
        asks.send('SEND', { destination, 'reply-to': '/temp-queue/mine' }, 'question')
        const replyTo = (await answers.expect('MESSAGE')).headers['reply-to'] ?? ''
        expect(replyTo).toMatch(/^\/reply-queue\/amq\.gen-/)
        answers.send('SEND', { destination: replyTo }, 'answer')
        const { headers, body } = await asks.expect('MESSAGE')
        expect(body.toString()).toBe('answer')
        expect(headers['subscription']).toBe('/temp-queue/mine')
      })

      it.each([
        ['/queue/a/b', "'/a/b' is not a valid queue destination\n", 'Invalid destination'],
        ['/queue/', "'/' is not a valid queue destination\n", 'Invalid destination'],
        ['/exchange//x', "'//x' is not a valid exchange destination\n", 'Invalid destination'],
        [
          '/temp-queue/x',
          "'/temp-queue/x' is not a valid destination for 'SEND'\n",
          'Invalid destination',
        ],
        ['', 'Destination cannot be blank', 'Invalid destination'],
        [
          '/foo/x',
          "'/foo/x' is not a valid destination.\nValid destination types are: /temp-queue, /topic, " +
            '/exchange, /queue, /amq/queue, /reply-queue.\n',
          'Unknown destination',
        ],
      ])('that make no sense are refused: %s', async (destination, body, message) => {
        const client = await login()
        expect(await refused(client, 'SEND', { destination })).toEqual({ message, body })
        await client.done('SEND', { destination: queue() })
      })
    })

    describe('acknowledgements', () => {
      async function three(
        ack: string,
        version = '1.2',
      ): Promise<{
        readonly client: StompClient
        readonly destination: string
        readonly messages: StompFrame[]
      }> {
        const client = await login({ 'accept-version': version })
        const destination = queue()
        await client.done('SUBSCRIBE', { id: 's', destination, ack })
        for (const body of ['1', '2', '3']) client.send('SEND', { destination }, body)
        const messages = [
          await client.expect('MESSAGE'),
          await client.expect('MESSAGE'),
          await client.expect('MESSAGE'),
        ]
        return { client, destination, messages }
      }

      async function left(destination: string): Promise<string[]> {
        const reader = await login()
        await reader.done('SUBSCRIBE', { id: 'r', destination })
        await reader.done('SEND', { destination }, 'end')
        await eventually('the last', () => reader.bodies().includes('end'))
        return reader.bodies().filter((body) => body !== 'end')
      }

      it('with ack:client settle all up to the message', async () => {
        const { client, destination, messages } = await three('client')
        await client.done('ACK', { id: messages[1]?.headers['ack'] ?? '' })
        client.destroy()
        await client.whenClosed()
        expect(await left(destination)).toEqual(['3'])
      })

      it('with ack:client-individual settle one message', async () => {
        const { client, destination, messages } = await three('client-individual')
        await client.done('ACK', { id: messages[1]?.headers['ack'] ?? '' })
        await client.done('DISCONNECT')
        await client.whenClosed()
        expect(await left(destination)).toEqual(['1', '3'])
      })

      it('of 1.1 name the message-id', async () => {
        const { client, destination, messages } = await three('client', '1.1')
        expect(messages[0]?.headers['ack']).toBeUndefined()
        const id = messages[2]?.headers['message-id'] ?? ''
        await client.done('ACK', { 'message-id': id, subscription: 's' })
        client.destroy()
        await client.whenClosed()
        expect(await left(destination)).toEqual([])
      })

      it('of one subscription leave the others alone', async () => {
        const client = await login()
        const [first, second] = [queue(), queue()]
        await client.done('SUBSCRIBE', { id: '1', destination: first, ack: 'client' })
        await client.done('SUBSCRIBE', { id: '2', destination: second, ack: 'client' })
        await client.done('SEND', { destination: first }, 'a')
        await client.done('SEND', { destination: second }, 'b')
        const one = await client.expect('MESSAGE')
        const two = await client.expect('MESSAGE')
        const last = one.body.toString() === 'b' ? one : two
        await client.done('ACK', { id: last.headers['ack'] ?? '' })
        client.destroy()
        await client.whenClosed()
        expect(await left(first)).toEqual(['a'])
        expect(await left(second)).toEqual([])
      })

      it('may come after UNSUBSCRIBE', async () => {
        const { client, destination, messages } = await three('client-individual')
        await client.done('UNSUBSCRIBE', { id: 's' })
        await client.done('ACK', { id: messages[0]?.headers['ack'] ?? '' })
        await client.done('ACK', { id: messages[2]?.headers['ack'] ?? '' })
        client.destroy()
        await client.whenClosed()
        expect(await left(destination)).toEqual(['2'])
      })

      it('NACK puts a message back, or with requeue:false drops it', async () => {
        const { client, destination, messages } = await three('client-individual')
        await client.done('NACK', { id: messages[0]?.headers['ack'] ?? '', requeue: 'false' })
        client.send('NACK', { id: messages[1]?.headers['ack'] ?? '' })
        const again = await client.expect('MESSAGE')
        expect(again.body.toString()).toBe('2')
        expect(again.headers['redelivered']).toBe('true')
        client.destroy()
        await client.whenClosed()
        expect(await left(destination)).toEqual(['2', '3'])
      })

      it('prefetch-count bounds what is not settled', async () => {
        const client = await login()
        const destination = queue()
        for (let i = 0; i < 5; i++) client.send('SEND', { destination }, `${i}`)
        const headers = { id: 's', destination, ack: 'client-individual', 'prefetch-count': '2' }
        await client.done('SUBSCRIBE', headers)
        const first = await client.expect('MESSAGE')
        await client.expect('MESSAGE')
        await pause(50)
        expect(client.idle()).toBe(true)
        client.send('ACK', { id: first.headers['ack'] ?? '' })
        expect((await client.expect('MESSAGE')).body.toString()).toBe('2')
      })

      it('that cannot be are refused', async () => {
        const { client, messages } = await three('client-individual')
        expect(await refused(client, 'ACK', {})).toEqual({
          message: 'Missing header',
          body: '"ACK" must include the "id" header\n',
        })
        expect(await refused(client, 'NACK', { id: 'nonsense' })).toEqual({
          message: 'Invalid header',
          body: '"NACK" must include a valid "id" header\n',
        })
        const id = messages[0]?.headers['ack'] ?? ''
        const unknown = id.replace('T_s', 'T_other')
        expect(await refused(client, 'ACK', { id: unknown })).toEqual({
          message: 'Subscription not found',
          body: `Message with id "${unknown}" has no subscription`,
        })
        await client.done('ACK', { id })
        expect(await refused(client, 'ACK', { id })).toMatchObject({
          message: 'precondition_failed',
        })
        await client.whenClosed()
      })
    })

    describe('subscriptions', () => {
      it('that are durable outlive their connection, until they are ended', async () => {
        const headers = {
          id: 'durable-1',
          destination: '/topic/kept',
          durable: 'true',
          'auto-delete': 'false',
        }
        const first = await login()
        await first.done('SUBSCRIBE', headers)
        await first.done('DISCONNECT')
        await first.whenClosed()
        const sender = await login()
        await sender.done('SEND', { destination: '/topic/kept', persistent: 'true' }, 'kept')
        const second = await login()
        await second.done('SUBSCRIBE', headers)
        expect((await second.expect('MESSAGE')).body.toString()).toBe('kept')
        await second.done('UNSUBSCRIBE', { id: 'durable-1', durable: 'true' })
        await sender.done('SEND', { destination: '/topic/kept' }, 'lost')
        await second.done('SUBSCRIBE', headers)
        await sender.done('SEND', { destination: '/topic/kept' }, 'new')
        expect((await second.expect('MESSAGE')).body.toString()).toBe('new')
        await second.done('UNSUBSCRIBE', { id: 'durable-1', durable: 'true' })
      })

      it('with x- headers set up their queue', async () => {
        const client = await login()
        const name = `stomp-args-${queues++}`
        await client.done('SUBSCRIBE', {
          id: '1',
          destination: '/topic/limited',
          'x-queue-name': name,
          'x-max-length': '1',
          ack: 'client',
          'prefetch-count': '1',
        })
        await client.done('SEND', { destination: `/amq/queue/${name}` }, 'first')
        await client.expect('MESSAGE')
        for (const body of ['second', 'third'])
          await client.done('SEND', { destination: `/amq/queue/${name}` }, body)
        const other = await login()
        const wrong = { id: '2', destination: `/queue/${name}` }
        expect((await refused(other, 'SUBSCRIBE', wrong)).message).toMatch(
          /resource_locked|precondition_failed/,
        )
        await other.whenClosed()
      })

      it('end with a word when their queue goes', async () => {
        const [client, other] = [await login(), await login()]
        await client.done('SUBSCRIBE', {
          id: 'mine',
          destination: '/topic/gone',
          durable: 'true',
          'auto-delete': 'false',
        })
        await other.done('SUBSCRIBE', {
          id: 'mine',
          destination: '/topic/gone',
          durable: 'true',
          'auto-delete': 'false',
        })
        await other.done('UNSUBSCRIBE', { id: 'mine', durable: 'true' })
        const { headers, body } = await client.expect('ERROR')
        expect(headers).toMatchObject({
          message: 'Server cancelled subscription',
          subscription: 'mine',
        })
        expect(body.toString()).toBe(
          'The server has canceled a subscription.\nNo more messages will be delivered for "id=\'mine\'".\n',
        )
        await client.done('SEND', { destination: queue() })
      })

      it.each([
        ['SUBSCRIBE', { id: '1' }, 'Missing destination'],
        ['SUBSCRIBE', { destination: '/topic/x', durable: 'true' }, 'Missing Header'],
        ['SUBSCRIBE', { destination: '/queue/x', id: '/temp-queue/x' }, 'Invalid id'],
        ['SUBSCRIBE', { destination: '/queue/x', id: '1', selector: 'a = 1' }, 'Invalid header'],
        ['SUBSCRIBE', { destination: '/queue/x', id: '1', ack: 'maybe' }, 'Processing error'],
        ['UNSUBSCRIBE', { id: '1' }, 'No subscription found'],
        ['UNSUBSCRIBE', {}, 'Missing destination or id'],
        ['SEND', { destination: '/queue/x', 'message-id': '1' }, 'Invalid header'],
        ['SEND', { destination: '/queue/x', expiration: 'soon' }, 'precondition_failed'],
        ['SEND', { destination: '/queue/x', 'user-id': 'root' }, 'precondition_failed'],
        ['SEND', { destination: '/queue/x', priority: 'high' }, 'Processing error'],
        ['SEND', { destination: `/queue/${'x'.repeat(256)}` }, 'Processing error'],
        ['SEND', { destination: '/queue/x', type: 'x'.repeat(256) }, 'Processing error'],
        ['CONNECT', {}, 'Illegal command'],
        ['JUMP', {}, 'Bad command'],
      ] as const)(
        'and other frames that are wrong are refused: %s %j',
        async (command, headers, message) => {
          const client = await login()
          expect(await refused(client, command, headers)).toMatchObject({ message })
        },
      )

      it('with an id that is taken end the connection', async () => {
        const client = await login()
        await client.done('SUBSCRIBE', { id: '1', destination: queue() })
        expect(await refused(client, 'SUBSCRIBE', { id: '1', destination: queue() })).toEqual({
          message: 'Duplicated subscription identifier',
          body: "A subscription identified by 'T_1' already exists.",
        })
        await client.whenClosed()
      })
    })

    describe('transactions', () => {
      it('send and acknowledge at COMMIT, in order, and not before', async () => {
        const client = await login()
        const destination = queue()
        await client.done('SUBSCRIBE', { id: '1', destination, ack: 'client-individual' })
        await client.done('SEND', { destination }, 'before')
        const before = await client.expect('MESSAGE')
        client.send('BEGIN', { transaction: 't' })
        client.send('SEND', { destination, transaction: 't', receipt: 'late' }, 'one')
        client.send('SEND', { destination, transaction: 't' }, 'two')
        await client.done('ACK', { id: before.headers['ack'] ?? '', transaction: 't' })
        await client.done('SEND', { destination }, 'outside')
        expect((await client.expect('MESSAGE')).body.toString()).toBe('outside')
        expect(client.idle()).toBe(true)
        await client.done('COMMIT', { transaction: 't' })
        await eventually('the receipt', () =>
          client.frames.some(({ headers }) => headers['receipt-id'] === 'late'),
        )
        await eventually('all came', () => client.bodies().includes('two'))
        expect(client.bodies()).toEqual(['before', 'outside', 'one', 'two'])
      })

      it('leave nothing behind after ABORT', async () => {
        const client = await login()
        const destination = queue()
        await client.done('SUBSCRIBE', { id: '1', destination })
        client.send('BEGIN', { transaction: 't' })
        client.send('SEND', { destination, transaction: 't' }, 'never')
        await client.done('ABORT', { transaction: 't' })
        await client.done('SEND', { destination }, 'only')
        expect((await client.expect('MESSAGE')).body.toString()).toBe('only')
      })

      it('that are unknown are refused', async () => {
        const client = await login()
        expect(await refused(client, 'COMMIT', { transaction: 'x' })).toEqual({
          message: 'Bad transaction',
          body: 'Invalid transaction identifier: "x"\n',
        })
        expect(await refused(client, 'BEGIN', {})).toEqual({
          message: 'Missing transaction',
          body: '"BEGIN" must include a \'transaction\' header\n',
        })
        const send = { destination: '/queue/x', transaction: 'x' }
        expect((await refused(client, 'SEND', send)).message).toBe('Bad transaction')
      })
    })

    it('DISCONNECT is answered when everything before it has arrived', async () => {
      const client = await login()
      const destination = queue()
      for (let i = 0; i < 300; i++) client.send('SEND', { destination, persistent: 'true' }, `${i}`)
      await client.done('DISCONNECT')
      await client.whenClosed()
      const reader = await login()
      await reader.done('SUBSCRIBE', { id: '1', destination })
      await eventually('all of them', () => reader.bodies().length === 300)
    })
  },
)
