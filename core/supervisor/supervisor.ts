// Starts shards and gateways, joins them by links, restarts a crashed gateway, stops all in order.
// It never sees a message.

import type { MessagePort } from 'node:worker_threads'
import { MessageChannel } from 'node:worker_threads'
import type { ArenaMemory } from '../../shared/bus/arena.ts'
import { Arena } from '../../shared/bus/arena.ts'
import type { ControlReply } from '../../shared/bus/control.ts'
import { createDoorbell, Doorbell } from '../../shared/bus/doorbell.ts'
import type { LinkMemory } from '../../shared/bus/link.ts'
import { Alarm, createLink, createNodeWords, NodeWord } from '../../shared/bus/link.ts'
import type {
  GatewayMail,
  GatewayStart,
  LogMail,
  LogStart,
  ShardMail,
  ShardStart,
  StreamReaderStart,
  ThreadReport,
} from '../../shared/bus/mail.ts'
import type { Config } from '../../shared/config/schema.ts'
import type { Log } from '../../shared/log.ts'
import { freeBytes } from '../store/free-space.ts'
import { shardFolder } from '../store/layout.ts'
import type { MetadataStart } from '../store/metadata-mail.ts'
import { Backoff } from './backoff.ts'
import type { DiskSample } from './disk-watch.ts'
import { DiskWatch } from './disk-watch.ts'
import type { GatewayPlan } from './gateway-plan.ts'
import { planGateways } from './gateway-plan.ts'
import { MemoryWatch } from './memory-watch.ts'
import type { DiskFacts } from './shard-memory.ts'
import { shardStarts } from './shard-memory.ts'
import type { Thread } from './thread.ts'
import { startThread } from './thread.ts'

/** Exit code after a crash of a shard (EX_SOFTWARE of sysexits.h). */
export const shardCrashExitCode = 70

/** Of the 5 s that a stop may take: for clients to answer connection.close, and for shards to end. */
const gatewayStopMs = 4000
const shardStopMs = 500
const metadataStopMs = 300
const alarmSampleMs = 250

export interface SupervisorOptions {
  readonly config: Config
  readonly log: Log
  readonly arena: ArenaMemory
  readonly watermarkBytes: number
  readonly disk: DiskFacts
  /** See diskLimitBytes. */
  readonly diskLimitBytes: number
  readonly shardUrl: URL
  readonly logUrl: URL
  readonly readerUrl: URL
  readonly metadataUrl: URL
  readonly gatewayUrl: URL
  /** Stands in for a gateway that is a process. */
  readonly bridgeUrl: URL
  /** Every listener serves. */
  readonly onReady: () => void
  /** Every thread stopped in order: all that was promised is on disk. */
  readonly onCleanStop: () => void
  /** The node is over; `text` is for standard error. Must not return to a live node. */
  readonly exit: (code: number, text: string | undefined) => void
}

interface ShardSlot {
  readonly thread: Thread
  readonly bell: Doorbell
  ready: boolean
  stopped: boolean
  /** It stopped because it was told to, with everything on disk. */
  stoppedCleanly: boolean
}

interface LogSlot {
  readonly thread: Thread
  readonly bell: Doorbell
}

interface MetadataSlot {
  readonly thread: Thread
  stopped: boolean
}

interface GatewaySlot {
  readonly plan: GatewayPlan
  readonly backoff: Backoff
  thread: Thread | undefined
  bell: Doorbell
  links: readonly LinkMemory[]
  serving: boolean
  stopped: boolean
}

type Phase = 'starting' | 'running' | 'stopping'

