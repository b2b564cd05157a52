// A node in one thread: shards and gateway ports with real rings between them, driven by hand. Nothing
// moves unless it is told to, so a test decides who runs when.

import { createRateMemory } from '../../core/shard/publish-rates.ts'
import { Shard } from '../../core/shard/shard.ts'
import { noStorage } from '../../core/shard/storage.ts'
import type { MetadataStore } from '../../core/store/metadata-store.ts'
import { NoMetadata } from '../../core/store/metadata-store.ts'
import type { RegistryOp } from '../../core/topology/registry-op.ts'
import type { ArenaMemory } from '../../shared/bus/arena.ts'
import { Arena, createArena } from '../../shared/bus/arena.ts'
import type { ControlReply } from '../../shared/bus/control.ts'
import { createDoorbell, Doorbell } from '../../shared/bus/doorbell.ts'
import { GatewayPort } from '../../shared/bus/gateway-port.ts'
import type { LinkMemory } from '../../shared/bus/link.ts'
import { createLink, createNodeWords } from '../../shared/bus/link.ts'
import { createRing } from '../../shared/bus/ring.ts'

export interface SimNodeOptions {
  readonly shards: number
  readonly slabBytes?: number
  readonly slabs?: number
  /** A power of two, at least 4096: the largest delivery must fit twice. */
  readonly ringWords?: number
  /** The next random number, 0 to 2^32 - 1. */
  readonly random?: () => number
  /** Where the registry's decisions are kept; without it, nowhere. */
  readonly metadata?: MetadataStore
}

/** A gateway thread's memory and its end of the bus. */
export interface SimGateway {
  readonly index: number
  readonly port: GatewayPort
  readonly bell: Doorbell
  /** By shard. */
  readonly links: readonly LinkMemory[]
}

export class SimNode {
  readonly shards: readonly Shard[]
  readonly bells: readonly Doorbell[]
  /** rings[i][j]: from shard i to shard j. */
  readonly peerRings: readonly (readonly SharedArrayBuffer[])[]
  readonly arena: Arena
  /** By index; undefined where one was lost. */
  readonly gateways: (SimGateway | undefined)[]
  /** The time of shards, in milliseconds: of the monotonic clock, and since 1970. */
  now = 1000
  wall = 1_700_000_000_000
  private readonly memory: ArenaMemory
  private readonly bellMemories: readonly SharedArrayBuffer[]
  private readonly ringWords: number
  private readonly metadata: MetadataStore
  private readonly rates: SharedArrayBuffer
  private lastLink: number

  constructor(options: SimNodeOptions) {
    const { shards, slabBytes = 16 * 1024, slabs = 64, ringWords = 4096 } = options
    const random = options.random ?? counter()
    this.memory = createArena(slabs * slabBytes, slabBytes)
    this.arena = new Arena(this.memory)
    this.ringWords = ringWords
    this.lastLink = 0
    this.rates = createRateMemory()
    this.metadata = options.metadata ?? new NoMetadata()
    this.gateways = []
    this.bellMemories = Array.from({ length: shards }, () => createDoorbell())
    this.bells = this.bellMemories.map((bell) => new Doorbell(bell))
    this.peerRings = Array.from({ length: shards }, () =>
      Array.from({ length: shards }, () => createRing(ringWords)),
    )
    this.shards = Array.from({ length: shards }, (_, shard) => this.newShard(shard, random))
    if (options.metadata === undefined) this.provision()
  }

  /** Starts a gateway that is linked to every shard. */
  startGateway(): SimGateway {
    const bell = createDoorbell()
    const links = this.shards.map(() =>
      createLink(++this.lastLink, this.arena.slabCount, this.ringWords),
    )
    const index = this.gateways.length
    const port = new GatewayPort({
      gateway: index,
      name: `gateway ${index}`,
      protocols: [],
      arena: this.memory,
      nodeWords: createNodeWords(),
      bell,
      shardBells: this.bellMemories,
      links,
      settings: {},
    })
    const gateway = { index, port, bell: new Doorbell(bell), links }
    this.gateways.push(gateway)
    for (const [shard, link] of links.entries()) {
      this.shard(shard).addGateway(link, bell, `gateway ${index}`)
    }
    return gateway
  }

  shard(index: number): Shard {
    const shard = this.shards[index]
    if (shard === undefined) throw new Error(`no shard ${index}`)
    return shard
  }

  /** Runs an op of the node on the registry and lets all shards apply it. */
  admin(op: RegistryOp): ControlReply {
    let got: ControlReply | undefined
    this.shard(0).control.runOnRegistry(op, (reply) => {
      got = reply
    })
    this.settle()
    if (got === undefined) throw new Error(`no answer to ${op.op}`)
    return got
  }

  /** Turns shards and gateways until nobody has anything to do. */
  settle(): void {
    for (let round = 0; round < 10_000; round++) {
      let any = false
      for (const gateway of this.gateways) {
        if (gateway === undefined) continue
        if (gateway.port.drain()) any = true
        gateway.port.flush()
      }
      for (const shard of this.shards) {
        if (shard.turn(this.now, this.wall)) any = true
        shard.sweep()
      }
      if (!any) return
    }
    throw new Error('the node never comes to rest')
  }

  /** One turn of one shard. */
  turn(index: number): boolean {
    return this.shard(index).turn(this.now, this.wall)
  }

  /** Lets time pass, then all that comes of it. */
  pass(ms: number): void {
    this.now += ms
    this.wall += ms
    this.settle()
  }

  /** Messages that any shard keeps. */
  messageCount(): number {
    return this.shards.reduce((sum, shard) => sum + shard.state.messages.count, 0)
  }

  private newShard(shard: number, random: () => number): Shard {
    const shards = this.bellMemories.length
    const made = new Shard({
      shard,
      shards,
      arena: this.memory,
      registry: {
        shards,
        randomBytes: (size) => new Uint8Array(size).map(() => random() & 255),
        permitTransientNonexclusiveQueues: true,
        loopbackUsers: new Set(),
        anonymousUser: undefined,
        hashingAlgorithm: 'rabbit_password_hashing_sha256',
        queueCountMax: undefined,
        exchangeCountMax: undefined,
        replyQueueExists: () => false,
      },
      storage: noStorage,
      metadata: this.metadata,
      random,
      rates: this.rates,
    })
    for (let peer = 0; peer < shards; peer++) {
      const toPeer = this.peerRings[shard]?.[peer]
      const fromPeer = this.peerRings[peer]?.[shard]
      const bell = this.bellMemories[peer]
      if (peer === shard || !toPeer || !fromPeer || !bell) continue
      made.addPeer(peer, toPeer, fromPeer, bell)
    }
    return made
  }

  private provision(): void {
    this.admin({ op: 'addVhost', name: '/' })
    this.admin({ op: 'addUser', name: 'guest', passwordHash: '', tags: [] })
    const all = { configure: '.*', write: '.*', read: '.*' }
    this.admin({ op: 'setPermissions', user: 'guest', vhost: '/', ...all })
  }
}

function counter(): () => number {
  let last = 0
  return () => ++last
}
