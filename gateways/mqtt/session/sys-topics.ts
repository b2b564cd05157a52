// What a gateway says of itself: `$SYS/broker/...`, for the tools that look there. It is told to this
// gateway's clients and does not go by the bus.

import { Buffer } from 'node:buffer'
import { matches } from '../mapping/topic.ts'
import type { Client } from './client.ts'
import type { Hub } from './hub.ts'
import { retainedPacket, writeAll } from './retained-feed.ts'
import type { Subscription } from './subscription.ts'

const empty = Buffer.alloc(0)

export class SysTopics {
  private readonly hub: Hub
  private readonly startedAt: number
  private now: number
  private next: number

  constructor(hub: Hub, now: number) {
    this.hub = hub
    this.startedAt = now
    this.now = now
    const { sysIntervalMs } = hub.settings
    this.next = sysIntervalMs === 0 ? Number.POSITIVE_INFINITY : now + sysIntervalMs
  }

  deadline(): number {
    return this.next
  }

  onDeadline(now: number): void {
    this.now = now
    this.next = now + this.hub.settings.sysIntervalMs
    for (const [topic, value] of this.values()) {
      for (const fanOut of this.hub.allFanOuts()) {
        fanOut.eachReceiver(topic, (client, wish) =>
          give(client, topic, value, wish.ids[0] ?? 0, wish.retainAsPublished),
        )
      }
    }
  }

  /** What a client that has subscribed is told at once, as retained messages. */
  tell(client: Client, { filter, id }: Subscription): void {
    if (this.next === Number.POSITIVE_INFINITY) return
    this.now = Math.max(this.now, client.host.now())
    for (const [topic, value] of this.values()) {
      if (matches(filter, topic)) give(client, topic, value, id, true)
    }
  }

  private values(): readonly (readonly [topic: string, value: string])[] {
    const { counters, settings } = this.hub
    const { external, heapUsed } = process.memoryUsage()
    const uptime = Math.floor((this.now - this.startedAt) / 1000)
    const broker = '$SYS/broker'
    return [
      [`${broker}/version`, `Warren ${settings.version}`],
      [`${broker}/uptime`, `${uptime} seconds`],
      [`${broker}/clients/connected`, String(counters.connected)],
      [`${broker}/clients/maximum`, String(counters.connectedMax)],
      [`${broker}/clients/total`, String(counters.connects)],
      [`${broker}/messages/received`, String(counters.received)],
      [`${broker}/messages/sent`, String(counters.sent)],
      [`${broker}/publish/messages/received`, String(counters.received)],
      [`${broker}/publish/messages/sent`, String(counters.sent)],
      [`${broker}/publish/messages/dropped`, String(counters.dropped)],
      [`${broker}/heap/current`, String(heapUsed + external)],
      [`${broker}/bytes/received`, String(counters.bytesReceived)],
    ]
  }
}

function give(client: Client, topic: string, value: string, id: number, retain: boolean): void {
  const form = { qos: 0, packetId: 0, properties: empty, expirySeconds: -1, id }
  const packet = retainedPacket(client.isV5, topic, Buffer.from(value), form)
  // The lowest bit of the first byte is the retain flag.
  if (!retain) packet[0] = (packet[0] as number) & ~1
  if (client.takesDirect(packet.length)) writeAll(client, packet)
}
