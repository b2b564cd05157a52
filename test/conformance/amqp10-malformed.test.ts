// Performatives whose fields are not what they should be, sent to a session that is in use: whatever
// comes of it, it ends that client's link, session or connection, and nobody else's.

import { expect, it } from 'vitest'
import { composite } from '../../gateways/amqp10/codec/composite.ts'
import type { AmqpValue } from '../../gateways/amqp10/codec/value.ts'
import {
  bool,
  list,
  map,
  NULL,
  symbol,
  uint,
  ulong,
  utf8,
} from '../../gateways/amqp10/codec/value.ts'
import { encodeValue } from '../../gateways/amqp10/codec/value-writer.ts'
import {
  AMQP_HEADER,
  Amqp10Peer,
  bodyOf,
  dataMessage,
  frameBytes,
  SASL_HEADER,
} from '../support/amqp10-peer.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

const described = (code: number, value: AmqpValue): AmqpValue => ({
  type: 'described',
  descriptor: ulong(code),
  value,
})

function nested(depth: number): AmqpValue {
  let value: AmqpValue = list([])
  for (let i = 0; i < depth; i++) value = list([value])
  return value
}

/** Good performatives, field by field. */
const performatives: readonly (readonly [string, number, readonly AmqpValue[]])[] = [
  ['open', 0x10, [utf8('c'), utf8('h'), uint(512), { type: 'ushort', value: 1 }, uint(60000)]],
  ['begin', 0x11, [NULL, uint(0), uint(10), uint(10), uint(3)]],
  [
    'attach of a receiver',
    0x12,
    [
      ...[utf8('l'), uint(7), bool(true), { type: 'ubyte', value: 0 }, { type: 'ubyte', value: 0 }],
      composite('source', { address: utf8('/queues/none'), filter: [[symbol('a'), utf8('b')]] }),
      composite('target', {}),
      ...[map([]), bool(false), NULL, ulong(1000), list([]), list([]), map([])],
    ] as readonly AmqpValue[],
  ],
  [
    'attach of a sender',
    0x12,
    [
      ...[
        utf8('s'),
        uint(8),
        bool(false),
        { type: 'ubyte', value: 2 },
        { type: 'ubyte', value: 0 },
      ],
      composite('source', {}),
      composite('target', { address: utf8('/exchanges/amq.topic/k') }),
      ...[NULL, bool(false), uint(0), ulong(1000), list([]), list([]), map([])],
    ] as readonly AmqpValue[],
  ],
  [
    'flow',
    0x13,
    [
      uint(0),
      uint(10),
      uint(0),
      uint(10),
      uint(1),
      uint(0),
      uint(5),
      uint(0),
      bool(false),
      bool(true),
    ],
  ],
  [
    'transfer',
    0x14,
    [
      ...[uint(0), uint(0), { type: 'binary', value: Buffer.from('t') }, uint(0), bool(false)],
      ...[bool(false), NULL, NULL, bool(false), bool(false), bool(false)],
    ] as readonly AmqpValue[],
  ],
  [
    'disposition',
    0x15,
    [bool(true), uint(0), uint(0), bool(true), described(0x27, list([bool(true)]))],
  ],
  ['detach', 0x16, [uint(0), bool(true), described(0x1d, list([symbol('a:b'), utf8('c')]))]],
  ['end', 0x17, [described(0x1d, list([symbol('a:b')]))]],
  ['close', 0x18, [described(0x1d, list([symbol('a:b')]))]],
]

/** In place of each field. */
const oddities: readonly AmqpValue[] = [
  NULL,
  bool(true),
  uint(0xffff_ffff),
  ulong(2n ** 64n - 1n),
  { type: 'int', value: -1 },
  utf8('x'.repeat(3000)),
  { type: 'binary', value: new Uint8Array(40) },
  list([]),
  map([[list([]), nested(20)]]),
  nested(200),
  described(0x28, described(0x29, list([utf8('x'), map([[NULL, NULL]])]))),
  described(0x27, list([utf8('x'), uint(1), list([])])),
  { type: 'array', element: 0x40, value: Array.from({ length: 5000 }, () => NULL) },
]

describeBrokers(
  'AMQP 1.0 that no library sends',
  (use) => {
    /** Everything up to a session with a sender on handle 0 and a receiver on handle 1, unread. */
    function upToLinks(address: string): Buffer {
      const initialResponse = Buffer.from('\0guest\0guest')
      const windows = { nextOutgoingId: 0, incomingWindow: 100, outgoingWindow: 100 }
      const source = composite('source', { address: utf8(address) })
      const target = composite('target', { address: utf8(address) })
      return Buffer.concat([
        SASL_HEADER,
        frameBytes(1, 0, 'saslInit', { mechanism: 'PLAIN', initialResponse }),
        AMQP_HEADER,
        frameBytes(0, 0, 'open', { containerId: 'odd' }),
        frameBytes(0, 0, 'begin', windows),
        frameBytes(0, 0, 'attach', {
          ...{ name: 'to', handle: 0, role: false, initialDeliveryCount: 0 },
          ...{ source: composite('source', {}), target },
        }),
        frameBytes(0, 0, 'attach', {
          ...{ name: 'from', handle: 1, role: true, source, target: composite('target', {}) },
        }),
      ])
    }

    function odd(code: number, values: readonly AmqpValue[]): Buffer {
      const performative = encodeValue(described(code, list(values)))
      const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, 2, 0, 0, 0]), performative])
      frame.writeUInt32BE(frame.length, 0)
      return frame
    }

    it.each(performatives)('%s with any field odd', async (_name, code, fields) => {
      const channel = await use().channel()
      const queue = use().name('odd')
      await channel.assertQueue(queue)
      const address = `/queues/${queue}`
      const witness = await Amqp10Peer.open(use().broker)
      await witness.begin()
      await witness.attachSender(0, address)
      const frames = fields.flatMap((_field, place) =>
        oddities
          .filter((_value, i) => (i + place) % share === 0)
          .map((value) => odd(code, fields.with(place, value))),
      )
      frames.push(odd(code, []), odd(code, [...fields, ...oddities]), odd(code, fields))
      const first = upToLinks(address)
      const close = frameBytes(0, 0, 'close', {})
      for (let from = 0; from < frames.length; from += batch) {
        const peers = frames.slice(from, from + batch).map((frame) => {
          const peer = new Amqp10Peer(use().broker)
          peer.raw(Buffer.concat([first, frame, frame, close]))
          return peer
        })
        // An answer to close, or one of the broker's own; never silence.
        for (const peer of peers) await peer.gone(15_000)
      }
      witness.transfer(0, 0, dataMessage('still here'))
      const { performative } = await witness.expect('disposition')
      expect(performative.state?.descriptor.value).toBe(0x24)
      await witness.attachReceiver(1, address, 200, { sndSettleMode: 1 })
      await eventually('its message', async () => {
        const { payload } = await witness.expect('transfer')
        return bodyOf(payload) === 'still here'
      })
      witness.destroy()
    })
  },
  { profiles: PROFILES.slice(0, 1) },
)

/** One of so many combinations is tried: 1 tries all (1300 connections). */
const share: number = Number(process.env['WARREN_MALFORMED_SHARE'] ?? 3)

/** Connections at a time. */
const batch = 40
