// A message at most once is on the bus once for each gateway, and its bytes are in one place, whatever
// number of clients want it. WARREN_FAN_OUT=10000 makes the long form, and tells how long it took.

import { expect, test } from 'vitest'
import type { Outbox, SessionHost } from '../../../../gateways/host/protocol.ts'
import { readSettings } from '../../../../gateways/mqtt/mapping/settings.ts'
import { Client } from '../../../../gateways/mqtt/session/client.ts'
import { Hub } from '../../../../gateways/mqtt/session/hub.ts'
import { Record } from '../../../../shared/bus/wire.ts'
import type { ByteView } from '../../../../shared/bytes/view.ts'
import { viewOf } from '../../../../shared/bytes/view.ts'
import { createLog } from '../../../../shared/log.ts'
import { RingTap } from '../../../sim/ring-tap.ts'
import type { SimGateway } from '../../../support/sim-node.ts'
import { SimNode } from '../../../support/sim-node.ts'
import { SimChannel, SimConnection } from '../../../support/sim-session.ts'

const subscribers = Number(process.env['WARREN_FAN_OUT'] ?? 300)
const blockBytes = 256

/** What one client is sent. */
class Socket implements Outbox {
  bytes: Buffer = Buffer.alloc(blockBytes)
  at = 0

  get dataView(): ByteView {
    return viewOf(this.bytes)
  }

  reserve(size: number): void {
    if (this.at + size > blockBytes) throw new Error('more than one message for a client')
  }

  view(): void {
    throw new Error('a small body is copied')
  }

  touch(): void {}
}

const clock = { now: () => 1000, wall: () => 1_700_000_000_000 }

/** A gateway with `count` clients that subscribe to the same filter. */
function clientsOf(node: SimNode, { port }: SimGateway, count: number): Socket[] {
  const log = createLog(() => {})
  const hub = new Hub(port, log, readSettings({}), clock)
  const sockets: Socket[] = []
  for (let i = 0; i < count; i++) {
    const out = new Socket()
    const peer = { name: '', address: '', port: 0, localAddress: '', localPort: 0 }
    const host = {
      ...clock,
      port,
      log,
      out,
      peer: { ...peer, loopback: true, tls: false, certificateUser: undefined },
      wakeAt: () => {},
      end: () => {},
      destroy: () => {},
    } satisfies SessionHost
    const client = new Client(host, hub, { disconnect: () => {} }, () => 0)
    client.live = true
    const subscription = {
      name: 'a/+',
      filter: 'a/+',
      shared: undefined,
      qos: 0,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      id: 0,
    }
    client.subscriptions.add(subscription)
    hub.fanOut('/').add(client, subscription, () => {})
    sockets.push(out)
  }
  node.settle()
  return sockets
}

test.each([1, 3])('to many subscribers, %i shards', (shards) => {
  const node = new SimNode({ shards, slabBytes: 2 * 1024 * 1024, slabs: 16 })
  const gateways = [node.startGateway(), node.startGateway()]
  const publisher = node.startGateway()
  const sockets = gateways.map((gateway) => clientsOf(node, gateway, subscribers))
  const connection = new SimConnection(publisher.port, 'publisher')
  node.settle()
  const channel = new SimChannel(connection)
  node.settle()
  const taps = gateways.map(({ links }) => links.map(({ toGateway }) => new RingTap(toGateway)))
  const startedAt = performance.now()
  channel.publish('amq.topic', 'a.b', Buffer.from('the body'))
  node.settle()
  const ms = performance.now() - startedAt
  const places = taps.map((links) => links.flatMap(deliveries))
  expect(places.map(({ length }) => length)).toEqual([1, 1])
  expect(new Set(places.flat()).size).toBe(1)
  const expected = Buffer.concat([Buffer.of(0x30, 13, 0, 3), Buffer.from('a/bthe body')])
  for (const { at, bytes } of sockets.flat()) {
    if (at !== expected.length || bytes.compare(expected, 0, at, 0, at) !== 0) {
      expect(bytes.subarray(0, at)).toEqual(expected)
    }
  }
  if (subscribers < 1000) return
  process.stdout.write(`2 gateways, ${subscribers} subscribers each: ${ms.toFixed(1)} ms\n`)
})

/** Slab and offset of each message that a shard has put on its ring. */
function deliveries(tap: RingTap): string[] {
  const found: string[] = []
  for (let i = tap.next(); i >= 0; i = tap.next()) {
    if (((tap.words[i] as number) & 255) !== Record.deliver) continue
    found.push(`${tap.words[i + 4]} ${tap.words[i + 5]}`)
  }
  return found
}
