// The decoder against mqtt-packet, an implementation that is not ours: the same packets, split
// anywhere; and any bytes, which end in packets or a DecodeError.

import fc from 'fast-check'
import type { Packet } from 'mqtt-packet'
import { generate, parser } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { PacketType } from '../../../../gateways/mqtt/codec/constants.ts'
import { PacketDecoder } from '../../../../gateways/mqtt/codec/decoder.ts'
import { parseConnect, parsePacket } from '../../../../gateways/mqtt/codec/packets.ts'
import { PropertyScan } from '../../../../gateways/mqtt/codec/property-scan.ts'
import { DecodeError } from '../../../../shared/bytes/decode-error.ts'

type Read = Readonly<Record<string, unknown>>

/** What our decoder makes of `chunks`. */
function decode(chunks: readonly Buffer[], version: 3 | 4 | 5, sizeMax = 1 << 28): Read[] {
  const decoder = new PacketDecoder(sizeMax)
  const scan = new PropertyScan()
  const found: Read[] = []
  decoder.version = version
  for (const chunk of chunks) {
    decoder.push(chunk)
    for (let type = decoder.next(); type !== 0; type = decoder.next()) {
      found.push(readPacket(decoder, type, scan))
    }
  }
  return found
}

function readPacket(decoder: PacketDecoder, type: number, scan: PropertyScan): Read {
  const { bytes, packetId } = decoder
  if (type === PacketType.publish) {
    scan.scan(bytes, decoder.propsAt, decoder.propsSize)
    const { topicAt, topicSize, payloadAt, payloadSize } = decoder
    return {
      type,
      qos: decoder.qos,
      dup: decoder.dup,
      retain: decoder.retain,
      topic: bytes.toString('utf8', topicAt, topicAt + topicSize),
      payload: bytes.toString('hex', payloadAt, payloadAt + payloadSize),
      packetId,
      alias: scan.topicAlias,
      expiry: scan.expirySeconds,
    }
  }
  if (type >= PacketType.puback && type <= PacketType.pubcomp) {
    return { type, packetId, reason: decoder.reason }
  }
  if (type === PacketType.connect) return { type, ...parseConnect(decoder).packet }
  return { type, cmd: parsePacket(decoder).cmd }
}

/** What mqtt-packet makes of a PUBLISH or an acknowledgement. */
function reference(bytes: Buffer, version: 3 | 4 | 5): Read {
  const parsing = parser({ protocolVersion: version })
  let read: Read = {}
  parsing.on('packet', (packet) => {
    read = fieldsOf(packet)
  })
  parsing.parse(bytes)
  return read
}

function fieldsOf(packet: Packet): Read {
  if (packet.cmd === 'publish') {
    const { dup, payload, qos, retain, topic, properties } = packet
    return {
      type: PacketType.publish,
      qos,
      dup,
      retain,
      topic,
      payload: (payload as Buffer).toString('hex'),
      packetId: packet.messageId ?? 0,
      alias: properties?.topicAlias ?? -1,
      expiry: properties?.messageExpiryInterval ?? -1,
    }
  }
  const { messageId, reasonCode } = packet as { messageId?: number; reasonCode?: number }
  const type = PacketType[packet.cmd as 'puback']
  return { type, packetId: messageId ?? 0, reason: reasonCode ?? 0 }
}

const text = fc.string({ unit: 'binary', maxLength: 20 }).filter((each) => {
  return !each.includes('\0') && each === Buffer.from(each).toString()
})
const packetId = fc.integer({ min: 1, max: 65535 })

