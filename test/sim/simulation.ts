// One run from a seed: who moves next is chance, and whoever sleeps moves only when its doorbell rang.

import { spareSlabs } from '../../shared/bus/arena.ts'
import type { SimGateway } from '../support/sim-node.ts'
import { SimNode } from '../support/sim-node.ts'
import { check, Violation } from './model.ts'
import { Observer } from './observer.ts'
import { Random } from './random.ts'
import { Workload } from './workload.ts'

export interface Outcome {
  readonly deliveries: number
  readonly steps: number
}

interface ShardRun {
  seen: number
  busy: boolean
  waiting: boolean
}

interface GatewayRun {
  readonly gateway: SimGateway
  readonly workload: Workload
  seen: number
  /** Shards that have been told that it is gone; undefined while it lives. */
  lostAt: Set<number> | undefined
}

/** Runs one seed; throws Violation with the seed and a short trace. */
export function runSeed(seed: number): Outcome {
  const simulation = new Simulation(seed)
  try {
    return simulation.run()
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const trace = simulation.trace.slice(-40).join('\n  ')
    throw new Violation(`seed ${seed}: ${text}\n\nlast steps:\n  ${trace}\n\nSIM_SEED=${seed}`)
  }
}

export class Simulation {
  readonly trace: string[] = []
  private readonly random: Random
  private readonly node: SimNode
  private readonly observer: Observer
  private readonly shards: ShardRun[]
  private readonly gateways: GatewayRun[] = []
  private steps = 0
  private readonly losses: boolean
  private readonly lazyShard: number
  private readonly flushChance: number

  constructor(seed: number) {
    const random = new Random(seed)
    this.random = random
    const shards = random.between(1, 3)
    // 16 KiB slabs: an arena that is full after half a megabyte, or one that has room to compact.
    const slabs = random.chance(0.7) ? 40 : 128
    const ringWords = random.chance(0.5) ? 4096 : 16384
    this.node = new SimNode({ shards, slabs, ringWords, random: () => random.next() })
    this.losses = random.chance(0.4)
    this.flushChance = random.chance(0.5) ? 0.3 : 0.9
    this.lazyShard = random.chance(0.3) ? random.below(shards) : -1
    this.observer = new Observer(this.node)
    this.shards = this.node.bells.map((bell) => ({ seen: bell.seen(), busy: true, waiting: false }))
    const gateways = random.between(1, 3)
    this.note(`shards ${shards}, gateways ${gateways}, slabs ${slabs}, ring ${ringWords}`)
    for (let i = 0; i < gateways; i++) this.startGateway()
  }

