// Rounds of load, a violent end, a restart, and a look at what is left.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { ChannelModel, ConsumeMessage } from 'amqplib'
import { connect } from 'amqplib'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { eventually, pause } from '../support/wait.ts'
import { Ledger } from './ledger.ts'
import { idOf, Load, queues } from './load.ts'
import { keepEverything, losePower } from './power-loss.ts'

/** How a round ends: the process is killed; the same, and what was not synced is torn; or SIGTERM. */
export type Ending = 'kill' | 'power' | 'stop'

export interface CrashOptions {
  readonly rounds: number
  readonly seed: number
  readonly endings: readonly Ending[]
  readonly settings?: readonly string[]
  /** A disk whose syncs do nothing. */
  readonly lyingDisk?: boolean
  /** Another build of the program. */
  readonly main?: string
  /** Load lasts up to this long. */
  readonly loadMs?: number
  /** Usual size of a message. */
  readonly bodyBytes?: number
  readonly onRound?: (text: string) => void
}

export interface CrashResult {
  readonly rounds: number
  readonly sent: number
  /** Of the messages that had to be there after the restarts. */
  readonly owed: number
  /** Writes that a power cut met before their sync. */
  readonly tornWrites: number
  readonly problems: readonly string[]
}

/** Queues that have grown beyond this are emptied after a look at them. */
const backlogMax = 5000
/** A kill is to meet writes that are not synced. */
const slowSyncMs = 10
/** How long the contents of a queue may take to arrive. */
const lookMs = 30_000

/** Runs the rounds; stops after the first one with a problem. */
export async function runCrashes(options: CrashOptions): Promise<CrashResult> {
  const folder = mkdtempSync(join(tmpdir(), 'warren-crash-'))
  try {
    return await new CrashRun(options, folder).run()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

class CrashRun {
  private readonly options: CrashOptions
  private readonly dataDir: string
  private readonly journals: string
  private readonly ledger: Ledger
  private readonly random: () => number
  private sent: number
  private owed: number
  private tornWrites: number

  constructor(options: CrashOptions, folder: string) {
    this.options = options
    this.dataDir = join(folder, 'data')
    this.journals = join(folder, 'journals')
    mkdirSync(this.journals)
    this.ledger = new Ledger()
    this.random = randomFrom(options.seed)
    this.sent = 0
    this.owed = 0
    this.tornWrites = 0
  }

  async run(): Promise<CrashResult> {
    let round = 0
    while (round < this.options.rounds && this.ledger.problems.length === 0) {
      await this.runRound(round)
      round++
    }
    const { sent, owed, tornWrites } = this
    return { rounds: round, sent, owed, tornWrites, problems: this.ledger.problems }
  }

  private async runRound(round: number): Promise<void> {
    const { endings, loadMs = 400, bodyBytes = 60, onRound } = this.options
    const ending = endings[round % endings.length] ?? 'kill'
    const broker = await this.start(ending === 'power' ? slowSyncMs : 0)
    const load = new Load(this.ledger, round, bodyBytes, this.random)
    await load.start(broker.port)
    await pause(20 + this.random() * loadMs)
    await this.end(broker, ending)
    await load.end()
    let torn = ''
    if (ending === 'power') {
      const { writes, sectors, folderOps } = losePower(this.journals, this.random)
      this.tornWrites += writes
      torn = `, ${writes} writes torn, ${sectors} sectors lost, ${folderOps} folder changes open`
    } else {
      keepEverything(this.journals)
    }
    this.sent += load.sentCount
    const owed = this.ledger.owed()
    this.owed += owed
    const counts = await this.look()
    onRound?.(
      `round ${round}: ${ending}${torn}; ${load.sentCount} sent, ${owed} owed, found ${counts}`,
    )
  }

  private start(syncMs: number): Promise<Broker> {
    const preload = pathToFileURL(fileURLToPath(new URL('./torn-disk.js', import.meta.url)))
    return startWarren({
      dataDir: this.dataDir,
      settings: this.options.settings ?? [],
      ...(this.options.main === undefined ? {} : { main: this.options.main }),
      env: {
        NODE_OPTIONS: `--import ${preload.href}`,
        WARREN_TORN_DISK: this.journals,
        WARREN_SYNC_MS: String(syncMs),
        WARREN_LYING_DISK: this.options.lyingDisk === true ? '1' : '',
      },
    })
  }

  private async end(broker: Broker, ending: Ending): Promise<void> {
    if (ending === 'stop') {
      await broker.stop()
      return
    }
    broker.process?.kill('SIGKILL')
    await broker.process?.exited
  }

  /** Starts again, compares each queue with the ledger, and stops in order. */
  private async look(): Promise<string> {
    const broker = await this.start(0)
    const connection = await connect({ hostname: '127.0.0.1', port: broker.port, heartbeat: 0 })
    const counts: number[] = []
    for (const queue of queues) counts.push(await this.lookAt(connection, queue))
    await connection.close()
    await broker.stop()
    keepEverything(this.journals)
    return counts.join(' + ')
  }

  private async lookAt(connection: ChannelModel, queue: string): Promise<number> {
    const channel = await connection.createConfirmChannel()
    const { messageCount } = await channel.checkQueue(queue)
    const found: ConsumeMessage[] = []
    await channel.consume(queue, (message) => {
      if (message !== null) found.push(message)
    })
    const what = `${queue} delivers ${messageCount} messages`
    await eventually(what, () => found.length >= messageCount, lookMs)
    this.ledger.check(
      queue,
      found.map(({ content }) => ({ body: content })),
    )
    const last = found.at(-1)
    if (found.length > backlogMax && last !== undefined) {
      for (const { content } of found) this.ledger.acked(queue, idOf(content))
      channel.ack(last, true)
    }
    await channel.close()
    return found.length
  }
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
