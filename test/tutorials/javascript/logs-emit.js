// Publish/subscribe: a log line for everybody who listens.

import { connectToBroker } from './broker.js'

const line = process.argv.slice(2).join(' ') || 'a log line'
const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertExchange('logs', 'fanout', { durable: false })
channel.publish('logs', '', Buffer.from(line))
console.log(`sent: ${line}`)
await channel.close()
await connection.close()
