/** One AMQP 1.0 connection of the generator with one session and one link. */

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { Amqp10Listener } from './amqp10-wire.ts'
import { Amqp10Scanner, amqp10Frame, amqp10Headers, wire } from './amqp10-wire.ts'
import type { LoadOptions } from './options.ts'

const readBuffer = Buffer.allocUnsafeSlow(256 * 1024)
/** What we let the broker send: no session window shall limit it. */
const WINDOW = 0x7fff_ffff
const ANSWER_TIMEOUT_MS = 30_000

const Code = { open: 0x10, begin: 0x11, attach: 0x12, flow: 0x13, disposition: 0x15 } as const

export class Amqp10Client implements Amqp10Listener {
  readonly socket: Socket
  readonly scanner: Amqp10Scanner
  failure: Error | undefined
  bytesRead: number
  /** Of the broker as a receiver: transfers and messages that may still be sent. */
  window: number
  credit: number
  sent: number
  accepted: number
  refused: number
  onChunk: () => void
  /** Where the broker begins to count: transfers of the session, deliveries of the link. */
  #firstTransfer: number
  #firstDelivery: number
  #waiting: { readonly code: number; readonly done: () => void } | undefined

  constructor(options: LoadOptions) {
    this.failure = undefined
    this.bytesRead = 0
    this.window = 0
    this.credit = 0
    this.sent = 0
    this.accepted = 0
    this.refused = 0
    this.onChunk = () => {}
    this.#firstTransfer = 0
    this.#firstDelivery = 0
    this.#waiting = undefined
    this.scanner = new Amqp10Scanner(this)
    this.socket = connect({
      host: options.host,
      port: options.port,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (size) => {
          this.bytesRead += size
          this.scanner.push(readBuffer.subarray(0, size))
          this.onChunk()
          return true
        },
      },
    })
    this.socket.on('error', (error) => {
      this.failure ??= error
    })
    this.socket.on('close', () => {
      this.failure ??= new Error('the broker closed an AMQP 1.0 connection')
    })
  }

  /** Logs in and begins a session. */
  async open({ user, password, vhost }: LoadOptions): Promise<void> {
    this.scanner.expectHeader()
    await this.#ask(amqp10Headers.sasl, 0x40)
    const response = wire.bytes(Buffer.from(`\0${user}\0${password}`))
    await this.#ask(amqp10Frame(1, 0x41, [wire.symbol('PLAIN'), response]), 0x44)
    this.scanner.expectHeader()
    const host = wire.text(`vhost:${vhost}`)
    const open = amqp10Frame(0, Code.open, [wire.text('bench'), host, wire.uint(131072)])
    await this.#ask(Buffer.concat([amqp10Headers.amqp, open]), Code.open)
    const windows = [wire.none, wire.uint(0), wire.uint(WINDOW), wire.uint(WINDOW)]
    await this.#ask(amqp10Frame(0, Code.begin, windows), Code.begin)
  }

  /** Attaches the link: to send to `queue`, or to receive from it. */
  async attach(queue: string, sends: boolean, settled: boolean): Promise<void> {
    const address = wire.text(`/queues/${queue}`)
    const fields = [
      wire.text(sends ? 'sender' : 'receiver'),
      wire.uint(0),
      sends ? wire.no : wire.yes,
      wire.ubyte(settled ? 1 : 0),
      wire.ubyte(0),
      wire.list(0x28, sends ? [] : [address]),
      wire.list(0x29, sends ? [address] : []),
      wire.none,
      wire.none,
      wire.uint(0),
    ]
    await this.#ask(amqp10Frame(0, Code.attach, fields), Code.attach)
  }

  /** Grants link credit, as of `received` deliveries. */
  grant(received: number, credit: number): void {
    const next = this.#firstTransfer + received
    const count = this.#firstDelivery + received
    const fields = [next, WINDOW, 0, WINDOW, 0, count, credit].map((n) => wire.uint(n))
    this.socket.write(amqp10Frame(0, Code.flow, fields))
  }

  /** Accepts a range of deliveries. */
  accept(first: number, last: number): void {
    const fields = [wire.yes, wire.uint(first), wire.uint(last), wire.yes, wire.list(0x24, [])]
    this.socket.write(amqp10Frame(0, Code.disposition, fields))
  }

  onFlow(nextIncomingId: number, window: number, deliveryCount: number, credit: number): void {
    if (nextIncomingId >= 0) this.window = nextIncomingId + window - this.sent
    if (credit >= 0) this.credit = deliveryCount + credit - this.sent
  }

  onDisposition(first: number, last: number, accepted: boolean): void {
    const count = last - first + 1
    if (accepted) this.accepted += count
    else this.refused += count
  }

  onFrame(code: number, fields: readonly number[]): void {
    if (code === Code.begin) this.#firstTransfer = fields[1] ?? 0
    if (code === Code.attach) this.#firstDelivery = Math.max(0, fields[9] ?? 0)
    if (code === 0x16 || code === 0x17 || code === 0x18) {
      this.failure ??= new Error(`the broker sent performative 0x${code.toString(16)}`)
    }
    if (this.#waiting?.code !== code) return
    this.#waiting.done()
    this.#waiting = undefined
  }

  /** Ends without a fuss: the run is over. */
  end(): void {
    this.failure = new Error('ended')
    this.socket.destroy()
  }

  async #ask(bytes: Buffer, code: number): Promise<void> {
    this.socket.write(bytes)
    await new Promise<void>((done, failed) => {
      const timer = setTimeout(
        () => failed(this.failure ?? new Error(`no performative 0x${code.toString(16)}`)),
        ANSWER_TIMEOUT_MS,
      )
      this.#waiting = {
        code,
        done: () => {
          clearTimeout(timer)
          done()
        },
      }
    })
  }
}
