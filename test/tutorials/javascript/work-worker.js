// Work queues: takes one task at a time and acknowledges it when it is done.

import { setTimeout as work } from 'node:timers/promises'
import { connectToBroker } from './broker.js'

const MS_PER_DOT = 20

const connection = await connectToBroker()
const channel = await connection.createChannel()
await channel.assertQueue('tasks', { durable: true })
await channel.prefetch(1)
await channel.consume('tasks', async (message) => {
  const task = message.content.toString()
  console.log(`working: ${task}`)
  if (task === 'crash') process.exit(1)
  await work((task.split('.').length - 1) * MS_PER_DOT)
  console.log(`done: ${task}`)
  channel.ack(message)
})
console.log('waiting')
