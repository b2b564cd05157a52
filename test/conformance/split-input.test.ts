// One whole session as bytes, cut and split at every place.

import { expect, it } from 'vitest'
import { encodeMethod, encodePublish, PROTOCOL_HEADER } from '../support/amqp-wire.ts'
import type { Clients } from '../support/clients.ts'
import { describeGateway } from '../support/profiles.ts'
import type { RawClient } from '../support/raw-client.ts'

const AT_ONCE = 24

/** Header, login, channel, queue, a message and its delivery: what a client that is in a hurry writes. */
const SESSION = Buffer.concat([
  PROTOCOL_HEADER,
  encodeMethod(0, 'connection.start-ok', {
    mechanism: 'PLAIN',
    response: '\0guest\0guest',
    locale: 'en_US',
  }),
  encodeMethod(0, 'connection.tune-ok', { channelMax: 2047, frameMax: 131072 }),
  encodeMethod(0, 'connection.open', { virtualHost: '/' }),
  encodeMethod(1, 'channel.open'),
  encodeMethod(1, 'queue.declare', { exclusive: true }),
  encodeMethod(1, 'confirm.select'),
  encodePublish(1, {}, Buffer.from('dropped'), { messageId: 'm', headers: { a: [1, 'b'] } }),
  encodeMethod(1, 'basic.get', { noAck: true }),
])

describeGateway('input', (use) => {
  async function forEveryByte(
    step: (at: number, clients: Clients) => Promise<void>,
  ): Promise<void> {
    const clients = use()
    let next = 1
    const worker = async (): Promise<void> => {
      while (next < SESSION.length) {
        next += 1
        await step(next - 1, clients)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }

  it('may stop at any byte and hurts nobody', async () => {
    await forEveryByte(async (at, clients) => {
      const raw = await clients.socket()
      await new Promise<void>((resolve) => {
        raw.socket.write(SESSION.subarray(0, at), () => resolve())
      })
      // Half of them leave politely, the others with a reset.
      if (at % 2 === 0) raw.socket.end()
      else raw.socket.resetAndDestroy()
    })
    await use().roundTrip()
  })

  it('means the same however it is split', async () => {
    await forEveryByte(async (at, clients) => {
      const raw = await clients.socket()
      raw.write(SESSION.subarray(0, at))
      // The first answer shows that the first part has been read, where it asks for one.
      const split = at >= PROTOCOL_HEADER.length
      if (split) await raw.expect(0, 'connection.start')
      else await new Promise((resolve) => setImmediate(resolve))
      raw.write(SESSION.subarray(at))
      if (!split) await raw.expect(0, 'connection.start')
      await expectAnswers(raw)
      raw.destroy()
    })
  })

  it('may come byte by byte', async () => {
    const raw = await use().socket()
    for (const byte of SESSION) {
      await new Promise<void>((resolve) => {
        raw.socket.write(Buffer.of(byte), () => resolve())
      })
    }
    await raw.expect(0, 'connection.start')
    await expectAnswers(raw)
  })

  async function expectAnswers(raw: RawClient): Promise<void> {
    await raw.expect(0, 'connection.tune')
    await raw.expect(0, 'connection.open-ok')
    await raw.expect(1, 'channel.open-ok')
    await raw.expect(1, 'queue.declare-ok')
    await raw.expect(1, 'confirm.select-ok')
    // The confirm may come at any time after its publish.
    const last = [(await raw.next(1)).name, (await raw.next(1)).name]
    expect(last.sort()).toEqual(['basic.ack', 'basic.get-empty'])
  }
})
