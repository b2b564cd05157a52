// Acts for a client that is not connected: publishes its will, ends its session. On the bus it is a
// connection like any other, with that client's user and permissions.

import { Buffer } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { connectionWindow } from '../../../shared/bus/wire.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import type { Outbox, Peer, SessionHost } from '../../host/protocol.ts'
import { publisherHash } from '../mapping/native-form.ts'
import { Client } from './client.ts'
import type { Hub } from './hub.ts'
import { Inbound } from './inbound.ts'
import { ask, registryShard } from './ops.ts'
import { Received } from './received.ts'
import type { Will } from './will.ts'
import { publishWill } from './will-publish.ts'

/** In whose name. */
export interface Absent {
  readonly user: string
  readonly vhost: string
  readonly clientId: string
}

export interface Deputy {
  readonly client: Client
  /** Goes by the client's id from now on, if nobody does: only then `done(true)`. */
  claim(done: (claimed: boolean) => void): void
  /** Publishes a will; `done` when it is on its way. */
  publish(will: Will, done: () => void): void
  close(): void
}

/** Opens a connection in the name of a client; if that may not be, `refused` is called and not `act`. */
export function actFor(
  hub: Hub,
  absent: Absent,
  act: (deputy: Deputy) => void,
  refused: () => void = () => undefined,
): void {
  const { port } = hub
  const host = new NoHost(hub)
  const client: Client = new Client(host, hub, { disconnect: () => undefined }, () => {
    const slot = port.channels.add({
      onConfirm: () => undefined,
      onReturn: () => undefined,
      onError: () => undefined,
      onWant: () => undefined,
      onUnused: () => undefined,
    })
    port.notifyAll({ op: 'openChannel', connection: client.slot, channel: slot })
    return slot
  })
  client.user = absent.user
  client.vhost = absent.vhost
  client.clientId = absent.clientId
  client.publisher = publisherHash(absent.clientId)
  client.slot = port.connections.add({ onClosed: () => undefined })
  const op = {
    op: 'openConnection',
    connection: client.slot,
    owner: `deputy ${randomUUID()}`,
    ...absent,
    window: connectionWindow,
  } as const
  ask(port, registryShard, op, (reply) => {
    if (reply.error !== undefined) {
      port.connections.remove(client.slot)
      hub.log.warn('MQTT: nothing can be done for a client that is gone', {
        client_id: absent.clientId,
        reason: reply.error.text,
      })
      refused()
      return
    }
    const id = reply['vhostId']
    client.vhostId = typeof id === 'number' ? id : 0
    for (let shard = 0; shard < port.shardCount; shard++) {
      if (shard !== registryShard) port.notify(shard, op)
    }
    act(deputyOf(client))
  })
}

function deputyOf(client: Client): Deputy {
  const inbound = new Inbound(client, new Received(client, (done) => done()))
  return {
    client,
    claim: (done) => {
      const op = {
        op: 'claim',
        connection: client.slot,
        name: client.clientId,
        ifFree: true,
      } as const
      ask(client.port, registryShard, op, (reply) => done(reply['claimed'] === true))
    },
    publish: (will, done) => {
      client.hub.untilDone(() => {
        if (!publishWill(client, inbound, will)) return false
        done()
        return true
      })
    },
    close: () => {
      const { port, slot } = client
      port.requestAll({ op: 'closeConnection', connection: slot }, () => {
        port.connections.remove(slot)
        if (client.channel !== 0) port.channels.remove(client.channel)
      })
    },
  }
}

/** What is written to nobody. */
const noRoom = Buffer.alloc(64)

/** A host without a socket. */
class NoHost implements SessionHost {
  readonly port: SessionHost['port']
  readonly log: SessionHost['log']
  readonly peer: Peer
  readonly out: Outbox
  private readonly hub: Hub

  constructor(hub: Hub) {
    this.hub = hub
    this.port = hub.port
    this.log = hub.log
    this.peer = nobody
    this.out = {
      bytes: noRoom,
      dataView: viewOf(noRoom),
      at: 0,
      reserve: () => undefined,
      view: (_bytes, onSent) => onSent(),
      touch: () => undefined,
    }
  }

  now(): number {
    return this.hub.clock.now()
  }

  wall(): number {
    return this.hub.clock.wall()
  }

  wakeAt(): void {
    // Nothing is ever blocked.
  }

  end(): void {
    // There is nothing to end.
  }

  destroy(): void {
    // There is nothing to close.
  }
}

const nobody: Peer = {
  name: 'nobody',
  address: '',
  port: 0,
  localAddress: '',
  localPort: 0,
  loopback: true,
  tls: false,
  certificateUser: undefined,
}
