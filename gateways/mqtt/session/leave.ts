// Takes a client off the bus: the registry's shard last, since that is where its client id becomes
// free. Who has the id next then finds its queues without consumers, and its messages back in them.

import type { Client } from './client.ts'
import { ask, registryShard } from './ops.ts'

export class Leave {
  private readonly client: Client

  constructor(client: Client) {
    this.client = client
  }

  start(done: () => void): void {
    const { client } = this
    const { channel, port, slot } = client
    if (slot === 0) return done()
    // From now on nothing goes out under these numbers.
    client.slot = 0
    const op = { op: 'closeConnection', connection: slot } as const
    let left = port.shardCount
    const closed = (): void => {
      left--
      if (left === 1) ask(port, registryShard, op, closed)
      if (left > 0) return
      port.connections.remove(slot)
      if (channel !== 0) port.channels.remove(channel)
      done()
    }
    if (left === 1) {
      ask(port, registryShard, op, closed)
      return
    }
    for (let shard = 0; shard < port.shardCount; shard++) {
      if (shard !== registryShard) ask(port, shard, op, closed)
    }
  }
}
