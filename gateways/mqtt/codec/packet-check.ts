// What a rare packet must look like, walked through in full before mqtt-packet makes an object of it:
// that reads leniently where the standard says to close the connection (ill-formed UTF-8, properties
// twice or of another packet, bytes left over).

import type { Buffer } from 'node:buffer'
import { PacketType, Reason, Version, varintBytesMax } from './constants.ts'
import { fault, malformed, protocolError } from './fault.ts'
import { checkText } from './property-scan.ts'

/** Where the will's properties lie in a CONNECT of MQTT 5: without their length. */
export interface WillProperties {
  readonly at: number
  readonly size: number
}

/** What a walk through CONNECT finds. */
export interface ConnectShape {
  readonly version: Version
  readonly will: WillProperties | undefined
}

/** Checks CONNECT at `body`, behind its remaining length. Throws DecodeError; 0x84: unknown version. */
export function checkConnect(bytes: Buffer, body: number, end: number): ConnectShape {
  const walk = new Walk(bytes, body, end)
  const version = readVersion(walk)
  const flags = walk.u8()
  if ((flags & 1) !== 0) malformed('the reserved flag of CONNECT is set')
  const hasWill = (flags & 4) !== 0
  if (!hasWill && (flags & 0x38) !== 0) malformed('will flags without a will')
  if ((flags & 0x18) === 0x18) malformed('will QoS 3')
  const hasUser = (flags & 0x80) !== 0
  const hasPassword = (flags & 0x40) !== 0
  // [MQTT-3.1.2-22] of 3.1.1; MQTT 5 allows it.
  if (hasPassword && !hasUser && version !== Version.mqtt5) malformed('a password without a user')
  walk.u16()
  if (version === Version.mqtt5) walk.properties(connectProperties)
  walk.text('client id')
  let will: WillProperties | undefined
  if (hasWill) {
    if (version === Version.mqtt5) will = walk.properties(willProperties)
    walk.text('will topic')
    walk.binary()
  }
  if (hasUser) walk.text('user name')
  if (hasPassword) walk.binary()
  walk.finish()
  return { version, will }
}

/** Checks SUBSCRIBE, UNSUBSCRIBE, DISCONNECT, AUTH, PINGREQ. Throws DecodeError. */
export function checkPacket(
  type: number,
  version: Version,
  bytes: Buffer,
  body: number,
  end: number,
): void {
  const walk = new Walk(bytes, body, end)
  const isV5 = version === Version.mqtt5
  if (type === PacketType.subscribe || type === PacketType.unsubscribe) {
    if (walk.u16() === 0) protocolError('packet id 0')
    if (isV5) walk.properties(type === PacketType.subscribe ? subscribeProperties : userProperties)
    if (walk.left() === 0) protocolError('no topic filter')
    while (walk.left() > 0) {
      walk.text('topic filter')
      if (type === PacketType.subscribe) checkOptions(walk.u8(), isV5)
    }
  } else if (type === PacketType.disconnect && isV5) {
    if (walk.left() > 0) walk.u8()
    if (walk.left() > 0) walk.properties(disconnectProperties)
  } else if (type === PacketType.auth) {
    if (!isV5) malformed('AUTH before MQTT 5')
    if (walk.left() > 0) walk.u8()
    if (walk.left() > 0) walk.properties(authProperties)
  }
  walk.finish()
}

function readVersion(walk: Walk): Version {
  const name = walk.text('protocol name')
  if (name !== 'MQTT' && name !== 'MQIsdp') malformed('no protocol name of MQTT')
  // A bridge of mosquitto sets the highest bit.
  const level = walk.u8() & 127
  const known = name === 'MQIsdp' ? level === 3 : level === 4 || level === 5
  if (!known) fault(Reason.unsupportedVersion, `protocol ${name} ${level}`)
  return level as Version
}

function checkOptions(options: number, isV5: boolean): void {
  if ((options & 3) === 3) malformed('QoS 3 in SUBSCRIBE')
  if ((options & (isV5 ? 0xc0 : 0xfc)) !== 0) malformed('reserved bits in SUBSCRIBE')
  if ((options & 0x30) === 0x30) protocolError('retain handling 3')
}

type Kind = 'flag' | 'u8' | 'u16' | 'u32' | 'varint' | 'text' | 'binary' | 'pair'

