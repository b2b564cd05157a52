// Retries that wait longer each time, of queues alone: what fails goes to a queue where it waits for
// its expiration and comes back over the dead-letter exchange; after the last try it is parked.
//
//   work --fails--> retries --expires--> work ... --> parked
//
// Usage: AMQP_URL=... node retry-with-backoff.js [tries] [first wait in ms]

import { connectToBroker } from './broker.js'

const tries = Number(process.argv[2] ?? 4)
const firstWait = Number(process.argv[3] ?? 1000)

const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertQueue('work')
await channel.assertQueue('parked')
await channel.assertQueue('retries', { deadLetterExchange: '', deadLetterRoutingKey: 'work' })

await channel.consume('work', (message) => {
  const done = Number(message.properties.headers['x-tries'] ?? 0) + 1
  const headers = { 'x-tries': done }
  console.log(`try ${done}: ${message.content}`)
  if (done < tries) {
    const expiration = String(firstWait * 2 ** (done - 1))
    channel.sendToQueue('retries', message.content, { headers, expiration, persistent: true })
  } else {
    channel.sendToQueue('parked', message.content, { headers, persistent: true })
    console.log(`parked: ${message.content}`)
  }
  channel.ack(message)
})
console.log('waiting')
