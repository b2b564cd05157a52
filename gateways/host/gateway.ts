// One gateway: a port to the bus, listeners, connections and their timer. Runs on a thread or in a
// process of its own; the two entries (worker.ts, process.ts) only differ in how mail comes.

import { GatewayPort } from '../../shared/bus/gateway-port.ts'
import { NodeWord } from '../../shared/bus/link.ts'
import type { GatewayMail, GatewayStart, ThreadReport } from '../../shared/bus/mail.ts'
import type { Log } from '../../shared/log.ts'
import { createLog } from '../../shared/log.ts'
import type { Listener } from './acceptor.ts'
import { openListeners } from './acceptor.ts'
import { BlockPool } from './block-pool.ts'
import type { ConnectionOwner } from './connection.ts'
import { Connection } from './connection.ts'
import type { ListenerPlan } from './listener-plan.ts'
import type { Attendant, Peer, Protocol } from './protocol.ts'
import type { Transport } from './transport.ts'
import { TurnLoop } from './turn-loop.ts'

/** A protocol and where it is served. */
export interface Service {
  readonly listeners: readonly ListenerPlan[]
  /** Its protocol; the same at every call. */
  load(): Promise<Protocol>
  /** The protocol behind a WebSocket sub-protocol of its listeners, empty for none. */
  loadWeb?(subprotocol: string): Promise<Protocol>
}

/** How often deadlines and alarms are looked at, milliseconds. */
const tickMs = 500

/** How long clients may take to answer a shutdown, milliseconds: the node has 5 s in all. */
const shutdownMs = 3000

/** Serves protocols on the thread that makes it. */
export class Gateway implements ConnectionOwner {
  readonly loop: TurnLoop
  readonly pool: BlockPool
  readonly log: Log
  readonly settings: Readonly<Record<string, unknown>>
  private readonly services: readonly Service[]
  private readonly report: (report: ThreadReport) => void
  private readonly loaded: Map<Service, Protocol>
  private readonly connections: Set<Connection>
  private listeners: Listener[]
  private timer: NodeJS.Timeout | undefined
  private alarms: number
  private stopping: boolean
  private stopped: boolean
  private stopAt: number
  private readonly attendants: Attendant[]

  constructor(
    start: GatewayStart,
    services: readonly Service[],
    report: (report: ThreadReport) => void,
  ) {
    this.loop = new TurnLoop(new GatewayPort(start))
    this.pool = new BlockPool()
    this.log = createLog((level, msg, fields) =>
      report({ report: 'log', level, msg, ...(fields === undefined ? {} : { fields }) }),
    )
    this.settings = start.settings as Readonly<Record<string, unknown>>
    this.services = services
    this.report = report
    this.loaded = new Map()
    this.connections = new Set()
    this.listeners = []
    this.timer = undefined
    this.alarms = 0
    this.stopping = false
    this.stopped = false
    this.stopAt = Number.POSITIVE_INFINITY
    this.attendants = []
    this.loop.start()
    report({ report: 'ready' })
  }

  /** What main says. */
  onMail(mail: GatewayMail): void {
    if (mail.mail === 'listen') void this.listen()
    else this.shutdown(mail.reason)
  }

  onGone(connection: Connection): void {
    this.connections.delete(connection)
    if (this.stopping) this.checkStopped()
  }

  private async listen(): Promise<void> {
    try {
      for (const service of this.services) {
        for (const plan of service.listeners) {
          const opened = await openListeners(plan, this.log, (transport, peer) =>
            this.accept(transport, peer, service),
          )
          this.listeners.push(...opened)
          if (this.stopping) this.closeListeners()
          for (const { address, port } of opened) {
            this.report({ report: 'listening', protocol: plan.protocol, address, port })
          }
        }
      }
      this.report({ report: 'serving' })
      // What was not needed for that: code. The first client would have to wait for it.
      for (const service of this.services) {
        const protocol = await service.load()
        this.loaded.set(service, protocol)
        if (service.listeners.length > 0) this.attend(protocol)
      }
    } catch (error) {
      this.report({
        report: 'failed',
        text: error instanceof Error ? error.message : String(error),
      })
    }
  }

  private attend(protocol: Protocol): void {
    const { log, loop, settings } = this
    const clock = { now: () => loop.now, wall: () => Date.now() }
    const attendant = protocol.attend?.(loop.port, log, settings, clock)
    if (attendant === undefined || this.stopping) return
    this.attendants.push(attendant)
    this.timer ??= setInterval(() => this.tick(), tickMs)
  }

  private accept(transport: Transport, peer: Peer, service: Service): void {
    const loaded = this.loaded.get(service)
    if (peer.web === undefined && loaded !== undefined) {
      this.connect(transport, peer, loaded)
      return
    }
    const web = peer.web === undefined ? undefined : service.loadWeb?.(peer.web.subprotocol)
    void (web ?? service.load()).then((protocol) => this.connect(transport, peer, protocol))
  }

  private connect(transport: Transport, peer: Peer, protocol: Protocol): void {
    if (this.stopping) {
      transport.destroy()
      return
    }
    this.loop.begin()
    this.connections.add(new Connection(transport, peer, protocol, this))
    this.timer ??= setInterval(() => this.tick(), tickMs)
    this.loop.end()
  }

  private tick(): void {
    this.loop.begin()
    const now = this.loop.now
    for (const connection of this.connections) connection.onTick(now)
    for (const each of this.attendants) if (each.deadline() <= now) each.onDeadline(now)
    if (now >= this.stopAt) for (const connection of this.connections) connection.destroy()
    this.loop.end()
    // The end of an alarm rings no bell.
    const alarms = Atomics.load(this.loop.port.nodeWords, NodeWord.alarms)
    if (alarms !== this.alarms) {
      this.alarms = alarms
      this.loop.poke()
    }
    const idle = this.connections.size === 0 && this.attendants.length === 0
    if (idle && this.timer !== undefined) {
      clearInterval(this.timer)
      this.timer = undefined
    }
  }

  private shutdown(reason: string): void {
    if (this.stopping) return
    this.stopping = true
    this.closeListeners()
    this.loop.begin()
    this.stopAt = this.loop.now + shutdownMs
    for (const connection of this.connections) connection.onShutdown(reason)
    this.loop.end()
    this.checkStopped()
  }

  private closeListeners(): void {
    for (const listener of this.listeners) listener.close()
    this.listeners = []
  }

  private checkStopped(): void {
    if (this.connections.size > 0 || this.stopped) return
    this.stopped = true
    // After the turn in which the last connection said goodbye to the shards.
    setImmediate(() => {
      this.loop.end()
      this.loop.stop()
      if (this.timer !== undefined) clearInterval(this.timer)
      this.report({ report: 'stopped' })
    })
  }
}