/** Properties that a packet may have, by id. */
type Grammar = ReadonlyMap<number, Kind>

const userProperty = [0x26, 'pair'] as const
const userProperties: Grammar = new Map<number, Kind>([userProperty])
const subscribeProperties: Grammar = new Map<number, Kind>([[0x0b, 'varint'], userProperty])
const disconnectProperties: Grammar = new Map<number, Kind>([
  [0x11, 'u32'],
  [0x1c, 'text'],
  [0x1f, 'text'],
  userProperty,
])
const authProperties: Grammar = new Map<number, Kind>([
  [0x15, 'text'],
  [0x16, 'binary'],
  [0x1f, 'text'],
  userProperty,
])
const connectProperties: Grammar = new Map<number, Kind>([
  [0x11, 'u32'],
  [0x15, 'text'],
  [0x16, 'binary'],
  [0x17, 'flag'],
  [0x19, 'flag'],
  [0x21, 'u16'],
  [0x22, 'u16'],
  [0x27, 'u32'],
  userProperty,
])
const willProperties: Grammar = new Map<number, Kind>([
  [0x01, 'flag'],
  [0x02, 'u32'],
  [0x03, 'text'],
  [0x08, 'text'],
  [0x09, 'binary'],
  [0x18, 'u32'],
  userProperty,
])
/** Properties that may not be 0: receive maximum, maximum packet size, subscription identifier. */
const neverZero: ReadonlySet<number> = new Set([0x21, 0x27, 0x0b])

/** A cursor that throws where the bytes end. */
class Walk {
  private readonly bytes: Buffer
  private at: number
  private end: number

  constructor(bytes: Buffer, at: number, end: number) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  left(): number {
    return this.end - this.at
  }

  u8(): number {
    return this.bytes[this.take(1)] as number
  }

  u16(): number {
    const from = this.take(2)
    return ((this.bytes[from] as number) << 8) | (this.bytes[from + 1] as number)
  }

  /** A UTF-8 string; its value for those few that are asked for. */
  text(what: string): string {
    const size = this.u16()
    const from = this.take(size)
    checkText(this.bytes, from, this.at, what)
    return size > 6 ? '' : this.bytes.toString('latin1', from, this.at)
  }

  binary(): void {
    this.take(this.u16())
  }

  properties(grammar: Grammar): WillProperties {
    const size = this.varint()
    const at = this.take(size)
    const outer = this.end
    this.end = this.at
    this.at = at
    const seen = new Set<number>()
    while (this.left() > 0) {
      const id = this.varint()
      const kind = grammar.get(id)
      if (kind === undefined) malformed(`property 0x${id.toString(16)} is not of this packet`)
      if (kind !== 'pair' && seen.has(id)) protocolError(`property 0x${id.toString(16)} twice`)
      seen.add(id)
      const value = this.property(kind)
      if (value === 0 && neverZero.has(id)) protocolError(`property 0x${id.toString(16)} is 0`)
    }
    this.end = outer
    return { at, size }
  }

  finish(): void {
    if (this.left() > 0) malformed('bytes behind the end of a packet')
  }

  private property(kind: Kind): number {
    switch (kind) {
      case 'flag': {
        const value = this.u8()
        if (value > 1) protocolError('a flag above 1')
        return value
      }
      case 'u8':
        return this.u8()
      case 'u16':
        return this.u16()
      case 'u32':
        return this.u16() * 0x10000 + this.u16()
      case 'varint':
        return this.varint()
      case 'text':
        this.text('a property')
        return 1
      case 'binary':
        this.binary()
        return 1
      case 'pair':
        this.text('name of a user property')
        this.text('value of a user property')
        return 1
    }
  }

  private varint(): number {
    let value = 0
    let scale = 1
    for (let count = 1; ; count++) {
      const byte = this.u8()
      value += (byte & 127) * scale
      if (byte < 128) {
        if (byte === 0 && count > 1) malformed('an overlong number')
        return value
      }
      if (count === varintBytesMax) malformed('a number of more than four bytes')
      scale *= 128
    }
  }

  private take(size: number): number {
    const from = this.at
    if (size > this.end - from) malformed('a packet ends in the middle of a field')
    this.at = from + size
    return from
  }
}
