// The composite types of AMQP 1.0 as one table: descriptor and fields of each, in wire order (parts
// 2, 3 and 5 of the standard). What reads and writes them is in composite.ts.

import type { AmqpMap, AmqpValue, Described } from './value.ts'

/** How a field of each kind is held. */
interface KindTypes {
  readonly string: string
  readonly symbol: string
  readonly boolean: boolean
  readonly ubyte: number
  readonly ushort: number
  readonly uint: number
  readonly ulong: number | bigint
  readonly binary: Uint8Array
  readonly map: AmqpMap
  /** `multiple` in the standard: one symbol, or an array of them. */
  readonly symbols: readonly string[]
  /** Anything: kept as it came. */
  readonly any: AmqpValue
  /** Anything with a descriptor: kept as it came. */
  readonly described: Described
  readonly error: Composite<'error'>
}

export type FieldKind = keyof KindTypes
type Field = readonly [name: string, kind: FieldKind, required?: 'required']
interface Shape {
  readonly code: number
  readonly symbol: string
  readonly fields: readonly Field[]
}

const SHAPES = {
  open: {
    code: 0x10,
    symbol: 'amqp:open:list',
    fields: [
      ['containerId', 'string', 'required'],
      ['hostname', 'string'],
      ['maxFrameSize', 'uint'],
      ['channelMax', 'ushort'],
      ['idleTimeOut', 'uint'],
      ['outgoingLocales', 'symbols'],
      ['incomingLocales', 'symbols'],
      ['offeredCapabilities', 'symbols'],
      ['desiredCapabilities', 'symbols'],
      ['properties', 'map'],
    ],
  },
  begin: {
    code: 0x11,
    symbol: 'amqp:begin:list',
    fields: [
      ['remoteChannel', 'ushort'],
      ['nextOutgoingId', 'uint', 'required'],
      ['incomingWindow', 'uint', 'required'],
      ['outgoingWindow', 'uint', 'required'],
      ['handleMax', 'uint'],
      ['offeredCapabilities', 'symbols'],
      ['desiredCapabilities', 'symbols'],
      ['properties', 'map'],
    ],
  },
  attach: {
    code: 0x12,
    symbol: 'amqp:attach:list',
    fields: [
      ['name', 'string', 'required'],
      ['handle', 'uint', 'required'],
      ['role', 'boolean', 'required'],
      ['sndSettleMode', 'ubyte'],
      ['rcvSettleMode', 'ubyte'],
      ['source', 'described'],
      ['target', 'described'],
      ['unsettled', 'map'],
      ['incompleteUnsettled', 'boolean'],
      ['initialDeliveryCount', 'uint'],
      ['maxMessageSize', 'ulong'],
      ['offeredCapabilities', 'symbols'],
      ['desiredCapabilities', 'symbols'],
      ['properties', 'map'],
    ],
  },
  flow: {
    code: 0x13,
    symbol: 'amqp:flow:list',
    fields: [
      ['nextIncomingId', 'uint'],
      ['incomingWindow', 'uint', 'required'],
      ['nextOutgoingId', 'uint', 'required'],
      ['outgoingWindow', 'uint', 'required'],
      ['handle', 'uint'],
      ['deliveryCount', 'uint'],
      ['linkCredit', 'uint'],
      ['available', 'uint'],
      ['drain', 'boolean'],
      ['echo', 'boolean'],
      ['properties', 'map'],
    ],
  },
  transfer: {
    code: 0x14,
    symbol: 'amqp:transfer:list',
    fields: [
      ['handle', 'uint', 'required'],
      ['deliveryId', 'uint'],
      ['deliveryTag', 'binary'],
      ['messageFormat', 'uint'],
      ['settled', 'boolean'],
      ['more', 'boolean'],
      ['rcvSettleMode', 'ubyte'],
      ['state', 'described'],
      ['resume', 'boolean'],
      ['aborted', 'boolean'],
      ['batchable', 'boolean'],
    ],
  },
  disposition: {
    code: 0x15,
    symbol: 'amqp:disposition:list',
    fields: [
      ['role', 'boolean', 'required'],
      ['first', 'uint', 'required'],
      ['last', 'uint'],
      ['settled', 'boolean'],
      ['state', 'described'],
      ['batchable', 'boolean'],
    ],
  },
  detach: {
    code: 0x16,
    symbol: 'amqp:detach:list',
    fields: [
      ['handle', 'uint', 'required'],
      ['closed', 'boolean'],
      ['error', 'error'],
    ],
  },
  end: { code: 0x17, symbol: 'amqp:end:list', fields: [['error', 'error']] },
  close: { code: 0x18, symbol: 'amqp:close:list', fields: [['error', 'error']] },
  error: {
    code: 0x1d,
    symbol: 'amqp:error:list',
    fields: [
      ['condition', 'symbol', 'required'],
      ['description', 'string'],
      ['info', 'map'],
    ],
  },
  source: {
    code: 0x28,
    symbol: 'amqp:source:list',
    fields: [
      ['address', 'any'],
      ['durable', 'uint'],
      ['expiryPolicy', 'symbol'],
      ['timeout', 'uint'],
      ['dynamic', 'boolean'],
      ['dynamicNodeProperties', 'map'],
      ['distributionMode', 'symbol'],
      ['filter', 'map'],
      ['defaultOutcome', 'described'],
      ['outcomes', 'symbols'],
      ['capabilities', 'symbols'],
    ],
  },
  target: {
    code: 0x29,
    symbol: 'amqp:target:list',
    fields: [
      ['address', 'any'],
      ['durable', 'uint'],
      ['expiryPolicy', 'symbol'],
      ['timeout', 'uint'],
      ['dynamic', 'boolean'],
      ['dynamicNodeProperties', 'map'],
      ['capabilities', 'symbols'],
    ],
  },
  rejected: { code: 0x25, symbol: 'amqp:rejected:list', fields: [['error', 'error']] },
  modified: {
    code: 0x27,
    symbol: 'amqp:modified:list',
    fields: [
      ['deliveryFailed', 'boolean'],
      ['undeliverableHere', 'boolean'],
      ['messageAnnotations', 'map'],
    ],
  },
  saslMechanisms: {
    code: 0x40,
    symbol: 'amqp:sasl-mechanisms:list',
    fields: [['mechanisms', 'symbols', 'required']],
  },
  saslInit: {
    code: 0x41,
    symbol: 'amqp:sasl-init:list',
    fields: [
      ['mechanism', 'symbol', 'required'],
      ['initialResponse', 'binary'],
      ['hostname', 'string'],
    ],
  },
  saslChallenge: {
    code: 0x42,
    symbol: 'amqp:sasl-challenge:list',
    fields: [['challenge', 'binary', 'required']],
  },
  saslResponse: {
    code: 0x43,
    symbol: 'amqp:sasl-response:list',
    fields: [['response', 'binary', 'required']],
  },
  saslOutcome: {
    code: 0x44,
    symbol: 'amqp:sasl-outcome:list',
    fields: [
      ['code', 'ubyte', 'required'],
      ['additionalData', 'binary'],
    ],
  },
} as const

