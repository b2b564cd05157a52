// Publisher confirms in three ways: one by one, in batches, and as they come.

import { connectToBroker } from './broker.js'

const COUNT = 500
const BATCH = 100

async function oneByOne(channel, queue) {
  for (let i = 0; i < COUNT; i += 1) {
    channel.sendToQueue(queue, Buffer.from(`${i}`))
    await channel.waitForConfirms()
  }
}

async function inBatches(channel, queue) {
  for (let i = 1; i <= COUNT; i += 1) {
    channel.sendToQueue(queue, Buffer.from(`${i}`))
    if (i % BATCH === 0) await channel.waitForConfirms()
  }
  await channel.waitForConfirms()
}

async function asTheyCome(channel, queue) {
  const outstanding = new Set()
  const failed = []
  for (let i = 0; i < COUNT; i += 1) {
    outstanding.add(i)
    channel.sendToQueue(queue, Buffer.from(`${i}`), {}, (error) => {
      outstanding.delete(i)
      if (error !== null) failed.push(i)
    })
  }
  await channel.waitForConfirms()
  if (outstanding.size + failed.length > 0) throw new Error(`${outstanding.size} not confirmed`)
}

const connection = await connectToBroker()
for (const publish of [oneByOne, inBatches, asTheyCome]) {
  const channel = await connection.createConfirmChannel()
  const { queue } = await channel.assertQueue('', { exclusive: true })
  await publish(channel, queue)
  const { messageCount } = await channel.checkQueue(queue)
  console.log(`${publish.name}: ${messageCount} confirmed`)
  await channel.close()
}
await connection.close()
