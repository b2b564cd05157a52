// RPC: asks for one Fibonacci number and waits for the answer in a queue of its own.

import { randomUUID } from 'node:crypto'
import { connectToBroker } from './broker.js'

const connection = await connectToBroker()
const channel = await connection.createChannel()
const { queue } = await channel.assertQueue('', { exclusive: true })
const correlationId = randomUUID()
let take = () => {}
const answer = new Promise((resolve) => {
  take = resolve
})
await channel.consume(
  queue,
  (message) => {
    if (message.properties.correlationId === correlationId) take(message.content.toString())
  },
  { noAck: true },
)
channel.sendToQueue('rpc', Buffer.from(process.argv[2] ?? '30'), { correlationId, replyTo: queue })
console.log(`answer: ${await answer}`)
await channel.close()
await connection.close()
