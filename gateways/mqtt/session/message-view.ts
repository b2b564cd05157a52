// One delivered message as MQTT sees it, whoever published it. Reused: `look` turns to the next one.

import { Buffer } from 'node:buffer'
import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { EntryForm } from '../../../shared/bus/wire.ts'
import { isFolded, NativePart } from '../../../shared/message/native-part.ts'
import { decodeProperties, PropertyScan } from '../../../shared/message/properties.ts'
import type { Clock } from '../../host/protocol.ts'
import { MqttForm, noExpiry } from '../mapping/native-form.ts'
import { mqttProperties } from '../mapping/property-mapping.ts'

const dot = 0x2e
const slash = 0x2f
const plus = 0x2b
const hash = 0x23

export class MessageView {
  /** The slab with the entry. */
  bytes: Buffer
  topicBytes: Buffer
  topicAt: number
  topicSize: number
  /** False: the routing key is no topic name, so no MQTT client can be sent the message. */
  hasTopic: boolean
  /** QoS of the publish. */
  qos: number
  retain: boolean
  /** Published by MQTT: where the hash of the publisher lies. */
  publisherAt: number
  /** Properties of MQTT 5, without expiry; see `findProperties`. */
  propsBytes: Uint8Array
  propsAt: number
  propsSize: number
  /** Seconds that the message has left; -1: any number. */
  expirySeconds: number
  /** It has expired on its way. */
  expired: boolean
  /** The payload begins here, in the slab of the entry; it may go on in `extents` further ones. */
  bodyAt: number
  bodySize: number
  extents: number
  words: Int32Array
  /** Index of the entry in `words`. */
  at: number
  packetId: number
  private readonly port: GatewayPort
  private readonly clock: Clock
  private readonly native: NativePart
  private readonly form: MqttForm
  private readonly scan: PropertyScan
  private readonly scratch: Buffer
  private basicAt: number
  private basicSize: number
  private propsFound: boolean

  constructor(port: GatewayPort, clock: Clock) {
    this.port = port
    this.clock = clock
    this.bytes = noBytes
    this.topicBytes = noBytes
    this.topicAt = 0
    this.topicSize = 0
    this.hasTopic = false
    this.qos = 0
    this.retain = false
    this.publisherAt = -1
    this.propsBytes = noBytes
    this.propsAt = 0
    this.propsSize = 0
    this.expirySeconds = -1
    this.expired = false
    this.bodyAt = 0
    this.bodySize = 0
    this.extents = 0
    this.words = noWords
    this.at = 0
    this.packetId = 0
    this.native = new NativePart()
    this.form = new MqttForm()
    this.scan = new PropertyScan()
    // A routing key's worth.
    this.scratch = Buffer.alloc(256)
    this.basicAt = 0
    this.basicSize = 0
    this.propsFound = false
  }

  // HOT: once per delivery
  /** Turns to the entry at `words[at]`. */
  look(words: Int32Array, at: number): void {
    const bytes = this.port.arena.slab(words[at] as number)
    const entryAt = words[at + 1] as number
    const exrkSize = words[at + 2] as number
    const extraSize = words[at + 3] as number
    const extraAt = entryAt + exrkSize
    this.words = words
    this.at = at
    this.bytes = bytes
    this.basicAt = extraAt + extraSize
    this.basicSize = words[at + 4] as number
    this.bodyAt = this.basicAt + this.basicSize
    this.bodySize = words[at + 5] as number
    this.extents = words[at + 6] as number
    this.publisherAt = -1
    this.propsSize = 0
    this.propsFound = true
    this.expirySeconds = -1
    this.expired = false
    this.packetId = 0
    const { native } = this
    native.look(bytes, extraAt, extraSize)
    if (native.form === EntryForm.mqtt) this.readForm()
    else this.readBasic()
    this.findTopic(entryAt)
  }

  /** The topic as text. */
  topic(): string {
    return this.topicBytes.toString('utf8', this.topicAt, this.topicAt + this.topicSize)
  }

  /** For MQTT 5: makes properties of those of a message that another protocol published. */
  findProperties(): void {
    if (this.propsFound) return
    this.propsFound = true
    const properties = decodeProperties(this.bytes, this.basicAt, this.basicSize)
    this.propsBytes = mqttProperties(properties)
    this.propsAt = 0
    this.propsSize = this.propsBytes.length
    const expiration = Number(properties.expiration ?? Number.NaN)
    if (expiration >= 0) this.expirySeconds = Math.floor(expiration / 1000)
  }

  /** Whether the client with this hash (mapping/native-form.ts) has published it. */
  isFrom(publisher: Uint8Array): boolean {
    if (this.publisherAt < 0) return false
    for (let i = 0; i < publisher.length; i++) {
      if (publisher[i] !== this.bytes[this.publisherAt + i]) return false
    }
    return true
  }

  private readForm(): void {
    const { form, native } = this
    form.read(this.bytes, native.at, native.end, native.topicSize)
    this.qos = form.qos
    this.retain = form.retain
    this.publisherAt = form.publisherAt
    this.packetId = form.packetId
    if (form.propsSize > 0) {
      this.propsBytes = this.bytes
      this.propsAt = form.propsAt
      this.propsSize = form.propsSize
    }
    if (form.expirySeconds === noExpiry) return
    const waited = Math.floor((this.clock.wall() - form.arrivedAt) / 1000)
    this.expired = waited >= form.expirySeconds
    // [MQTT-3.3.2-6]
    this.expirySeconds = Math.max(0, form.expirySeconds - Math.max(0, waited))
  }

  private readBasic(): void {
    this.scan.scan(this.bytes, this.basicAt, this.basicSize)
    this.qos = this.scan.persistent ? 1 : 0
    this.retain = false
    // Two bytes are the flags of no properties.
    this.propsFound = this.basicSize <= 2
  }

  private findTopic(entryAt: number): void {
    const { bytes, native } = this
    const keyAt = entryAt + 2 + (bytes[entryAt] as number)
    const keySize = bytes[keyAt - 1] as number
    if (
      native.topicSize > 0 &&
      isFolded(bytes, native.topicAt, native.topicSize, bytes, keyAt, keySize)
    ) {
      this.topicBytes = bytes
      this.topicAt = native.topicAt
      this.topicSize = native.topicSize
      this.hasTopic = true
      return
    }
    const { scratch } = this
    let valid = keySize > 0
    for (let i = 0; i < keySize; i++) {
      const byte = bytes[keyAt + i] as number
      if (byte === plus || byte === hash || byte === 0) valid = false
      scratch[i] = byte === dot ? slash : byte
    }
    this.topicBytes = scratch
    this.topicAt = 0
    this.topicSize = keySize
    this.hasTopic = valid
  }
}

const noBytes = Buffer.alloc(0)
const noWords = new Int32Array(0)
