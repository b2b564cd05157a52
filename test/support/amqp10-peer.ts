// An AMQP 1.0 client that says exactly what a test tells it to, and shows every frame that comes back.

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { asPerformative, composite } from '../../gateways/amqp10/codec/composite.ts'
import { writeFrame } from '../../gateways/amqp10/codec/frame-writer.ts'
import type {
  Composite,
  CompositeFields,
  CompositeKind,
  Performative,
} from '../../gateways/amqp10/codec/spec.ts'
import type { AmqpMap, AmqpValue } from '../../gateways/amqp10/codec/value.ts'
import { bool, map, NULL, symbol, ulong, utf8 } from '../../gateways/amqp10/codec/value.ts'
import { ValueReader } from '../../gateways/amqp10/codec/value-reader.ts'
import { encodeValue } from '../../gateways/amqp10/codec/value-writer.ts'
import { Writer } from '../../shared/bytes/writer.ts'
import type { Broker } from './broker.ts'
import { eventually } from './wait.ts'

export const SASL_HEADER: Buffer = Buffer.from([0x41, 0x4d, 0x51, 0x50, 3, 1, 0, 0])
export const AMQP_HEADER: Buffer = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 1, 0, 0])

export interface Frame {
  readonly channel: number
  readonly performative: Performative
  readonly payload: Buffer
}

type Kind = Performative['kind']
type FrameOf<K extends Kind> = Frame & { readonly performative: Composite<K> }

export interface PeerOptions {
  readonly user?: string
  readonly password?: string
  readonly mechanism?: string
  readonly response?: Buffer
  readonly open?: Partial<CompositeFields<'open'>>
}

export class Amqp10Peer {
  readonly socket: Socket
  /** What has come and was not taken yet: frames, and protocol headers as bytes. */
  readonly frames: Frame[] = []
  readonly headers: Buffer[] = []
  /** Empty frames that have come. */
  heartbeats = 0
  closed = false
  private rest: Buffer = Buffer.alloc(0)
  private requests = 0

