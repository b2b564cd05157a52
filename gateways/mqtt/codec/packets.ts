// Rare packets as objects, by mqtt-packet: checked first, then parsed; and generated.

import { Buffer } from 'node:buffer'
import type {
  IConnackPacket,
  IConnectPacket,
  IDisconnectPacket,
  IPingrespPacket,
  ISubackPacket,
  ISubscribePacket,
  IUnsubackPacket,
  IUnsubscribePacket,
  Packet,
} from 'mqtt-packet'
import { generate, parser } from 'mqtt-packet'
import type { Version } from './constants.ts'
import { PacketType } from './constants.ts'
import type { PacketDecoder } from './decoder.ts'
import { malformed } from './fault.ts'
import { checkConnect, checkPacket } from './packet-check.ts'

export type ConnectPacket = IConnectPacket & { readonly bridgeMode?: boolean }
export type SubscribePacket = ISubscribePacket
export type UnsubscribePacket = IUnsubscribePacket
export type DisconnectPacket = IDisconnectPacket
/** What a server says in rare packets. */
export type ServerPacket =
  | IConnackPacket
  | ISubackPacket
  | IUnsubackPacket
  | IDisconnectPacket
  | IPingrespPacket

/** A CONNECT, and the bytes of its will's properties. */
export interface Connect {
  readonly packet: ConnectPacket
  readonly version: Version
  readonly willProperties: Buffer | undefined
}

/** The CONNECT that the decoder stands at. Throws DecodeError. */
export function parseConnect(decoder: PacketDecoder): Connect {
  const { bytes, packetEnd } = decoder
  const { version, will } = checkConnect(bytes, bodyAt(decoder), packetEnd)
  const packet = parseOne(decoder, undefined)
  if (packet.cmd !== 'connect') return malformed('no CONNECT')
  const willProperties =
    will === undefined ? undefined : Buffer.from(bytes.subarray(will.at, will.at + will.size))
  return { packet, version, willProperties }
}

/** The packet that the decoder stands at: none of CONNECT and the hot ones. Throws DecodeError. */
export function parsePacket(decoder: PacketDecoder): Packet {
  const { bytes, packetAt, packetEnd, version } = decoder
  const type = (bytes[packetAt] as number) >> 4
  checkPacket(type, version, bytes, bodyAt(decoder), packetEnd)
  // mqtt-packet reads on behind a packet without a body.
  if (type === PacketType.disconnect && packetEnd - packetAt === 2) return { cmd: 'disconnect' }
  return parseOne(decoder, version)
}

/** The bytes of a packet. */
export function generatePacket(packet: ServerPacket, version: Version): Buffer {
  return generate(packet, { protocolVersion: version })
}

function parseOne(decoder: PacketDecoder, version: Version | undefined): Packet {
  const { bytes, packetAt, packetEnd } = decoder
  const parsing = parser(version === undefined ? {} : { protocolVersion: version })
  let packet: Packet | undefined
  let failure: unknown
  parsing.on('packet', (parsed) => {
    packet ??= parsed
  })
  parsing.on('error', (error) => {
    failure ??= error
  })
  // A copy: what is parsed refers to it, and the chunk's memory is used again.
  parsing.parse(Buffer.from(bytes.subarray(packetAt, packetEnd)))
  if (failure !== undefined || packet === undefined) {
    return malformed(failure instanceof Error ? failure.message : 'a malformed packet')
  }
  return packet
}

function bodyAt(decoder: PacketDecoder): number {
  let at = decoder.packetAt + 1
  while ((decoder.bytes[at++] as number) > 127);
  return at
}