export class Supervisor {
  private readonly options: SupervisorOptions
  private readonly nodeWords: SharedArrayBuffer
  private readonly arena: Arena
  private readonly shardBells: SharedArrayBuffer[]
  private readonly shards: ShardSlot[]
  private readonly logs: LogSlot[]
  private readonly readers: Thread[]
  private shardStarts: readonly ShardStart[]
  private metadata: MetadataSlot | undefined
  private readonly gateways: GatewaySlot[]
  private readonly announced: Set<string>
  private readonly memoryWatch: MemoryWatch
  private readonly diskWatch: DiskWatch
  /** The system is asked for the free space; it may take its time. */
  private lookingAtDisk: boolean
  private phase: Phase
  /** Who waits for the answer to a command, by its number. */
  private readonly answers: Map<number, (reply: ControlReply) => void>
  private lastRequest: number
  private lastLink: number
  private lastGateway: number
  private alarmTimer: NodeJS.Timeout | undefined

  constructor(options: SupervisorOptions) {
    this.options = options
    this.nodeWords = createNodeWords()
    this.arena = new Arena(options.arena)
    this.shardBells = []
    this.shards = []
    this.logs = []
    this.readers = []
    this.shardStarts = []
    this.metadata = undefined
    this.gateways = []
    this.announced = new Set()
    this.memoryWatch = new MemoryWatch(options.watermarkBytes)
    this.diskWatch = new DiskWatch(options.diskLimitBytes)
    this.lookingAtDisk = false
    this.phase = 'starting'
    this.answers = new Map()
    this.lastRequest = 0
    this.lastLink = 0
    this.lastGateway = 0
    this.alarmTimer = undefined
  }

  /** Starts every thread. `onReady` follows, or `exit`. */
  start(): void {
    const { config, arena, disk, watermarkBytes, shardUrl } = this.options
    const channel = new MessageChannel()
    const starts = shardStarts(config, arena, this.nodeWords, channel.port1, disk, watermarkBytes)
    this.shardStarts = starts
    this.startMetadata(channel.port2, starts)
    for (const start of starts) {
      this.startLog(start)
      const events = {
        onReport: (report: ThreadReport) => this.onShardReport(start.shard, report),
        onEnd: (cause: string | undefined) => this.onShardEnd(start.shard, cause),
      }
      const memory = start.bells[start.shard] ?? createDoorbell()
      this.shardBells.push(memory)
      this.shards.push({
        thread: startThread(shardUrl, `shard ${start.shard}`, start, events, portsOf(start)),
        bell: new Doorbell(memory),
        ready: false,
        stopped: false,
        stoppedCleanly: false,
      })
    }
    for (const plan of planGateways(config)) {
      const slot: GatewaySlot = {
        plan,
        backoff: new Backoff(performance.now()),
        thread: undefined,
        bell: new Doorbell(createDoorbell()),
        links: [],
        serving: false,
        stopped: true,
      }
      this.gateways.push(slot)
    }
    for (const slot of this.firstGateways()) this.startGateway(slot)
    this.watchAlarms()
    this.alarmTimer = setInterval(() => this.watchAlarms(), alarmSampleMs)
  }

  /** Tells clients, drains, stops shards, exits with 0; within 5 s whatever the threads do. */
  stop(reason: string): void {
    if (this.phase === 'stopping') return
    this.phase = 'stopping'
    clearInterval(this.alarmTimer)
    this.options.log.info(`stopping: ${reason}`)
    Atomics.store(new Int32Array(this.nodeWords), NodeWord.shutdown, 1)
    for (const slot of this.gateways)
      this.postGateway(slot, { mail: 'shutdown', reason: 'shutdown' })
    this.awaitStop(this.gateways, gatewayStopMs, () => {
      for (const slot of this.shards) this.postShard(slot, { mail: 'stop' })
      this.awaitStop(this.shards, shardStopMs, () => this.stopMetadata())
    })
  }

  /** Carries out an operator's command (see AdminOp of core/topology, and core/shard/admin-commands.ts). */
  admin(command: Readonly<Record<string, unknown>>): Promise<ControlReply> {
    const request = ++this.lastRequest
    const [registry] = this.shards
    return new Promise((resolve) => {
      this.answers.set(request, resolve)
      if (registry !== undefined) this.postShard(registry, { mail: 'admin', request, command })
    })
  }

