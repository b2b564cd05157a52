// Routing: listens to some severities. Usage: routing-receive.js SEVERITY...

import { connectToBroker } from './broker.js'

const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertExchange('direct-logs', 'direct', { durable: false })
const { queue } = await channel.assertQueue('', { exclusive: true })
for (const severity of process.argv.slice(2)) {
  await channel.bindQueue(queue, 'direct-logs', severity)
}
await channel.consume(
  queue,
  (message) => {
    console.log(`received: ${message.fields.routingKey}: ${message.content}`)
  },
  { noAck: true },
)
console.log('waiting')
