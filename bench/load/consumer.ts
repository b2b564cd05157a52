/** Consuming one queue: deliveries are counted by the scanner, acknowledgements written in batches. */

import type { LoadConnection } from './connection.ts'
import {
  ACK_FRAME_SIZE,
  MethodId,
  methodFrame,
  short,
  table,
  u8,
  u16,
  u32,
  writeAck,
} from './wire.ts'

/** Acknowledges deliveries of one channel. Tags run from 1, so counting them is knowing them. */
class Acknowledger {
  readonly #connection: LoadConnection
  readonly #channel: number
  /** Deliveries one `multiple` ack covers; 0: an ack frame for each. */
  readonly #batch: number
  #acked: number

  constructor(connection: LoadConnection, channel: number, batch: number) {
    this.#connection = connection
    this.#channel = channel
    this.#batch = batch
    this.#acked = 0
  }

  afterChunk(): void {
    const delivered = this.#connection.scanner.deliveriesOn[this.#channel] as number
    const open = delivered - this.#acked
    if (open === 0 || open < this.#batch) return
    if (this.#batch > 0) this.#ackMultiple(delivered)
    else this.#ackEach(delivered)
    this.#acked = delivered
  }

  /** One ack for every `batch` deliveries, as a client would send them while reading. */
  #ackMultiple(delivered: number): void {
    const count = Math.floor((delivered - this.#acked) / this.#batch)
    const out = Buffer.allocUnsafe(count * ACK_FRAME_SIZE)
    let at = 0
    for (let i = 1; i <= count; i++) {
      const tag = i === count ? delivered : this.#acked + i * this.#batch
      at = writeAck(out, at, this.#channel, tag, true)
    }
    this.#connection.socket.write(out)
  }

  #ackEach(delivered: number): void {
    const out = Buffer.allocUnsafe((delivered - this.#acked) * ACK_FRAME_SIZE)
    let at = 0
    for (let tag = this.#acked + 1; tag <= delivered; tag++) {
      at = writeAck(out, at, this.#channel, tag, false)
    }
    this.#connection.socket.write(out)
  }
}

/**
 * Consumes `queue` on channel 1.
 * `ack`: 'auto', 'single', or the number of deliveries that one `multiple` ack covers.
 */
export async function startConsumer(
  connection: LoadConnection,
  queue: string,
  ack: string,
  prefetch: number,
  consumerArguments: Parameters<typeof table>[0] = {},
): Promise<void> {
  if (prefetch > 0) {
    const qos = methodFrame(1, MethodId.basicQos, u32(0), u16(prefetch), u8(0))
    await connection.request(1, qos, MethodId.basicQosOk)
  }
  const auto = ack === 'auto'
  if (!auto) {
    const acknowledger = new Acknowledger(connection, 1, ack === 'single' ? 0 : Number(ack))
    connection.events.onChunk = () => acknowledger.afterChunk()
  }
  const args = [u16(0), short(queue), short('c'), u8(auto ? 2 : 0), table(consumerArguments)]
  const consume = methodFrame(1, MethodId.basicConsume, ...args)
  await connection.request(1, consume, MethodId.basicConsumeOk)
}