  private stopMetadata(): void {
    const { metadata, options, shards } = this
    metadata?.thread.post({ mail: 'stop' })
    this.awaitStop(metadata === undefined ? [] : [metadata], metadataStopMs, () => {
      const clean = metadata?.stopped === true && shards.every((slot) => slot.stoppedCleanly)
      if (clean) options.onCleanStop()
      options.log.info('stopped')
      options.exit(0, undefined)
    })
  }

  /** Ends every thread without asking. */
  terminate(): void {
    for (const { thread } of this.shards) thread.terminate()
    this.metadata?.thread.terminate()
    for (const { thread } of this.logs) thread.terminate()
    for (const thread of this.readers) thread.terminate()
    for (const { thread } of this.gateways) thread?.terminate()
  }

  private startMetadata(port: MessagePort, starts: readonly ShardStart[]): void {
    const start: MetadataStart = {
      dataDir: this.options.config.data_dir,
      port,
      bell: starts[0]?.bells[0] ?? createDoorbell(),
      nodeWords: this.nodeWords,
    }
    const events = {
      onReport: (report: ThreadReport) => this.onMetadataReport(report),
      onEnd: (cause: string | undefined) => this.fail(cause ?? 'the metadata thread ended'),
    }
    const thread = startThread(this.options.metadataUrl, 'metadata', start, events, [port])
    this.metadata = { thread, stopped: false }
  }

  private onMetadataReport(report: ThreadReport): void {
    if (report.report === 'failed') this.fail(report.text)
    else if (report.report === 'stopped' && this.metadata !== undefined)
      this.metadata.stopped = true
    else this.onCommonReport(report)
  }

  /** The node cannot keep what it is told: it says why and ends. */
  private fail(text: string): void {
    if (this.phase === 'stopping') return
    this.phase = 'stopping'
    clearInterval(this.alarmTimer)
    this.options.exit(1, text)
  }

  /** A log that crashes ends the node, as its shard does: what it had may or may not be on disk. */
  private startLog({ shard, arena, nodeWords, log, bells }: ShardStart): void {
    const start: LogStart = {
      shard,
      folder: shardFolder(this.options.config.data_dir, shard),
      arena,
      nodeWords,
      log,
      shardBell: bells[shard] ?? createDoorbell(),
    }
    const thread = startThread(this.options.logUrl, `log ${shard}`, start, {
      onReport: (report) => this.onCommonReport(report),
      onEnd: (cause) => this.onShardEnd(shard, cause),
    })
    this.logs.push({ thread, bell: new Doorbell(log.bell) })
  }

  /** The streams of a shard are read for the first time. */
  private startReader(shard: number): void {
    const { arena, readerUrl } = this.options
    const log = this.shardStarts[shard]?.log
    const shardBell = this.shardBells[shard]
    if (log === undefined || shardBell === undefined || this.phase === 'stopping') return
    const start: StreamReaderStart = { shard, arena, streams: log.streams, shardBell }
    const thread = startThread(readerUrl, `reader ${shard}`, start, {
      onReport: (report) => this.onCommonReport(report),
      onEnd: (cause) => this.onShardEnd(shard, cause),
    })
    this.readers.push(thread)
  }

  private startGateway(slot: GatewaySlot): void {
    const { arena, config, gatewayUrl, bridgeUrl } = this.options
    const { isolation, name, services } = slot.plan
    const bell = createDoorbell()
    slot.bell = new Doorbell(bell)
    slot.links = this.shardStarts.map(({ log }) => {
      // A process has no memory in common with the log.
      const durable = isolation === 'process' ? undefined : log.durable
      return createLink(++this.lastLink, this.arena.slabCount, undefined, durable)
    })
    slot.serving = false
    slot.stopped = false
    const start: GatewayStart = {
      gateway: ++this.lastGateway,
      name,
      protocols: services,
      arena,
      nodeWords: this.nodeWords,
      bell,
      shardBells: this.shardBells,
      links: slot.links,
      settings: config,
    }
    for (const [index, shard] of this.shards.entries()) {
      const link = slot.links[index]
      if (link === undefined) continue
      const { id, confirms } = link
      // First: what waits for the log is woken by it from the first confirm on.
      if (confirms !== undefined)
        this.postLog(index, { mail: 'gateway', link: id, bell, awaits: confirms.awaits })
      this.postShard(shard, { mail: 'gateway', link, bell, name })
    }
    const url = isolation === 'process' ? bridgeUrl : gatewayUrl
    slot.thread = startThread(url, `gateway ${name}`, start, {
      onReport: (report) => this.onGatewayReport(slot, report),
      onEnd: (cause) => this.onGatewayEnd(slot, cause),
    })
  }

