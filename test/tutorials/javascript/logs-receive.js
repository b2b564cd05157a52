// Publish/subscribe: listens with a queue of its own that goes when it goes.

import { connectToBroker } from './broker.js'

const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertExchange('logs', 'fanout', { durable: false })
const { queue } = await channel.assertQueue('', { exclusive: true })
await channel.bindQueue(queue, 'logs', '')
await channel.consume(
  queue,
  (message) => {
    console.log(`received: ${message.content}`)
  },
  { noAck: true },
)
console.log('waiting')
