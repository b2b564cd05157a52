// Routing: a log line with a severity. Usage: routing-emit.js SEVERITY TEXT

import { connectToBroker } from './broker.js'

const [severity = 'info', ...words] = process.argv.slice(2)
const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertExchange('direct-logs', 'direct', { durable: false })
channel.publish('direct-logs', severity, Buffer.from(words.join(' ')))
console.log(`sent: ${severity}`)
await channel.close()
await connection.close()
