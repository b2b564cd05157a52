// amqplib's own recovery: connections that come back after the network failed.

import type { ChannelModel, ConsumeMessage } from 'amqplib'
import { connect } from 'amqplib'
import { expect, it } from 'vitest'
import { describeExtremes } from '../support/profiles.ts'
import { startProxy } from '../support/proxy.ts'
import { eventually } from '../support/wait.ts'

describeExtremes('amqplib recovery', (use) => {
  it('sets its topology up again and loses no acknowledged work', async () => {
    const proxy = await startProxy(use().broker)
    const queue = use().name('recovered')
    const seen: string[] = []
    let setups = 0
    const model = await connect(`amqp://guest:guest@127.0.0.1:${proxy.port}`, {
      recovery: {
        initialDelay: 20,
        setup: async (connection: ChannelModel) => {
          const channel = await connection.createConfirmChannel()
          channel.on('error', () => {})
          await channel.assertQueue(queue)
          await channel.consume(queue, (message: ConsumeMessage | null) => {
            if (message === null) return
            seen.push(message.content.toString())
            channel.ack(message)
          })
          channel.sendToQueue(queue, Buffer.from(`round ${setups}`))
          await channel.waitForConfirms()
          setups += 1
        },
      },
    })
    model.on('error', () => {})
    try {
      for (const round of ['round 0', 'round 1', 'round 2']) {
        await eventually(round, () => seen.includes(round))
        proxy.cut()
      }
      await eventually('set up once more', () => setups >= 4)
      expect(new Set(seen).size).toBeGreaterThanOrEqual(3)
    } finally {
      await model.close()
      await proxy.stop()
    }
  })
})