  constructor(broker: Pick<Broker, 'host' | 'port'>) {
    this.socket = connect(broker.port, broker.host)
    this.socket.setNoDelay(true)
    this.socket.on('data', (chunk: Buffer) => this.onData(chunk))
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      this.closed = true
    })
  }

  /** A connection that is open. */
  static async open(
    broker: Pick<Broker, 'host' | 'port'>,
    options: PeerOptions = {},
  ): Promise<Amqp10Peer> {
    const peer = new Amqp10Peer(broker)
    await peer.login(options)
    peer.send(0, 'open', { containerId: 'test', ...options.open })
    await peer.expect('open')
    return peer
  }

  /** The SASL layer, and the header behind it. */
  async login(options: PeerOptions = {}): Promise<void> {
    const { user = 'guest', password = 'guest', mechanism = 'PLAIN' } = options
    const initialResponse = options.response ?? Buffer.from(`\0${user}\0${password}`)
    this.raw(SASL_HEADER)
    await this.expect('saslMechanisms')
    this.sendAs(1, 0, 'saslInit', { mechanism, initialResponse })
    const { performative } = await this.expect('saslOutcome')
    if (performative.code !== 0) throw new Error(`sasl-outcome ${performative.code}`)
    this.raw(AMQP_HEADER)
  }

  raw(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  send<K extends CompositeKind>(
    channel: number,
    kind: K,
    fields: CompositeFields<K>,
    payload?: Uint8Array,
  ): void {
    this.sendAs(0, channel, kind, fields, payload)
  }

  sendAs<K extends CompositeKind>(
    type: number,
    channel: number,
    kind: K,
    fields: CompositeFields<K>,
    payload?: Uint8Array,
  ): void {
    this.raw(frameBytes(type, channel, kind, fields, payload))
  }

  /** Waits for the next frame of a kind and takes it; those before it stay. */
  expect<K extends Kind>(kind: K): Promise<FrameOf<K>> {
    return this.expectWhere(kind, () => true)
  }

  expectWhere<K extends Kind>(
    kind: K,
    which: (performative: Composite<K>) => boolean,
  ): Promise<FrameOf<K>> {
    const matches = (frame: Frame): frame is FrameOf<K> =>
      frame.performative.kind === kind && which(frame.performative as unknown as Composite<K>)
    return eventually(`a frame ${kind}`, () => {
      const at = this.frames.findIndex(matches)
      if (at < 0 && this.closed) throw new Error(`closed while waiting for ${kind}`)
      return at < 0 ? undefined : (this.frames.splice(at, 1)[0] as FrameOf<K>)
    })
  }

  /** Waits until the broker has closed the socket. */
  async gone(timeoutMs?: number): Promise<void> {
    await eventually('the end of the socket', () => this.closed, timeoutMs)
  }

  /** Begins a session. */
  async begin(
    channel = 0,
    fields: Partial<CompositeFields<'begin'>> = {},
  ): Promise<Composite<'begin'>> {
    const windows = { nextOutgoingId: 0, incomingWindow: 2048, outgoingWindow: 2048 }
    this.send(channel, 'begin', { ...windows, ...fields })
    return (await this.expect('begin')).performative
  }

  /** Attaches a link on which the client sends; gives the broker's attach. */
  async attachSender(
    handle: number,
    address: string | undefined,
    fields: Partial<CompositeFields<'attach'>> = {},
    channel = 0,
  ): Promise<Composite<'attach'>> {
    this.send(channel, 'attach', {
      name: `sender-${handle}`,
      handle,
      role: false,
      source: composite('source', {}),
      target: composite('target', { address: address === undefined ? undefined : utf8(address) }),
      initialDeliveryCount: 0,
      ...fields,
    })
    return (await this.expectWhere('attach', (each) => each.handle === handle)).performative
  }

  /** Attaches a link on which the client receives, and grants `credit`. */
  async attachReceiver(
    handle: number,
    address: string,
    credit: number,
    fields: Partial<CompositeFields<'attach'>> = {},
    channel = 0,
  ): Promise<Composite<'attach'>> {
    this.send(channel, 'attach', {
      name: `receiver-${handle}`,
      handle,
      role: true,
      source: composite('source', { address: utf8(address) }),
      target: composite('target', {}),
      ...fields,
    })
    const reply = await this.expectWhere('attach', (each) => each.handle === handle)
    if (credit > 0) this.grant(handle, credit, { deliveryCount: 0 }, channel)
    return reply.performative
  }

  grant(
    handle: number,
    linkCredit: number,
    fields: Partial<CompositeFields<'flow'>> = {},
    channel = 0,
  ): void {
    this.send(channel, 'flow', {
      nextIncomingId: 0,
      incomingWindow: 2_000_000,
      nextOutgoingId: 0,
      outgoingWindow: 2048,
      handle,
      linkCredit,
      ...fields,
    })
  }

  transfer(
    handle: number,
    deliveryId: number,
    message: Uint8Array,
    fields: Partial<CompositeFields<'transfer'>> = {},
    channel = 0,
  ): void {
    const deliveryTag = Buffer.from(`${deliveryId}`)
    this.send(channel, 'transfer', { handle, deliveryId, deliveryTag, ...fields }, message)
  }

  /** Opens the management link pair on handles 100 and 101 of a session. */
  async manage(channel = 0): Promise<void> {
    const address = composite('source', { address: utf8('/management') })
    const node = composite('target', { address: utf8('/management') })
    const common = { name: 'management', sndSettleMode: 1, properties: paired } as const
    this.send(channel, 'attach', {
      ...common,
      handle: 100,
      role: false,
      source: composite('source', { address: utf8('me') }),
      target: node,
      initialDeliveryCount: 0,
    })
    this.send(channel, 'attach', {
      ...common,
      handle: 101,
      role: true,
      source: address,
      target: composite('target', { address: utf8('me') }),
    })
    await this.expectWhere('attach', ({ handle }) => handle === 100)
    await this.expectWhere('attach', ({ handle }) => handle === 101)
    await this.expectWhere('flow', ({ handle }) => handle === 100)
    this.grant(101, 100, { deliveryCount: 0 }, channel)
  }

  /** A management request, and the answer: status and body. */
  async request(
    method: string,
    to: string,
    body: AmqpValue = NULL,
    channel = 0,
  ): Promise<{ readonly status: string; readonly body: AmqpValue }> {
    const id = ++this.requests
    const properties = [ulong(id), NULL, utf8(to), utf8(method), utf8('$me')]
    const message = Buffer.concat([
      section(0x73, { type: 'list', value: properties }),
      section(0x77, body),
    ])
    this.transfer(100, 1_000_000 + id, message, { settled: true }, channel)
    const { payload } = await this.expectWhere('transfer', ({ handle }) => handle === 101)
    const sections = decodeSections(payload)
    const found = sections.get(0x73)
    const status = found?.type === 'list' ? String(found.value[3]?.value) : ''
    return { status, body: sections.get(0x77) ?? NULL }
  }

  destroy(): void {
    this.socket.destroy()
  }

  private onData(chunk: Buffer): void {
    this.rest = Buffer.concat([this.rest, chunk])
    for (;;) {
      if (this.rest.length < 8) return
      if (this.rest.toString('latin1', 0, 4) === 'AMQP') {
        this.headers.push(this.rest.subarray(0, 8))
        this.rest = this.rest.subarray(8)
        continue
      }
      const size = this.rest.readUInt32BE(0)
      if (this.rest.length < size) return
      this.onFrame(this.rest.subarray(0, size))
      this.rest = this.rest.subarray(size)
    }
  }

  private onFrame(bytes: Buffer): void {
    const from = bytes.readUInt8(4) * 4
    if (from === bytes.length) {
      this.heartbeats++
      return
    }
    const values = new ValueReader(bytes, from)
    const value = values.read()
    const performative = value.type === 'described' ? asPerformative(value) : undefined
    if (performative === undefined) throw new Error(`not a performative: ${bytes.toString('hex')}`)
    const payload = Buffer.from(bytes.subarray(values.reader.at))
    this.frames.push({ channel: bytes.readUInt16BE(6), performative, payload })
  }
}