function publishes(version: 3 | 4 | 5): fc.Arbitrary<Packet> {
  return fc
    .record({
      cmd: fc.constant('publish' as const),
      topic: text.filter((topic) => topic !== '' && !/[#+]/.test(topic)),
      payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      qos: fc.constantFrom(0, 1, 2),
      dup: fc.boolean(),
      retain: fc.boolean(),
      messageId: packetId,
      topicAlias: fc.integer({ min: 1, max: 65535 }),
      messageExpiryInterval: fc.integer({ min: 0, max: 0xffffffff }),
      contentType: text,
      pair: fc.tuple(text, text),
    })
    .map(({ contentType, messageExpiryInterval, pair, topicAlias, ...packet }) => ({
      ...packet,
      dup: packet.qos > 0 && packet.dup,
      properties:
        version === 5
          ? {
              contentType,
              messageExpiryInterval,
              topicAlias,
              userProperties: { [`k${pair[0]}`]: pair[1] },
            }
          : {},
    })) as unknown as fc.Arbitrary<Packet>
}

function acknowledgements(version: 3 | 4 | 5): fc.Arbitrary<Packet> {
  return fc
    .record({
      cmd: fc.constantFrom('puback', 'pubrec', 'pubrel', 'pubcomp'),
      messageId: packetId,
      reasonCode: fc.constant(version === 5 ? 0x92 : 0),
    })
    .map((packet) => {
      const knows = packet.cmd === 'pubrel' || packet.cmd === 'pubcomp'
      return { ...packet, reasonCode: knows ? packet.reasonCode : 0 }
    }) as unknown as fc.Arbitrary<Packet>
}

/** A packet of every type that a client can send. */
function packetsOf(protocolVersion: 3 | 4 | 5): Packet[] {
  return [
    {
      cmd: 'connect',
      protocolId: protocolVersion === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion,
      clean: true,
      clientId: 'client',
      keepalive: 10,
      username: 'u',
      password: Buffer.from('p'),
      will: { topic: 'w', payload: Buffer.from('x'), qos: 1, retain: true },
    },
    { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/#', qos: 1 }] },
    { cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['a', 'b/+'] },
    { cmd: 'disconnect' },
    { cmd: 'pingreq' },
    { cmd: 'publish', topic: 't', payload: 'x', qos: 2, messageId: 3, dup: true, retain: false },
    { cmd: 'puback', messageId: 3 },
    { cmd: 'pubrec', messageId: 3 },
    { cmd: 'pubrel', messageId: 3 },
    { cmd: 'pubcomp', messageId: 3 },
  ]
}

const userProperties = { a: 'b', c: ['d', 'e'] }
const reason = { reasonCode: 0x92, properties: { reasonString: 'why', userProperties } }
/** Those of MQTT 5 with all that they can have. */
const packetsOf5: Packet[] = [
  {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 5,
    clean: false,
    clientId: 'client',
    keepalive: 10,
    properties: {
      sessionExpiryInterval: 100,
      receiveMaximum: 10,
      maximumPacketSize: 1000,
      topicAliasMaximum: 5,
      requestResponseInformation: true,
      requestProblemInformation: false,
      userProperties,
      authenticationMethod: 'm',
      authenticationData: Buffer.from('data'),
    },
    will: {
      topic: 'w',
      payload: Buffer.from('x'),
      qos: 2,
      retain: false,
      properties: {
        willDelayInterval: 5,
        payloadFormatIndicator: true,
        messageExpiryInterval: 10,
        contentType: 'text',
        responseTopic: 'r',
        correlationData: Buffer.from('c'),
        userProperties,
      },
    },
  },
  {
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [{ topic: '$share/g/a', qos: 2, nl: false, rap: true, rh: 2 }],
    properties: { subscriptionIdentifier: 200, userProperties },
  },
  { cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['a'], properties: { userProperties } },
  {
    cmd: 'disconnect',
    reasonCode: 4,
    properties: { sessionExpiryInterval: 5, reasonString: 'bye', userProperties },
  },
  {
    cmd: 'auth',
    reasonCode: 0x18,
    properties: { authenticationMethod: 'm', authenticationData: Buffer.from('d') },
  },
  { cmd: 'puback', messageId: 3, ...reason, reasonCode: 0x10 },
  { cmd: 'pubrec', messageId: 3, ...reason, reasonCode: 0x10 },
  { cmd: 'pubrel', messageId: 3, ...reason },
  { cmd: 'pubcomp', messageId: 3, ...reason },
]

test.each([3, 4, 5] as const)(
  'every packet of version %i is read as mqtt-packet reads it',
  (version) => {
    for (const packet of [...packetsOf(version), ...(version === 5 ? packetsOf5 : [])]) {
      const bytes = generate(packet, { protocolVersion: version })
      const [read] = decode([bytes], version)
      expect(read?.['type']).toBe((bytes[0] as number) >> 4)
      if (read?.['cmd'] !== undefined) expect(read['cmd']).toBe(packet.cmd)
      else expect(read).toMatchObject(reference(bytes, version))
    }
  },
)

describe.each([3, 4, 5] as const)('version %i', (version) => {
  test('the hot packets are what mqtt-packet reads, however they are split', () => {
    const packets = fc.array(fc.oneof(publishes(version), acknowledgements(version)), {
      maxLength: 5,
    })
    fc.assert(
      fc.property(packets, fc.array(fc.nat(2000)), (sent, cuts) => {
        const whole = sent.map((packet) => generate(packet, { protocolVersion: version }))
        const bytes = Buffer.concat(whole)
        const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort(
          (a, b) => a - b,
        )
        const chunks: Buffer[] = []
        let from = 0
        for (const place of [...places, bytes.length]) {
          chunks.push(Buffer.from(bytes.subarray(from, place)))
          from = place
        }
        const expected = whole.map((each) => reference(each, version))
        expect(decode(chunks, version)).toEqual(expected)
      }),
      { numRuns: 300 },
    )
  })

  test('byte by byte, with a packet given again', () => {
    const sent = generate(
      {
        cmd: 'publish',
        topic: 'a/b',
        payload: 'hello',
        qos: 1,
        messageId: 9,
        dup: false,
        retain: true,
      },
      { protocolVersion: version },
    )
    const decoder = new PacketDecoder(1000)
    decoder.version = version
    let seen = 0
    for (let i = 0; i < sent.length; i++) {
      decoder.push(sent.subarray(i, i + 1))
      if (decoder.next() === 0) continue
      decoder.unread()
      decoder.keep()
      expect(decoder.unfinished()).toBe(true)
      expect(decoder.next()).toBe(PacketType.publish)
      const { payloadAt, payloadSize } = decoder
      expect(decoder.bytes.toString('utf8', payloadAt, payloadAt + payloadSize)).toBe('hello')
      seen++
    }
    expect(seen).toBe(1)
  })

  test('any bytes end in packets or a DecodeError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(80), (bytes, cut) => {
        const buffer = Buffer.from(bytes)
        try {
          decode([buffer.subarray(0, cut), buffer.subarray(cut)], version, 4096)
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error
        }
      }),
      { numRuns: 3000 },
    )
  })

  test('well-formed packets with a byte changed end in packets or a DecodeError', () => {
    const bases = [...packetsOf(version), ...(version === 5 ? packetsOf5 : [])]
    const changed = fc.tuple(
      fc.constantFrom(...bases),
      fc.nat(200),
      fc.integer({ min: 0, max: 255 }),
    )
    fc.assert(
      fc.property(changed, ([packet, place, value]) => {
        const bytes = generate(packet, { protocolVersion: version })
        bytes[place % bytes.length] = value
        try {
          decode([bytes], version, 4096)
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error
        }
      }),
      { numRuns: 6000 },
    )
  })
})

