// Hello world, the sending half: one message into one queue.

import { connectToBroker } from './broker.js'

const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertQueue('hello', { durable: true })
channel.sendToQueue('hello', Buffer.from('Hello World!'))
console.log('sent: Hello World!')
await channel.close()
await connection.close()
