// What every program of this folder shares: where the broker is, and how to stop.

import { connect } from 'amqplib'

/** Connects to the broker that AMQP_URL names. */
export async function connectToBroker() {
  const connection = await connect(process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672')
  process.once('SIGTERM', async () => {
    await connection.close()
    process.exit(0)
  })
  return connection
}
