// A STOMP session between a client that is a string and shards that do as a test says.

import type { Outbox, Session, SessionHost } from '../../../../gateways/host/protocol.ts'
import { blockBytes } from '../../../../gateways/host/protocol.ts'
import { stomp } from '../../../../gateways/stomp/index.ts'
import { GatewayPort } from '../../../../shared/bus/gateway-port.ts'
import { Record } from '../../../../shared/bus/wire.ts'
import type { ByteView } from '../../../../shared/bytes/view.ts'
import { viewOf } from '../../../../shared/bytes/view.ts'
import { createLog } from '../../../../shared/log.ts'
import type { Entry, Seen } from '../../../shared/bus/fake-shard.ts'
import { createGatewayStart, FakeShard } from '../../../shared/bus/fake-shard.ts'

class TestOutbox implements Outbox {
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  private readonly pieces: Uint8Array[] = []
  private start = 0

  get dataView(): ByteView {
    return viewOf(this.bytes)
  }

  reserve(size: number): void {
    if (size > blockBytes) throw new Error(`reserve(${size})`)
    if (this.bytes.length - this.at >= size) return
    this.cut()
    this.bytes = Buffer.alloc(Math.max(size, 4096))
    this.at = 0
    this.start = 0
  }

  view(bytes: Uint8Array, onSent: () => void): void {
    this.cut()
    this.pieces.push(Uint8Array.from(bytes))
    onSent()
  }

  touch(): void {}

  text(): string {
    this.cut()
    return Buffer.concat(this.pieces.splice(0)).toString('utf8')
  }

  private cut(): void {
    if (this.at > this.start) this.pieces.push(this.bytes.subarray(this.start, this.at))
    this.start = this.at
  }
}

export interface Asked {
  readonly op: string
  readonly [field: string]: unknown
}

export class StompRig {
  readonly port: GatewayPort
  readonly shard: FakeShard
  readonly session: Session
  /** Control ops, without fences and openChannel. */
  readonly asked: Asked[] = []
  readonly records: Seen[] = []
  /** By op: the answer in place of {}; undefined: none. */
  readonly answers: Map<string, object | undefined> = new Map()
  now = 1000
  ended = false
  destroyed = false
  private readonly out = new TestOutbox()
  private readonly held: Buffer[] = []

  constructor(arenaBytes?: number, settings: object = {}) {
    const start = createGatewayStart(1, arenaBytes)
    this.port = new GatewayPort(start)
    this.shard = new FakeShard(start, 0)
    const host: SessionHost = {
      port: this.port,
      peer: {
        name: '127.0.0.1:1 -> 127.0.0.1:2',
        address: '127.0.0.1',
        port: 1,
        localAddress: '127.0.0.1',
        localPort: 2,
        loopback: true,
        tls: false,
        certificateUser: undefined,
      },
      out: this.out,
      log: createLog(() => {}),
      now: () => this.now,
      wakeAt: () => {},
      wall: () => 1_700_000_000_000,
      end: () => {
        this.ended = true
      },
      destroy: () => {
        this.destroyed = true
      },
    }
    this.session = stomp.createSession(host, settings as Readonly<Record<string, unknown>>)
  }

  login(): this {
    this.write('CONNECT\naccept-version:1.2\n\n\0')
    this.write('SEND\ndestination:/queue/q\n\nfirst\0')
    this.text()
    this.records.length = 0
    return this
  }

  /** Bytes of the client; then everything settles. */
  write(text: string | Buffer): void {
    this.feed(text)
    this.settle()
  }

  /** Bytes of the client, which the shard does not look at yet. */
  feed(text: string | Buffer): void {
    this.held.push(Buffer.from(text))
    this.feedHeld()
  }

  /** What the client was told since the last call. */
  text(): string {
    return this.out.text()
  }

  /** Turns until nothing moves. */
  settle(): void {
    for (let turn = 0; turn < 100; turn++) {
      this.session.onFlushed()
      this.port.flush()
      let any = false
      for (const seen of this.shard.read()) {
        any = true
        if (seen.type === Record.control) this.onControl(seen)
        else this.records.push(seen)
      }
      if (!any) return
      this.drain()
    }
  }

  /** Lets the gateway take in what the shard wrote. */
  drain(): void {
    this.shard.flush()
    this.port.drain()
    if (this.session.blocked) this.session.resume()
    this.feedHeld()
  }

  published(): string[] {
    return this.records.flatMap(({ entry }) => (entry === undefined ? [] : [`${entry.body}`]))
  }

  entries(): Entry[] {
    return this.records.flatMap(({ entry }) => (entry === undefined ? [] : [entry]))
  }

  ofType(type: number): (readonly number[])[] {
    return this.records.filter((each) => each.type === type).map(({ fields }) => fields)
  }

  askedOf(op: string): Asked[] {
    return this.asked.filter((each) => each.op === op)
  }

  private feedHeld(): void {
    while (this.held.length > 0 && !this.session.blocked && !this.ended) {
      const chunk = this.held.shift() as Buffer
      this.session.onBytes(chunk)
      // As the host's read buffer: used again at once.
      if (this.session.blocked) this.session.keep()
      chunk.fill(0x7e)
    }
  }

  private onControl(seen: Seen): void {
    const asked = seen.payload as Asked
    const request = seen.fields[0] as number
    if (asked.op !== 'openChannel' && asked.op !== 'fence') this.asked.push(asked)
    if (request === 0) return
    const fallback = { queue: asked['queue'], user: asked['user'], tags: [] }
    const answer = this.answers.has(asked.op) ? this.answers.get(asked.op) : fallback
    if (answer !== undefined) this.shard.reply(request, answer)
  }
}
