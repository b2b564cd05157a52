// Clients that write and never read: the broker must stop listening to them, not buffer for them.

import { expect, it } from 'vitest'
import { encodeMethod, encodePublish } from '../support/amqp-wire.ts'
import type { Clients } from '../support/clients.ts'
import { consume } from '../support/clients.ts'
import { canInspectProcesses, residentBytes } from '../support/process-tree.ts'
import { describeBrokers, EXTREME_PROFILES, itOnWarren } from '../support/profiles.ts'
import type { RawClient } from '../support/raw-client.ts'
import { eventually, pause } from '../support/wait.ts'

const MIB = 1024 * 1024
// The sockets' own buffers on both sides take several MiB on loopback.
const ENOUGH_TO_BLOCK = 192 * MIB
const MAY_GROW_BY = 96 * MIB

function slowReaders(use: () => Clients): void {
  /** Writes until the broker stops reading, or `limit` bytes have gone through. */
  async function pushUntilBlocked(raw: RawClient, bytes: Buffer, limit: number): Promise<number> {
    let taken = 0
    while (taken < limit) {
      const drained = new Promise<boolean>((resolve) => {
        raw.socket.write(bytes, () => resolve(true))
      })
      if (!(await Promise.race([drained, pause(1500)]))) return taken
      taken += bytes.length
    }
    return taken
  }

  async function expectBoundedGrowth(action: () => Promise<void>): Promise<void> {
    const { process } = use().broker
    if (process === undefined || !canInspectProcesses) return await action()
    const before = residentBytes(process.pid)
    await action()
    const grownBy = residentBytes(process.pid) - before
    expect(grownBy / MIB).toBeLessThan(MAY_GROW_BY / MIB)
  }

  // RabbitMQ buffers returns and no-ack deliveries for a client without a bound.
  itOnWarren(
    'is not read any more when its returned messages pile up',
    async () => {
      const raw = await use().raw()
      raw.socket.pause()
      const bytes = Buffer.concat(
        Array.from({ length: 32 }, () =>
          encodePublish(1, { routingKey: 'nobody', mandatory: true }, Buffer.alloc(64 * 1024)),
        ),
      )
      await expectBoundedGrowth(async () => {
        expect(await pushUntilBlocked(raw, bytes, ENOUGH_TO_BLOCK)).toBeLessThan(ENOUGH_TO_BLOCK)
        await use().roundTrip()
      })
      raw.destroy()
      await use().roundTrip()
    },
    60_000,
  )

  it('is not read any more when its answers pile up', async () => {
    const raw = await use().raw()
    raw.socket.pause()
    const asks = Buffer.concat(
      Array.from({ length: 20_000 }, () => encodeMethod(1, 'basic.qos', { prefetchCount: 1 })),
    )
    await expectBoundedGrowth(async () => {
      await pushUntilBlocked(raw, asks, 24 * MIB)
      await use().roundTrip()
    })
    raw.destroy()
    await use().roundTrip()
  }, 60_000)

  it('leaves the messages it does not read to its queue, and to others once it has gone', async () => {
    const raw = await use().raw()
    const queue = use().name('slow')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    await raw.call(1, 'basic.qos', { prefetchCount: 0 })
    await raw.call(1, 'basic.consume', { queue })
    raw.socket.pause()
    const channel = await use().confirmChannel()
    const count = 60
    for (let i = 0; i < count; i += 1) channel.sendToQueue(queue, Buffer.alloc(MIB, i))
    await channel.waitForConfirms()
    await use().roundTrip()
    raw.destroy()
    // What the first client held comes back when the broker has noticed that it is gone.
    await eventually('all messages are back in the queue', async () => {
      return (await channel.checkQueue(queue)).messageCount === count
    })
    const inbox = await consume(channel, queue)
    await inbox.bodies(count)
    expect(inbox.messages.map((message) => message.content[0])).toEqual(
      Array.from({ length: count }, (_, i) => i),
    )
  }, 60_000)

  itOnWarren(
    'does not hold up another consumer of the same queue',
    async () => {
      const slow = await use().raw()
      const queue = use().name('shared')
      await slow.call(1, 'queue.declare', { queue, durable: true })
      await slow.call(1, 'basic.consume', { queue, noAck: true })
      slow.socket.pause()
      const fast = await use().channel()
      const inbox = await consume(fast, queue, { noAck: true })
      const publisher = await use().confirmChannel()
      for (let i = 0; i < 400; i += 1) publisher.sendToQueue(queue, Buffer.alloc(256 * 1024, 1))
      await publisher.waitForConfirms()
      // The slow one keeps what fits its buffers; everything else must come through here.
      await eventually('the reading consumer gets most', () => inbox.messages.length > 250, 15_000)
    },
    60_000,
  )
}

describeBrokers('a client that never reads', slowReaders, {
  alone: true,
  profiles: EXTREME_PROFILES,
})