describe('malformed', () => {
  // The clause, or what is wrong; the bytes; the version.
  const cases: readonly (readonly [string, 4 | 5, readonly number[], number])[] = [
    ['QoS 3 [MQTT-3.3.1-4]', 4, [0x36, 5, 0, 1, 97, 0, 1], 0x81],
    ['DUP with QoS 0 [MQTT-3.3.1-2]', 4, [0x38, 3, 0, 1, 97], 0x81],
    ['packet id 0 [MQTT-2.2.1-3]', 4, [0x32, 5, 0, 1, 97, 0, 0], 0x82],
    ['a topic longer than its packet', 4, [0x30, 3, 0, 9, 97], 0x81],
    ['no packet id', 4, [0x32, 3, 0, 1, 97], 0x81],
    ['PUBREL flags [MQTT-3.6.1-1]', 4, [0x60, 2, 0, 1], 0x81],
    ['PUBACK flags', 4, [0x41, 2, 0, 1], 0x81],
    ['packet type 0', 4, [0x00, 0], 0x81],
    ['a length of five bytes', 4, [0x30, 0xff, 0xff, 0xff, 0xff, 1], 0x81],
    ['an overlong length [MQTT-1.5.5-1]', 5, [0xc0, 0x80, 0], 0x81],
    ['a packet larger than allowed', 4, [0x30, 0xff, 0x7f], 0x95],
    ['a reason code before MQTT 5', 4, [0x40, 3, 0, 1, 0], 0x81],
    ['properties longer than the packet', 5, [0x30, 4, 0, 1, 97, 9], 0x81],
    ['a property twice', 5, [0x30, 8, 0, 1, 97, 4, 1, 1, 1, 1], 0x82],
    ['an unknown property', 5, [0x30, 6, 0, 1, 97, 2, 0x7f, 1], 0x81],
    ['a subscription id from a client', 5, [0x30, 6, 0, 1, 97, 2, 0x0b, 1], 0x82],
    ['payload format 2', 5, [0x30, 6, 0, 1, 97, 2, 1, 2], 0x82],
    ['ill-formed UTF-8 in a property', 5, [0x30, 8, 0, 1, 97, 4, 3, 0, 1, 0xff], 0x81],
    ['SUBSCRIBE flags [MQTT-3.8.1-1]', 4, [0x80, 6, 0, 1, 0, 1, 97, 0], 0x81],
    ['SUBSCRIBE without a filter [MQTT-3.8.3-2]', 4, [0x82, 2, 0, 1], 0x82],
    ['SUBSCRIBE with packet id 0', 4, [0x82, 6, 0, 0, 0, 1, 97, 0], 0x82],
    ['SUBSCRIBE QoS 3', 4, [0x82, 6, 0, 1, 0, 1, 97, 3], 0x81],
    ['SUBSCRIBE reserved bits', 4, [0x82, 6, 0, 1, 0, 1, 97, 4], 0x81],
    ['retain handling 3', 5, [0x82, 7, 0, 1, 0, 0, 1, 97, 0x30], 0x82],
    ['subscription id 0', 5, [0x82, 9, 0, 1, 2, 0x0b, 0, 0, 1, 97, 0], 0x82],
    ['U+0000 in a filter [MQTT-1.5.4-2]', 4, [0x82, 6, 0, 1, 0, 1, 0, 0], 0x81],
    ['UNSUBSCRIBE without a filter [MQTT-3.10.3-2]', 4, [0xa2, 2, 0, 1], 0x82],
    ['PINGREQ with a body', 4, [0xc0, 1, 0], 0x81],
    ['DISCONNECT with a body', 4, [0xe0, 1, 0], 0x81],
    ['AUTH before MQTT 5', 4, [0xf0, 0], 0x81],
    ['CONNECT of another protocol', 4, [0x10, 12, 0, 4, 77, 81, 84, 65, 4, 2, 0, 0, 0, 0], 0x81],
    ['CONNECT of another version', 4, [0x10, 12, 0, 4, 77, 81, 84, 84, 6, 2, 0, 0, 0, 0], 0x84],
    [
      'the reserved flag [MQTT-3.1.2-3]',
      4,
      [0x10, 12, 0, 4, 77, 81, 84, 84, 4, 3, 0, 0, 0, 0],
      0x81,
    ],
    ['will QoS without a will', 4, [0x10, 12, 0, 4, 77, 81, 84, 84, 4, 10, 0, 0, 0, 0], 0x81],
    [
      'a password without a user',
      4,
      [0x10, 14, 0, 4, 77, 81, 84, 84, 4, 66, 0, 0, 0, 0, 0, 0],
      0x81,
    ],
    ['bytes behind CONNECT', 4, [0x10, 13, 0, 4, 77, 81, 84, 84, 4, 2, 0, 0, 0, 0, 9], 0x81],
    [
      'a receive maximum of 0',
      5,
      [0x10, 16, 0, 4, 77, 81, 84, 84, 5, 2, 0, 0, 3, 0x21, 0, 0, 0, 0],
      0x82,
    ],
  ]
  test.each(cases)('%s (version %i)', (_, version, bytes, code) => {
    expect.assertions(1)
    try {
      decode([Buffer.from(bytes)], version, 1000)
    } catch (error) {
      expect((error as DecodeError).code).toBe(code)
    }
  })
})
