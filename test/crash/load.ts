// Publishers with and without confirms and consumers with acknowledgements, all noted in the
// ledger, until the broker is gone.

import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib'
import { connect } from 'amqplib'
import type { Ledger } from './ledger.ts'
import { bodyOf } from './ledger.ts'

/** Where a publisher sends to, and the queues that get it. */
interface Route {
  readonly exchange: string
  readonly key: string
  readonly queues: readonly string[]
}

export const queues: readonly string[] = ['crash-a', 'crash-b', 'crash-c', 'crash-d']

const routes: readonly Route[] = [
  { exchange: '', key: 'crash-a', queues: ['crash-a'] },
  { exchange: '', key: 'crash-b', queues: ['crash-b'] },
  { exchange: 'crash-all', key: '', queues: ['crash-b', 'crash-c', 'crash-d'] },
]

/** Queues that are consumed while the load is on; the others only grow. */
const consumed: readonly string[] = ['crash-a', 'crash-c']

/** Publishes that wait for their confirm. */
const windowMax = 200
/** Acknowledgements between two messages that show that they are settled. */
const acksPerBarrier = 50

export class Load {
  /** Messages that were sent. */
  sentCount = 0
  private readonly ledger: Ledger
  private readonly random: () => number
  private readonly round: number
  /** Usual size of a body. */
  private readonly bodyBytes: number
  private readonly connections: ChannelModel[] = []
  private ended = false

  constructor(ledger: Ledger, round: number, bodyBytes: number, random: () => number) {
    this.bodyBytes = bodyBytes
    this.ledger = ledger
    this.round = round
    this.random = random
  }

  async start(port: number): Promise<void> {
    const setup = await (await this.connect(port)).createChannel()
    for (const queue of queues) await setup.assertQueue(queue, { durable: true })
    await setup.assertExchange('crash-all', 'fanout', { durable: true })
    for (const queue of queues.slice(1)) await setup.bindQueue(queue, 'crash-all', '')
    for (const [index, route] of routes.entries()) {
      const channel = await (await this.connect(port)).createConfirmChannel()
      channel.on('error', ignore)
      this.publish(channel, route, `r${this.round}p${index}`)
    }
    const plain = await (await this.connect(port)).createChannel()
    plain.on('error', ignore)
    this.publishUnconfirmed(plain, `r${this.round}u`)
    for (const queue of consumed) {
      const channel = await (await this.connect(port)).createConfirmChannel()
      channel.on('error', ignore)
      await this.consume(channel, queue)
    }
  }

  /** Sends nothing more; confirms that are still on their way count. Waits until they have arrived. */
  async end(): Promise<void> {
    this.ended = true
    await Promise.all(this.connections.map((connection) => connection.close().catch(ignore)))
  }

  private async connect(port: number): Promise<ChannelModel> {
    const connection = await connect({ hostname: '127.0.0.1', port, heartbeat: 0 })
    connection.on('error', ignore)
    connection.on('close', () => {
      this.ended = true
    })
    this.connections.push(connection)
    return connection
  }

  /** Keeps a window of unconfirmed messages open. */
  private publish(channel: ConfirmChannel, route: Route, publisher: string): void {
    let place = 0
    let waiting = 0
    const fill = (): void => {
      while (!this.ended && waiting < windowMax) {
        const id = `${publisher}:${place}`
        const body = bodyOf(publisher, place, this.size())
        place++
        waiting++
        for (const queue of route.queues) this.ledger.sent(queue, id)
        this.sentCount++
        channel.publish(route.exchange, route.key, body, { persistent: true }, (error) => {
          waiting--
          if (error !== null && error !== undefined) return
          for (const queue of route.queues) this.ledger.confirmed(queue, id)
          if (waiting < windowMax / 2) fill()
        })
      }
    }
    fill()
  }

  /** Asks for no confirms: nothing is promised, but what is there has to be whole and in order. */
  private publishUnconfirmed(channel: Channel, publisher: string): void {
    let place = 0
    const send = (): void => {
      if (this.ended) return
      for (let i = 0; i < 5; i++) {
        this.ledger.sent('crash-b', `${publisher}:${place}`)
        channel.sendToQueue('crash-b', bodyOf(publisher, place, 40), { persistent: true })
        place++
        this.sentCount++
      }
      setTimeout(send, 10)
    }
    send()
  }

  private async consume(channel: ConfirmChannel, queue: string): Promise<void> {
    const publisher = `r${this.round}b${queue}`
    let place = 0
    let acked: string[] = []
    await channel.prefetch(100)
    await channel.consume(queue, (message) => {
      if (message === null || this.ended) return
      const id = idOf(message.content)
      if (this.random() < 0.02) {
        channel.nack(message, false, true)
        return
      }
      this.ledger.acked(queue, id)
      channel.ack(message)
      acked.push(id)
      if (acked.length < acksPerBarrier) return
      // It goes to the shard of the queue after the acknowledgements, and is logged after them.
      const before = acked
      acked = []
      const barrier = `${publisher}:${place}`
      this.ledger.sent(queue, barrier)
      channel.publish('', queue, bodyOf(publisher, place, 0), { persistent: true }, (error) => {
        if (error !== null && error !== undefined) return
        this.ledger.confirmed(queue, barrier)
        for (const each of before) this.ledger.settled(queue, each)
      })
      place++
    })
  }

  /** Mostly around the usual size, sometimes more than a frame. */
  private size(): number {
    const dice = this.random()
    if (dice < 0.002) return 300_000
    return Math.floor((dice < 0.05 ? 4000 : 16) + this.random() * this.bodyBytes * 2)
  }
}

export function idOf(body: Buffer): string {
  return body.toString('latin1', 0, 80).split(':').slice(0, 2).join(':')
}

function ignore(): void {}
