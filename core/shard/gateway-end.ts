// A shard's end of the link to one gateway, and what the gateway has opened through it.

import { Doorbell } from '../../shared/bus/doorbell.ts'
import { ControlAssembler, Lane } from '../../shared/bus/lane.ts'
import type { LinkMemory } from '../../shared/bus/link.ts'
import { RingReader, RingWriter } from '../../shared/bus/ring.ts'
import type { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import type { Consumer, Outlet } from '../queue/consumer.ts'
import type { ShardChannel, ShardConnection } from './channel.ts'

/** Connections, channels and consumers are found by their slots at the gateway. */
export class GatewayEnd implements Outlet {
  readonly id: number
  readonly name: string
  readonly lane: Lane
  readonly in: RingReader
  readonly bell: Doorbell
  readonly assembler: ControlAssembler
  readonly lastReference: Float64Array
  /** It may be sent confirms whose messages are not durable yet. */
  readonly holdsConfirms: boolean
  readonly stalled: Consumer[]
  readonly connections: (ShardConnection | undefined)[]
  readonly channels: (ShardChannel | undefined)[]
  readonly consumers: (Consumer | undefined)[]
  /** Connections that are open. */
  connectionCount: number
  /** The gateway is gone: nothing is read or written any more. */
  lost: boolean

  constructor(memory: LinkMemory, bell: SharedArrayBuffer, name: string, reclaimer: SlabReclaimer) {
    const writer = new RingWriter(memory.toGateway)
    this.id = memory.id
    this.name = name
    this.bell = new Doorbell(bell)
    this.lane = new Lane(writer, this.bell)
    this.in = new RingReader(memory.toShard)
    this.assembler = new ControlAssembler()
    this.lastReference = reclaimer.watch(memory.id, writer, new Int32Array(memory.pins))
    this.holdsConfirms = memory.confirms !== undefined
    this.stalled = []
    this.connections = []
    this.channels = []
    this.consumers = []
    this.connectionCount = 0
    this.lost = false
  }
}
