// Hello world, the receiving half: prints what comes out of the queue.

import { connectToBroker } from './broker.js'

const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertQueue('hello', { durable: true })
await channel.consume(
  'hello',
  (message) => {
    console.log(`received: ${message.content}`)
  },
  { noAck: true },
)
console.log('waiting')
