/** Connections that mostly wait: a channel, an exclusive queue, a consumer, a message a second. */

import type { LoadConnection } from './connection.ts'
import { FRAME_MAX, openConnection } from './connection.ts'
import { startConsumer } from './consumer.ts'
import type { LoadOptions } from './options.ts'
import { buildPublishBlock } from './publish-block.ts'
import { MethodId, methodFrame, short, table, u8, u16 } from './wire.ts'

/** Connections opened at a time. */
const OPEN_BATCH = 50

/** Opens `options.idle` of them; `control` (channel 1) feeds them until it closes. */
export async function openIdleConnections(
  options: LoadOptions,
  control: LoadConnection,
): Promise<LoadConnection[]> {
  const connections: LoadConnection[] = []
  const queues: string[] = []
  for (let at = 0; at < options.idle; at += OPEN_BATCH) {
    const count = Math.min(OPEN_BATCH, options.idle - at)
    const batch = Array.from({ length: count }, (_, i) => `${options.run}.idle${at + i}`)
    connections.push(...(await Promise.all(batch.map((queue) => openIdle(options, queue)))))
    queues.push(...batch)
  }
  if (queues.length > 0) feed(options, control, queues)
  return connections
}

async function openIdle(options: LoadOptions, queue: string): Promise<LoadConnection> {
  const connection = await openConnection(options)
  await connection.openChannel(1)
  const declare = methodFrame(1, MethodId.queueDeclare, u16(0), short(queue), u8(4), table({}))
  await connection.request(1, declare, MethodId.queueDeclareOk)
  await startConsumer(connection, queue, 'auto', 0)
  return connection
}

/** One message to each queue a second, spread over the second. */
function feed(options: LoadOptions, control: LoadConnection, queues: readonly string[]): void {
  const messages = queues.map((queue) => {
    const block = buildPublishBlock({
      exchange: '',
      routingKeys: [queue],
      bodySize: options.size,
      persistent: false,
      frameMax: FRAME_MAX,
      channel: 1,
    })
    return Buffer.from(block.bytes.subarray(0, block.messageSize))
  })
  const perTick = Math.max(1, Math.ceil(queues.length / 100))
  let next = 0
  const timer = setInterval(() => {
    if (control.socket.destroyed) return clearInterval(timer)
    const tick: Buffer[] = []
    for (let i = 0; i < perTick; i++) tick.push(messages[next++ % messages.length] ?? Buffer.of())
    control.socket.write(Buffer.concat(tick))
    return undefined
  }, 10)
  timer.unref()
}
