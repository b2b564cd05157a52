// connection.blocked: with a limit that no disk has free, every publisher is over it at once.

import { expect, it } from 'vitest'
import { describeBrokers, GATEWAY_PROFILES } from '../support/profiles.ts'

describeBrokers(
  'disk alarm',
  (use) => {
    it('tells a publisher that it is blocked, and lets others go on', async () => {
      const connection = await use().connect()
      const reason = new Promise<string>((resolve) => connection.once('blocked', resolve))
      const channel = await use().channel(connection)
      channel.publish('', 'nobody', Buffer.from('x'))
      expect(await reason).toBe('low on disk')
      const other = await use().channel()
      const { queue } = await other.assertQueue('', { exclusive: true })
      await other.consume(queue, () => {})
      expect((await other.checkQueue(queue)).consumerCount).toBe(1)
      const output = use().broker.process?.output() ?? ''
      expect(output).toMatch(/\[warn\] disk alarm: less than \d+ MB free, publishers are blocked/)
    })
  },
  { warrenOnly: true, settings: ['disk_free_limit.absolute=9000TB'], profiles: GATEWAY_PROFILES },
)
