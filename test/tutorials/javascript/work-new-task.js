// Work queues: hands out one task; every dot in its text stands for some work.

import { connectToBroker } from './broker.js'

const task = process.argv.slice(2).join(' ') || 'task.'
const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertQueue('tasks', { durable: true })
channel.sendToQueue('tasks', Buffer.from(task), { persistent: true })
console.log(`sent: ${task}`)
await channel.close()
await connection.close()
