// What all MQTT connections of a gateway thread share.

import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import type { Log } from '../../../shared/log.ts'
import { foldTopic } from '../../../shared/message/native-part.ts'
import type { Clock } from '../../host/protocol.ts'
import type { MqttSettings } from '../mapping/settings.ts'
import { givenQueues, receivedQueues, sessionQueue } from '../mapping/topic.ts'
import { BanList } from './ban-list.ts'
import type { Client } from './client.ts'
import { Departures } from './departures.ts'
import { FanOut } from './fan-out.ts'
import { KeyedClient } from './keyed-client.ts'
import { MessageView } from './message-view.ts'
import { ask, deleteQueue, registryShard } from './ops.ts'
import { RetainedStore } from './retained-store.ts'
import type { SessionRecord } from './session-rows.ts'
import { SysTopics } from './sys-topics.ts'

/** What the gateway has seen since it started. */
export interface Counters {
  connected: number
  connectedMax: number
  connects: number
  /** PUBLISH packets. */
  received: number
  sent: number
  /** Messages that clients were not sent since they read too slowly, or are too large for them. */
  dropped: number
  subscriptions: number
  bytesReceived: number
}

export class Hub {
  readonly port: GatewayPort
  readonly log: Log
  readonly settings: MqttSettings
  readonly clock: Clock
  readonly keyed: KeyedClient
  readonly retained: RetainedStore
  readonly sys: SysTopics
  readonly departures: Departures
  readonly bans: BanList
  readonly counters: Counters
  /** The message at hand. */
  readonly view: MessageView
  /** Global parameters, and until when they need not be asked for again. */
  parameters: ReadonlyMap<string, unknown>
  parametersUntil: number
  private readonly fanOuts: Map<string, FanOut>
  /** What found no room on the bus. */
  private undone: (() => boolean)[]

  constructor(port: GatewayPort, log: Log, settings: MqttSettings, clock: Clock) {
    this.port = port
    this.log = log
    this.settings = settings
    this.clock = clock
    this.keyed = new KeyedClient(port)
    this.retained = new RetainedStore(this.keyed, clock)
    this.counters = {
      connected: 0,
      connectedMax: 0,
      connects: 0,
      received: 0,
      sent: 0,
      dropped: 0,
      subscriptions: 0,
      bytesReceived: 0,
    }
    this.sys = new SysTopics(this, clock.now())
    this.departures = new Departures(this)
    this.bans = new BanList(settings)
    this.view = new MessageView(port, clock)
    this.parameters = new Map()
    this.parametersUntil = 0
    this.fanOuts = new Map()
    this.undone = []
  }

  /** Where the clients of a vhost get messages at most once. */
  fanOut(vhost: string): FanOut {
    let fanOut = this.fanOuts.get(vhost)
    if (fanOut === undefined) {
      fanOut = new FanOut(this, vhost)
      this.fanOuts.set(vhost, fanOut)
    }
    return fanOut
  }

  allFanOuts(): Iterable<FanOut> {
    return this.fanOuts.values()
  }

  /** Whether a client may publish to a topic; `every`: and to any other. */
  mayPublish(
    client: Client,
    topic: string,
    done: (allowed: boolean, every: boolean) => void,
  ): void {
    const { exchange } = this.settings
    const op = {
      op: 'checkAccess',
      connection: client.slot,
      questions: [
        { kind: 'exchange', name: exchange, access: 'write' },
        { kind: 'topic', exchange, key: foldTopic(topic), access: 'write' },
        { kind: 'every topic', exchange },
      ],
    } as const
    ask(this.port, registryShard, op, (reply) => {
      const refused = reply['refused']
      const [write, topicWrite, every] = Array.isArray(refused) ? (refused as unknown[]) : []
      const allowed = write === null && topicWrite === null
      done(allowed, allowed && every === null)
    })
  }

  /** Deletes the queues of a session that has ended, in the name of its client. */
  deleteQueues(client: Client, record: SessionRecord, done: () => void): void {
    const queues: string[] = []
    if (record.queue) queues.push(sessionQueue(client.clientId))
    if (record.received) {
      queues.push(...receivedQueues(client.vhost, client.clientId, this.port.shardCount))
    }
    const given = givenQueues(client.vhost, client.clientId, this.port.shardCount)
    for (const shard of record.given) queues.push(given[shard] ?? '')
    const goOn = (): void => {
      const queue = queues.pop()
      if (queue === undefined) done()
      else deleteQueue(client, queue, false, goOn)
    }
    goOn()
  }

  onConnected(): void {
    const { counters } = this
    counters.connected++
    counters.connects++
    counters.connectedMax = Math.max(counters.connectedMax, counters.connected)
  }

  onGone(): void {
    this.counters.connected--
  }

  /** Tries something, and again if it says false. */
  untilDone(attempt: () => boolean): void {
    if (!attempt()) this.undone.push(attempt)
  }

  /** When `onDeadline` has something to do. */
  deadline(): number {
    if (this.undone.length > 0) return 0
    return Math.min(this.sys.deadline(), this.departures.deadline())
  }

  onDeadline(now: number): void {
    const { undone } = this
    this.undone = undone.filter((attempt) => !attempt())
    if (this.sys.deadline() <= now) this.sys.onDeadline(now)
    if (this.departures.deadline() <= now) this.departures.onDeadline(now)
  }
}