  run(): Outcome {
    const { random } = this
    this.gateways[0]?.workload.declareExchanges()
    this.rest()
    for (const { workload } of this.alive()) workload.prepare()
    this.idle()
    const rounds = random.between(2, 6)
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < 250; i++) this.step()
      this.rest()
    }
    this.finish()
    return { deliveries: this.observer.delivered, steps: this.steps }
  }

  private note(text: string): void {
    this.trace.push(text)
    if (this.trace.length > 4000) this.trace.splice(0, 2000)
  }

  private startGateway(): void {
    const gateway = this.node.startGateway()
    this.observer.addGateway(gateway)
    const note = (text: string): void => this.note(`gateway ${gateway.index}: ${text}`)
    const workload = new Workload(this.random, gateway, this.observer, note)
    this.gateways.push({ gateway, workload, seen: gateway.port.mark(), lostAt: undefined })
  }

  private alive(): GatewayRun[] {
    return this.gateways.filter((each) => each.lostAt === undefined)
  }

  private step(): void {
    this.steps++
    const { random } = this
    this.passTime()
    const kind = random.weighted({ act: 10, gateway: 6, shard: 12, flush: 3, loss: 1 })
    if (kind === 'shard') {
      const shard = random.below(this.shards.length)
      if (shard !== this.lazyShard || random.chance(0.1)) this.runShard(shard)
    } else if (kind === 'loss') {
      this.loseSomething()
    } else {
      const run = random.pick(this.alive())
      if (run === undefined) return this.startGateway()
      if (kind === 'act') {
        run.workload.act()
        if (random.chance(this.flushChance)) this.flush(run, random.below(this.shards.length))
      } else if (kind === 'gateway') this.runGateway(run)
      else this.flush(run, random.below(this.shards.length))
    }
  }

  /** Mostly a little; the wall clock is set now and then. */
  private passTime(): void {
    const { node, random } = this
    const ms = random.chance(0.02) ? random.below(2000) : random.below(300) / 100
    node.now += ms
    node.wall += random.chance(0.002) ? random.between(-100_000, 100_000) : ms
  }

  /** True when there was something to do. */
  private runShard(index: number): boolean {
    const run = this.shards[index] as ShardRun
    const bell = this.node.bells[index]
    if (bell === undefined) return false
    const due = this.node.shard(index).deadline() <= this.node.now
    if (!run.busy && !run.waiting && !due && bell.seen() === run.seen) return false
    run.seen = bell.seen()
    const shard = this.node.shard(index)
    run.busy = this.node.turn(index)
    this.observer.turned(index)
    run.waiting = shard.sweep()
    return run.busy
  }

  private flush(run: GatewayRun, shard: number): void {
    const link = run.gateway.port.link(shard)
    link.show()
    link.out.wake()
    this.observer.flushed(run.gateway.index, shard)
  }

  /** One turn of the gateway's loop. */
  private runGateway(run: GatewayRun): boolean {
    const { gateway, workload } = run
    const seen = gateway.port.mark()
    const rang = seen !== run.seen
    run.seen = seen
    const any = rang && gateway.port.drain()
    if (rang) workload.retry()
    for (let shard = 0; shard < this.shards.length; shard++) this.flush(run, shard)
    return any
  }

  private loseSomething(): void {
    const dying = this.gateways.find(({ lostAt }) => lostAt !== undefined && !this.isGone(lostAt))
    if (dying !== undefined) return this.loseAt(dying, this.random.below(this.shards.length))
    if (!this.losses || !this.random.chance(0.15)) return
    const run = this.random.pick(this.alive())
    if (run === undefined) return
    this.note(`gateway ${run.gateway.index}: lost`)
    run.lostAt = new Set()
    this.node.gateways[run.gateway.index] = undefined
    if (this.random.chance(0.7)) this.startGateway()
  }

  private isGone(lostAt: Set<number>): boolean {
    return lostAt.size === this.shards.length
  }

  private loseAt(run: GatewayRun, shard: number): void {
    const link = run.gateway.links[shard]
    if (run.lostAt === undefined || link === undefined || run.lostAt.has(shard)) return
    run.lostAt.add(shard)
    this.note(`shard ${shard}: loses gateway ${run.gateway.index}`)
    this.node.shard(shard).loseGateway(link.id)
    this.observer.lost(run.gateway.index, shard)
    const state = this.shards[shard]
    // Mail from main comes with a ring of the bell.
    if (state !== undefined) state.busy = true
  }

  /** Runs until nobody has anything to do, then holds everything against the model. */
  private rest(): void {
    for (const run of this.gateways) {
      if (run.lostAt === undefined) continue
      for (let shard = 0; shard < this.shards.length; shard++) this.loseAt(run, shard)
    }
    this.relax()
    for (let round = 0; this.starved() && round < 20; round++) {
      this.note('relief')
      for (const { workload } of this.alive()) workload.relieve()
      this.relax()
    }
    const alive = this.alive()
    const stuck = alive.find(({ workload }) => workload.isBlocked())
    check(this.starved() || !stuck, () => `gateway ${stuck?.gateway.index} was not woken for room`)
    for (const { workload } of alive) workload.giveUp()
    this.relax()
    for (const { workload } of this.alive()) workload.checkResting()
    for (const index of this.node.shards.keys()) {
      check(!this.node.turn(index), () => `shard ${index} was not woken`)
      this.observer.turned(index)
    }
    for (const { gateway } of this.alive()) {
      check(!gateway.port.drain(), () => `gateway ${gateway.index} was not woken`)
    }
    this.observer.rested()
  }

  /** Sockets take everything until nothing more comes. */
  private relax(): void {
    this.idle()
    while (this.alive().some(({ workload }) => workload.relax())) this.idle()
  }

  /** Whether somebody may wait for memory, which only clients can give back. */
  private starved(): boolean {
    return this.node.arena.used() >= this.node.arena.slabCount - spareSlabs
  }

  private idle(): void {
    let quiet = 0
    for (let round = 0; round < 2000; round++) {
      let any = false
      for (const run of this.alive()) if (this.runGateway(run)) any = true
      for (let shard = 0; shard < this.shards.length; shard++) if (this.runShard(shard)) any = true
      // Once more for those who only look again after a while.
      quiet = any || this.ringing() ? 0 : quiet + 1
      if (quiet === 3) return
    }
    throw new Violation('the node never comes to rest')
  }

  private ringing(): boolean {
    return (
      this.shards.some((run, i) => this.node.bells[i]?.seen() !== run.seen) ||
      this.alive().some((run) => run.gateway.port.mark() !== run.seen)
    )
  }

  private finish(): void {
    for (const { workload } of this.alive()) workload.closeAll()
    this.rest()
    const last = this.alive()[0]
    if (last === undefined) this.startGateway()
    const { workload } = this.alive()[0] as GatewayRun
    workload.deleteQueues()
    this.rest()
    workload.closeAll()
    this.rest()
    for (const [index, { state }] of this.node.shards.entries()) {
      const { messages, queues, holders, getters } = state
      check(
        messages.count === 0,
        () => `shard ${index} keeps ${messages.count} messages at the end`,
      )
      check(queues.size === 0, () => `shard ${index} has ${queues.size} queues at the end`)
      const left = [...holders.values()].length
      const { timers } = this.node.shard(index).state
      check(timers.count === 0, () => `shard ${index}: ${timers.count} timers at the end`)
      check(left === 0 && getters.size === 0, () => `shard ${index}: ${left} holders at the end`)
    }
    // Each shard writes one slab, each gateway one per shard.
    const current = this.shards.length * (1 + this.alive().length)
    const used = this.node.arena.used()
    check(used <= current, () => `${used} slabs are in use at the end, should be ${current}`)
  }
}
