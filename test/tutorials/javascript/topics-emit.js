// Topics: a log line with a dotted key. Usage: topics-emit.js KEY TEXT

import { connectToBroker } from './broker.js'

const [key = 'anonymous.info', ...words] = process.argv.slice(2)
const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertExchange('topic-logs', 'topic', { durable: false })
channel.publish('topic-logs', key, Buffer.from(words.join(' ')))
console.log(`sent: ${key}`)
await channel.close()
await connection.close()
