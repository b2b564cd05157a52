// RPC: answers with Fibonacci numbers.

import { connectToBroker } from './broker.js'

function fibonacci(n) {
  let [a, b] = [0, 1]
  for (let i = 0; i < n; i += 1) [a, b] = [b, a + b]
  return a
}

const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertQueue('rpc', { durable: true })
await channel.prefetch(1)
await channel.consume('rpc', (message) => {
  const { replyTo, correlationId } = message.properties
  const answer = fibonacci(Number(message.content))
  channel.sendToQueue(replyTo, Buffer.from(`${answer}`), { correlationId })
  channel.ack(message)
})
console.log('waiting')
