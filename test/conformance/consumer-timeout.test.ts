// Consumers that hold deliveries for too long: their channel is closed, and what it held goes back.

import { expect, it } from 'vitest'
import { channelError, consume, getOne, send } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually, pause } from '../support/wait.ts'

describeBrokers(
  'a consumer timeout',
  (use) => {
    function timedOut(ms: number): string {
      return (
        `PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: ${ms} ms. ` +
        'This timeout value can be configured, see consumers doc guide to learn more'
      )
    }

    it.each(['classic', 'quorum'])('of a %s queue closes the channel', async (type) => {
      const connection = await use().connect()
      const [channel, other] = [await use().channel(connection), await use().channel(connection)]
      const queue = use().name('q')
      await other.assertQueue(queue, {
        arguments: { 'x-queue-type': type, 'x-consumer-timeout': 200 },
      })
      send(other, queue, 'held')
      const inbox = await consume(channel, queue)
      await inbox.bodies(1)
      const error = await channelError(channel, () => {})
      expect(error).toEqual({ code: 406, text: timedOut(200), classId: 0, methodId: 0 })
      const again = await eventually('it comes back', () => getOne(other, queue, { noAck: true }))
      expect(again.content.toString()).toBe('held')
      expect(again.fields.redelivered).toBe(true)
    })

    it('of a consumer wins over that of its queue', async () => {
      const connection = await use().connect()
      const [first, second] = [await use().channel(connection), await use().channel(connection)]
      const queue = use().name('q')
      await first.assertQueue(queue, { arguments: { 'x-consumer-timeout': 100 } })
      send(first, queue, 'a')
      const patient = await consume(second, queue, { arguments: { 'x-consumer-timeout': 600_000 } })
      await patient.bodies(1)
      await pause(600)
      for (const message of patient.messages) second.ack(message)
      await second.checkQueue(queue)
      await second.cancel(patient.consumerTag)
      send(first, queue, 'b')
      const hasty = await consume(first, queue, { arguments: { 'x-consumer-timeout': 300 } })
      await hasty.bodies(1)
      expect((await channelError(first, () => {})).text).toBe(timedOut(300))
    })

    it('holds for what basic.get has taken, and for nothing that is acknowledged in time', async () => {
      const channel = await use().channel()
      const queue = use().name('q')
      await channel.assertQueue(queue, { arguments: { 'x-consumer-timeout': 400 } })
      for (let i = 0; i < 6; i++) {
        send(channel, queue, `${i}`)
        const got = await eventually('a message', () => getOne(channel, queue))
        await pause(150)
        channel.ack(got)
      }
      send(channel, queue, 'last')
      await eventually('a message', () => getOne(channel, queue))
      expect((await channelError(channel, () => {})).text).toBe(timedOut(400))
    })
  },
  { warrenOnly: true, profiles: PROFILES.slice(0, 2) },
)