  private onShardReport(index: number, report: ThreadReport): void {
    const slot = this.shards[index]
    if (slot === undefined) return
    if (report.report === 'ready') {
      slot.ready = true
      if (this.shards.every(({ ready }) => ready)) this.openGateways()
    } else if (report.report === 'stopped') {
      slot.stopped = true
      slot.stoppedCleanly = true
    } else if (report.report === 'answer') {
      this.answers.get(report.request)?.(report.reply)
      this.answers.delete(report.request)
    } else if (report.report === 'readerNeeded') this.startReader(index)
    else if (report.report === 'failed') this.onShardEnd(index, report.text)
    else this.onCommonReport(report)
  }

  private onShardEnd(index: number, cause: string | undefined): void {
    const slot = this.shards[index]
    if (slot !== undefined) slot.stopped = true
    if (this.phase === 'stopping') return
    this.phase = 'stopping'
    clearInterval(this.alarmTimer)
    const text = `shard ${index} crashed, so the node stops: ${cause ?? 'it ended by itself'}`
    this.options.exit(shardCrashExitCode, text)
  }

  private openGateways(): void {
    for (const slot of this.gateways) this.postGateway(slot, { mail: 'listen' })
    this.checkReady()
  }

  /** AMQP is what most clients wait for: the other gateways start when it serves. */
  private firstGateways(): readonly GatewaySlot[] {
    const amqp = this.gateways.filter(({ plan }) => plan.services.includes('amqp'))
    return amqp.length > 0 ? amqp : this.gateways
  }

  private startOtherGateways(): void {
    if (this.firstGateways().some(({ serving }) => !serving)) return
    for (const slot of this.gateways) {
      if (slot.thread !== undefined) continue
      this.startGateway(slot)
      this.postGateway(slot, { mail: 'listen' })
    }
  }

  private onGatewayReport(slot: GatewaySlot, report: ThreadReport): void {
    if (report.report === 'stopped') slot.stopped = true
    else if (report.report === 'failed') this.onGatewayEnd(slot, report.text)
    else if (report.report === 'listening') {
      const at = `${report.protocol} on ${formatAddress(report.address, report.port)}`
      // Several threads serve one port, and a restarted one serves it again.
      if (!this.announced.has(at)) this.options.log.info(`listening: ${at}`)
      this.announced.add(at)
    } else if (report.report === 'serving') {
      slot.serving = true
      if (this.phase === 'starting') this.startOtherGateways()
      this.checkReady()
    } else if (report.report === 'log') this.onCommonReport(report)
  }

  private onCommonReport(report: ThreadReport): void {
    if (report.report !== 'log') return
    this.options.log[report.level](report.msg, { ...report.fields })
  }

  private checkReady(): void {
    if (this.phase !== 'starting' || !this.shards.every(({ ready }) => ready)) return
    if (this.gateways.some(({ serving }) => !serving)) return
    this.phase = 'running'
    this.options.onReady()
  }

