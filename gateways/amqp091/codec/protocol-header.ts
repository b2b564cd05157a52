// The 8 bytes that open a connection: `AMQP`, then three or four version numbers.

import { copyBytes } from '../../../shared/bytes/copy.ts'

export const PROTOCOL_HEADER_SIZE = 8

/** What a client asks for. */
export const HeaderKind = {
  /** `AMQP 0 0 9 1`. */
  amqp091: 'amqp091',
  /** `AMQP 1 1 0 9`, served as 0-9-1. */
  amqp09: 'amqp09',
  /** `AMQP 0 1 0 0`: AMQP 1.0 without SASL. */
  amqp10: 'amqp10',
  /** `AMQP 3 1 0 0`: AMQP 1.0, SASL layer. */
  amqp10Sasl: 'amqp10Sasl',
  /** `AMQP 0 0 x y` with x >= 9: a 0-9 family version that does not exist. */
  wrongVersion: 'wrongVersion',
  /** Anything else. */
  unknown: 'unknown',
} as const

export type HeaderKind = (typeof HeaderKind)[keyof typeof HeaderKind]

/** Collects the header from chunks of any size. */
export class ProtocolHeader {
  private readonly bytes = new Uint8Array(PROTOCOL_HEADER_SIZE)
  private size = 0

  /** Takes what is missing from `chunk[from..to)` and gives how many bytes it took. */
  push(chunk: Uint8Array, from = 0, to: number = chunk.length): number {
    const taken = Math.min(PROTOCOL_HEADER_SIZE - this.size, to - from)
    copyBytes(chunk, from, this.bytes, this.size, taken)
    this.size += taken
    return taken
  }

  /** The kind, or undefined while bytes are missing. */
  kind(): HeaderKind | undefined {
    return this.size < PROTOCOL_HEADER_SIZE ? undefined : classify(this.bytes)
  }
}

/**
 * What the server sends before it closes, for a header that it does not serve; also for `amqp10`,
 * since RabbitMQ insists on SASL. Undefined for the kinds that are served.
 */
export function protocolHeaderAnswer(kind: HeaderKind): Uint8Array | undefined {
  switch (kind) {
    case HeaderKind.amqp091:
    case HeaderKind.amqp09:
    case HeaderKind.amqp10Sasl:
      return undefined
    case HeaderKind.wrongVersion:
      return ANSWER_091
    case HeaderKind.amqp10:
    case HeaderKind.unknown:
      return ANSWER_SASL
  }
}

/** `AMQP 0 0 9 1`: the answer that a server without AMQP 1.0 gives to its headers too. */
export const ANSWER_091: Uint8Array = Uint8Array.of(0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1)

/** `AMQP 3 1 0 0`. */
export const ANSWER_SASL: Uint8Array = Uint8Array.of(0x41, 0x4d, 0x51, 0x50, 3, 1, 0, 0)

function classify(bytes: Uint8Array): HeaderKind {
  for (let i = 0; i < 4; i++) {
    if (bytes[i] !== ANSWER_091[i]) return HeaderKind.unknown
  }
  const [, , , , id, major, minor, revision] = bytes
  if (id === 0 && major === 0 && minor === 9 && revision === 1) return HeaderKind.amqp091
  if (id === 1 && major === 1 && minor === 0 && revision === 9) return HeaderKind.amqp09
  if (id === 0 && major === 1 && minor === 0 && revision === 0) return HeaderKind.amqp10
  if (id === 3 && major === 1 && minor === 0 && revision === 0) return HeaderKind.amqp10Sasl
  if (id === 0 && major === 0 && minor !== undefined && minor >= 9) return HeaderKind.wrongVersion
  return HeaderKind.unknown
}
