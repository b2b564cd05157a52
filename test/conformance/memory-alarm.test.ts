// connection.blocked: with a watermark of 0 every publisher is over it at once.

import { expect, it } from 'vitest'
import { describeBrokers, GATEWAY_PROFILES } from '../support/profiles.ts'
import { pause } from '../support/wait.ts'

describeBrokers(
  'memory alarm',
  (use) => {
    it('tells a publisher that it is blocked, once it publishes, and takes no more', async () => {
      const raw = await use().raw()
      const declared = await raw.call(1, 'queue.declare', { exclusive: true })
      const queue = String(declared.fields['queue'])
      await raw.call(1, 'confirm.select')
      for (let i = 0; i < 3; i += 1) raw.publish(1, { routingKey: queue, body: 'x' })
      expect(await raw.next(0)).toMatchObject({
        name: 'connection.blocked',
        fields: { reason: 'low on memory' },
      })
      raw.send(1, 'queue.declare', { queue, passive: true })
      // What was read before the block may still be answered; the block itself must last.
      while ((await raw.poll(1, 300)) !== undefined);
      raw.send(1, 'basic.qos', {})
      expect(await raw.poll(1, 300)).toBeUndefined()
      expect(await raw.poll(0, 1)).toBeUndefined()
    })

    it('does not tell clients without the capability', async () => {
      const raw = await use().raw({ capabilities: {} })
      raw.publish(1, { routingKey: 'nobody', body: 'x' })
      expect(await raw.poll(0, 500)).toBeUndefined()
    })

    it('leaves connections that do not publish alone', async () => {
      const connection = await use().connect()
      let blocked = false
      connection.on('blocked', () => {
        blocked = true
      })
      const channel = await use().channel(connection)
      const { queue } = await channel.assertQueue('', { exclusive: true })
      await channel.consume(queue, () => {})
      await pause(100)
      expect((await channel.checkQueue(queue)).consumerCount).toBe(1)
      expect(blocked).toBe(false)
    })

    it('shows amqplib that it is blocked', async () => {
      const connection = await use().connect()
      const reason = new Promise<string>((resolve) => connection.once('blocked', resolve))
      const channel = await use().channel(connection)
      channel.publish('', 'nobody', Buffer.from('x'))
      expect(await reason).toBe('low on memory')
    })
  },
  {
    warrenOnly: true,
    settings: ['vm_memory_high_watermark.relative=0'],
    profiles: GATEWAY_PROFILES,
  },
)