const paired: AmqpMap = [[symbol('paired'), bool(true)]]

/** A frame of one performative, and the payload behind it. */
export function frameBytes<K extends CompositeKind>(
  type: number,
  channel: number,
  kind: K,
  fields: CompositeFields<K>,
  payload: Uint8Array = new Uint8Array(0),
): Buffer {
  const writer = new Writer(256)
  writeFrame(writer, type, channel, kind, fields)
  const frame = Buffer.concat([writer.finish(), payload])
  frame.writeUInt32BE(frame.length, 0)
  return frame
}

/** A section of a message. */
export function section(code: number, value: AmqpValue): Uint8Array {
  return encodeValue({ type: 'described', descriptor: ulong(code), value })
}

/** A message of one data section. */
export function dataMessage(body: string | Uint8Array): Uint8Array {
  return section(0x75, { type: 'binary', value: Buffer.from(body) })
}

/** The sections of a message by descriptor code; the last one of a code. */
export function decodeSections(bytes: Uint8Array): Map<number, AmqpValue> {
  const values = new ValueReader(bytes)
  const sections = new Map<number, AmqpValue>()
  while (!values.done()) {
    const value = values.read()
    if (value.type !== 'described') throw new Error('not a section')
    sections.set(Number(value.descriptor.value), value.value)
  }
  return sections
}

/** The body of a message with one data section, as text. */
export function bodyOf(bytes: Uint8Array): string {
  const body = decodeSections(bytes).get(0x75)
  return body?.type === 'binary' ? Buffer.from(body.value).toString() : ''
}

/** A map of management with strings as keys. */
export function fields(entries: Readonly<Record<string, AmqpValue>>): AmqpValue {
  return map(Object.entries(entries).map(([key, value]) => [utf8(key), value]))
}
