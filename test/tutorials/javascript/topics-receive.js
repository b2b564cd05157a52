// Topics: listens to the keys that match some patterns. Usage: topics-receive.js PATTERN...

import { connectToBroker } from './broker.js'

const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertExchange('topic-logs', 'topic', { durable: false })
const { queue } = await channel.assertQueue('', { exclusive: true })
for (const pattern of process.argv.slice(2)) await channel.bindQueue(queue, 'topic-logs', pattern)
await channel.consume(
  queue,
  (message) => {
    console.log(`received: ${message.fields.routingKey}: ${message.content}`)
  },
  { noAck: true },
)
console.log('waiting')