  /** A gateway crashed, or said that it cannot go on. Its clients may come back to a new one. */
  private onGatewayEnd(slot: GatewaySlot, cause: string | undefined): void {
    const { thread, links } = slot
    if (thread === undefined) return
    slot.thread = undefined
    slot.stopped = true
    if (this.phase === 'stopping') return
    if (this.phase === 'starting') {
      this.phase = 'stopping'
      this.options.exit(1, cause ?? `gateway ${slot.plan.name} ended while it started`)
      return
    }
    thread.terminate()
    for (const [index, shard] of this.shards.entries()) {
      const link = links[index]
      if (link === undefined) continue
      this.postLog(index, { mail: 'gatewayLost', link: link.id })
      this.postShard(shard, { mail: 'gatewayLost', link: link.id })
    }
    const delayMs = slot.backoff.crashed(performance.now())
    this.options.log.error(
      `gateway ${slot.plan.name} crashed, starting it again in ${delayMs} ms`,
      {
        cause: cause ?? 'it ended by itself',
      },
    )
    setTimeout(() => {
      if (this.phase !== 'running') return
      this.startGateway(slot)
      this.postGateway(slot, { mail: 'listen' })
    }, delayMs)
  }

  /** Calls `then` when all have stopped, or after `limitMs`. */
  private awaitStop(
    slots: readonly { readonly stopped: boolean }[],
    limitMs: number,
    then: () => void,
  ): void {
    const deadline = performance.now() + limitMs
    const look = (): void => {
      if (slots.every(({ stopped }) => stopped) || performance.now() >= deadline) then()
      else setTimeout(look, 5)
    }
    look()
  }

  private watchAlarms(): void {
    this.watchMemory()
    this.watchDisk()
  }

  private watchMemory(): void {
    const change = this.memoryWatch.look({
      residentBytes: process.memoryUsage.rss(),
      slabsUsed: this.arena.used(),
      slabsTouched: this.slabsTouched(),
    })
    if (change === undefined) return
    const limit = Math.round(this.options.watermarkBytes / 1024 / 1024)
    // What the log says holds when it says it.
    this.setAlarm(Alarm.memory, change)
    if (change) this.options.log.warn(`memory alarm: above ${limit} MiB, publishers are blocked`)
    else this.options.log.info(`memory alarm cleared: below ${limit} MiB`)
  }

  private watchDisk(): void {
    if (this.lookingAtDisk) return
    this.lookingAtDisk = true
    void freeBytes(this.options.config.data_dir).then((free) => {
      this.lookingAtDisk = false
      const refused = Atomics.load(new Int32Array(this.nodeWords), NodeWord.failingLogs)
      if (this.phase !== 'stopping') this.onDiskSample({ freeBytes: free, refused })
    })
  }

  private onDiskSample(sample: DiskSample): void {
    const change = this.diskWatch.look(sample)
    if (change === undefined) return
    const { log, config } = this.options
    const limit = `${Math.round(this.diskWatch.limitBytes / 1e6)} MB`
    const fields = { data_dir: config.data_dir, freeBytes: sample.freeBytes }
    this.setAlarm(Alarm.disk, change)
    if (!change) log.info('disk alarm cleared', fields)
    else if (sample.refused > 0) log.warn('disk alarm: writes fail, publishers are blocked', fields)
    else log.warn(`disk alarm: less than ${limit} free, publishers are blocked`, fields)
  }

  private setAlarm(alarm: number, raised: boolean): void {
    const words = new Int32Array(this.nodeWords)
    if (raised) Atomics.or(words, NodeWord.alarms, alarm)
    else Atomics.and(words, NodeWord.alarms, ~alarm)
    for (const { bell } of this.gateways) bell.ring()
    for (const { bell } of this.shards) bell.ring()
  }

  private slabsTouched(): number {
    for (let i = this.arena.slabCount - 1; i >= 0; i--) if (this.arena.owner(i) !== 0) return i + 1
    return 0
  }

  private postShard(slot: ShardSlot, mail: ShardMail): void {
    slot.thread.post(mail)
    slot.bell.ringMail()
  }

  private postLog(shard: number, mail: LogMail): void {
    const slot = this.logs[shard]
    slot?.thread.post(mail)
    slot?.bell.ringMail()
  }

  private postGateway(slot: GatewaySlot, mail: GatewayMail): void {
    slot.thread?.post(mail)
  }
}

function portsOf(start: ShardStart): MessagePort[] {
  return start.metadata === undefined ? [] : [start.metadata]
}

function formatAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