export type CompositeKind = keyof typeof SHAPES

type FieldsOf<K extends CompositeKind> = (typeof SHAPES)[K]['fields'][number]

/** A decoded composite: every field is there, undefined where the peer left it out. */
export type Composite<K extends CompositeKind> = { readonly kind: K } & {
  readonly [F in FieldsOf<K> as F[0]]: F extends readonly [string, FieldKind, 'required']
    ? KindTypes[F[1]]
    : KindTypes[F[1]] | undefined
}

/** What a composite is made of: fields that are left out are null on the wire. */
export type CompositeFields<K extends CompositeKind> = {
  readonly [F in FieldsOf<K> as F extends readonly [string, FieldKind, 'required']
    ? F[0]
    : never]: KindTypes[F[1]]
} & {
  readonly [F in FieldsOf<K> as F extends readonly [string, FieldKind, 'required'] ? never : F[0]]?:
    | KindTypes[F[1]]
    | undefined
}

/** The frames of a connection, by their composite type. */
export type Performative = { [K in PerformativeKind]: Composite<K> }[PerformativeKind]

type PerformativeKind = Exclude<
  CompositeKind,
  'error' | 'source' | 'target' | 'rejected' | 'modified'
>

/** Shape of a composite kind. */
export function shapeOf(kind: CompositeKind): Shape {
  return SHAPES[kind]
}

const KINDS = Object.keys(SHAPES) as CompositeKind[]
const BY_CODE: Map<number, CompositeKind> = new Map(KINDS.map((kind) => [SHAPES[kind].code, kind]))
const BY_SYMBOL: Map<string, CompositeKind> = new Map(
  KINDS.map((kind) => [SHAPES[kind].symbol, kind]),
)

/** The kind that a descriptor names, numeric or symbolic. */
export function kindOf(descriptor: AmqpValue): CompositeKind | undefined {
  if (descriptor.type === 'symbol') return BY_SYMBOL.get(descriptor.value)
  return typeof descriptor.value === 'number' ? BY_CODE.get(descriptor.value) : undefined
}

/** The code of a symbolic descriptor of a composite or an outcome; -1 where there is none. */
export function codeOfSymbol(symbol: string): number {
  const kind = BY_SYMBOL.get(symbol)
  return kind === undefined ? (PLAIN_OUTCOMES.get(symbol) ?? -1) : SHAPES[kind].code
}

/** Descriptor codes that hot code compares. */
export const Descriptor = {
  flow: 0x13,
  transfer: 0x14,
  disposition: 0x15,
  received: 0x23,
  accepted: 0x24,
  rejected: 0x25,
  released: 0x26,
  modified: 0x27,
  deleteOnClose: 0x2b,
  coordinator: 0x30,
  header: 0x70,
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
  sequence: 0x76,
  value: 0x77,
  footer: 0x78,
} as const

/** Composites without fields that matter. */
const PLAIN_OUTCOMES: Map<string, number> = new Map([
  ['amqp:received:list', Descriptor.received],
  ['amqp:accepted:list', Descriptor.accepted],
  ['amqp:released:list', Descriptor.released],
  ['amqp:delete-on-close:list', Descriptor.deleteOnClose],
  ['amqp:coordinator:list', Descriptor.coordinator],
])
