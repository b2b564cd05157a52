// What a client publishes: from packet to entry, and the acknowledgements that come of it.
//
//   QoS 1   PUBLISH -> entry .. confirm -> PUBACK
//   QoS 2   PUBLISH -> entry .. confirm -> PUBREC;  PUBREL -> (forgotten, durably) -> PUBCOMP
//
// Of a session that outlives its connection, an id between PUBLISH and PUBCOMP is a message in the
// session's queues of received ids: the same publish puts it there and where it is routed, in one
// record of each shard's log. So a crash leaves both on a shard or none. When the client then sends
// the PUBLISH again, it goes to the shards that have none, and to their queues alone.

import type { GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { EntryFlag, publishWords } from '../../../shared/bus/wire.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import { shortstrBytes } from '../../../shared/bytes/utf8.ts'
import { writeU16, writeU32 } from '../../../shared/bytes/writer.ts'
import { MqttFlag } from '../../../shared/message/native-part.ts'
import { PacketType, Reason } from '../codec/constants.ts'
import type { PacketDecoder } from '../codec/decoder.ts'
import { fault, protocolError } from '../codec/fault.ts'
import { PropertyScan } from '../codec/property-scan.ts'
import { noExpiry, propertyHeadBytes, publisherBytes } from '../mapping/native-form.ts'
import { basicProperties } from '../mapping/property-mapping.ts'
import { TopicHead } from '../mapping/topic-head.ts'
import { Awaited, AwaitedConfirms } from './awaited-confirms.ts'
import type { Client } from './client.ts'
import { Wait } from './client.ts'
import { isOwnTopic } from './fan-out.ts'
import type { Received } from './received.ts'

/** A message to publish: a packet's, or (packet id 0: not to be confirmed) a will's. Positions are into `bytes`. */
export interface Publish {
  qos: number
  retain: boolean
  packetId: number
  bytes: Uint8Array
  propsAt: number
  propsSize: number
  payloadBytes: Uint8Array
  payloadAt: number
  payloadSize: number
}

export class Inbound {
  readonly awaited: AwaitedConfirms
  /** Ids of QoS 2. */
  readonly received: Received
  private readonly client: Client
  private readonly head: TopicHead
  /** Topics by alias. */
  private aliases: Map<number, Uint8Array> | undefined
  /** Topics that retained messages may be kept for: asked for once. */
  private retainable: Set<string> | undefined
  /** Until then it may publish to any topic. */
  private retainsAllUntil: number
  /** The topic that was asked for last. */
  private retainOnce: string

  constructor(client: Client, received: Received) {
    this.client = client
    this.received = received
    this.awaited = new AwaitedConfirms()
    this.head = new TopicHead(exchangeName(client.settings.exchange))
    this.aliases = undefined
    this.retainable = undefined
    this.retainsAllUntil = 0
    this.retainOnce = ''
  }

  // HOT: once per PUBLISH
  /** Takes the PUBLISH that the decoder stands at. False: it has to wait; give it again. */
  publish(decoder: PacketDecoder): boolean {
    const { client } = this
    const { qos, packetId } = decoder
    client.hub.counters.received++
    if (qos > 0 && !this.isNew(decoder)) return true
    scan.scan(decoder.bytes, decoder.propsAt, decoder.propsSize)
    this.findTopic(decoder)
    if (isOwnTopic(firstLevels(this.head))) return this.refuseOwn(decoder)
    if (decoder.retain && !this.mayRetain()) return false
    if (qos === 2 && client.durable && !this.received.ready()) return false
    publish.qos = qos
    publish.retain = decoder.retain
    publish.packetId = packetId
    publish.bytes = decoder.bytes
    publish.propsAt = decoder.propsAt
    publish.propsSize = decoder.propsSize
    publish.payloadBytes = decoder.bytes
    publish.payloadAt = decoder.payloadAt
    publish.payloadSize = decoder.payloadSize
    if (qos === 2 && this.received.stateOf(packetId) === 'partial') return this.repair(decoder)
    if (!this.announce(publish)) {
      client.waits |= Wait.bus
      return false
    }
    let sequence = -1
    if (qos > 0) sequence = this.awaited.push(packetId, qos === 2 ? Awaited.qos2 : 0)
    if (qos === 2) this.received.add(packetId)
    if (decoder.retain) this.keepRetained(decoder, sequence)
    return true
  }

  /** PUBREL. */
  release(packetId: number): void {
    const { client } = this
    if (!this.received.release(packetId)) {
      client.ack(PacketType.pubcomp, packetId, Reason.packetIdNotFound)
    }
  }

  onConfirm(count: number, nack: boolean): void {
    this.awaited.confirm(count, nack)
    this.flush()
  }

  /** `sequence` counts publishes that are to be confirmed, as an int32. */
  mark(sequence: number, bits: number): void {
    this.awaited.mark(sequence, bits)
  }

  // HOT: once per batch of confirms
  /** Sends the acknowledgements that are due. */
  flush(): void {
    const { awaited } = this
    while (awaited.ready()) {
      const packetId = awaited.firstId()
      this.acknowledge(packetId, awaited.take())
    }
  }

  /**
   * Publishes a message to a topic that was set by `setTopic`. False: no room now. `only`: to the
   * queues of this shard, where it is not known, unconfirmed; -1: to all.
   */
  announce(publish: Publish, only: number = -1): boolean {
    const { client, head } = this
    const { qos } = publish
    const isConfirmed = publish.packetId !== 0 && only < 0
    const isOnce = qos === 2 && client.durable && publish.packetId !== 0 && this.received.queued
    const key = isOnce ? this.received.key : noKey
    let flags = head.flags | qos | (publish.retain ? MqttFlag.retain : 0)
    let formSize = publisherBytes
    if (isOnce) {
      flags |= MqttFlag.packetId
      formSize += 2
    }
    let basic: Uint8Array = qos === 0 ? transientBasic : persistentBasic
    let entryFlags = qos === 0 ? 0 : EntryFlag.persistent
    if (isConfirmed) entryFlags |= EntryFlag.confirm
    if (only >= 0) entryFlags |= EntryFlag.here
    if (publish.propsSize > 0) {
      const { bytes, propsAt, propsSize } = publish
      const mapped = basicProperties(bytes, propsAt, propsSize, scan, qos === 0 ? 1 : 2)
      basic = mapped.encoded
      if (mapped.hasHeaders) entryFlags |= EntryFlag.headers
      if (scan.expirySeconds >= 0) entryFlags |= EntryFlag.expiration
      flags |= MqttFlag.properties
      formSize += propertyHeadBytes + scan.lastingSize
    }
    if (isConfirmed && client.isV5) entryFlags |= EntryFlag.mandatory
    if (!client.settings.disconnectOnUnauthorized) entryFlags |= EntryFlag.lenient
    const link = only < 0 ? client.ingress() : client.port.link(only)
    // Asked first: a room in a slab that is not announced is lost.
    if (link.held || !link.out.hasRoom(publishWords)) return false
    const extraSize = head.size - head.exrkSize + key.length + formSize
    const prefix = head.exrkSize + extraSize + basic.length
    if (prefix > client.port.arena.slabBytes) {
      fault(Reason.packetTooLarge, 'properties are too large')
    }
    if (!link.slabs.takeSome(prefix, publish.payloadSize)) return false
    const { at, size, slab } = link.slabs
    const to = client.port.arena.slab(slab)
    let end = writeHead(to, at, head, key, flags)
    copyBytes(client.publisher, 0, to, end, publisherBytes)
    end += publisherBytes
    if (isOnce) {
      writeU16(to, end, publish.packetId)
      end += 2
    }
    if (publish.propsSize > 0) end = writeProperties(to, end, publish, client.hub.clock.wall())
    copyBytes(basic, 0, to, end, basic.length)
    end += basic.length
    copyBytes(publish.payloadBytes, publish.payloadAt, to, end, size - prefix)
    if (size === prefix + publish.payloadSize) {
      return this.send(link, entryFlags, slab, at, extraSize, basic.length, publish.payloadSize)
    }
    return this.sendRest(
      link,
      entryFlags,
      slab,
      at,
      extraSize,
      basic.length,
      publish,
      size - prefix,
    )
  }

  /** The topic of what is announced next; false: it is none. */
  setTopic(bytes: Uint8Array, at: number, size: number): boolean {
    return this.head.isFor(bytes, at, size) || this.head.build(bytes, at, size)
  }

  private send(
    link: GatewayLink,
    flags: number,
    slab: number,
    at: number,
    extraSize: number,
    propsSize: number,
    bodySize: number,
  ): boolean {
    const { client, head } = this
    const channel = client.channelSlot()
    const sent = link.publish(
      channel,
      flags,
      slab,
      at,
      head.exrkSize,
      extraSize,
      propsSize,
      bodySize,
    )
    // The room is given up: the packet comes again.
    if (!sent) link.slabs.close(slab)
    return sent
  }

  /** A payload that does not fit into one slab. */
  private sendRest(
    link: GatewayLink,
    flags: number,
    slab: number,
    at: number,
    extraSize: number,
    propsSize: number,
    publish: Publish,
    taken: number,
  ): boolean {
    const { client, head } = this
    const extents: number[] = []
    let done = taken
    let complete = true
    while (done < publish.payloadSize) {
      if (!link.slabs.takeSome(0, publish.payloadSize - done)) {
        complete = false
        break
      }
      const to = client.port.arena.slab(link.slabs.slab)
      const { size } = link.slabs
      copyBytes(publish.payloadBytes, publish.payloadAt + done, to, link.slabs.at, size)
      extents.push(link.slabs.slab, link.slabs.at, size)
      done += size
    }
    const channel = client.channelSlot()
    const { exrkSize } = head
    const sent =
      complete &&
      link.publishExtents(
        channel,
        flags,
        slab,
        at,
        exrkSize,
        extraSize,
        propsSize,
        publish.payloadSize,
        extents,
      )
    if (sent) return true
    link.slabs.close(slab)
    for (let i = 0; i < extents.length; i += 3) link.slabs.close(extents[i] as number)
    return false
  }

  /** Publishes a message again where it was lost; false: no room, what was sent so far is noted. */
  private repair(decoder: PacketDecoder): boolean {
    const { client, received } = this
    const { packetId } = decoder
    for (const shard of received.lacking(packetId)) {
      if (!this.announce(publish, shard)) {
        client.waits |= Wait.bus
        return false
      }
      received.onRepair(packetId, shard)
    }
    const done = (): void => received.onRepaired(packetId)
    if (decoder.retain && client.settings.retained) {
      client.hub.retained.keep(client, this.head.text(), decoder, scan, done)
    } else done()
    return true
  }

  /** False for a packet that came before and is dealt with. */
  private isNew(decoder: PacketDecoder): boolean {
    const { client } = this
    const { packetId, qos } = decoder
    if (qos === 1) {
      if (decoder.dup && this.awaited.has(packetId)) return false
    } else {
      const state = this.received.stateOf(packetId)
      if (state === 'known') client.ack(PacketType.pubrec, packetId, 0)
      if (state === 'partial') return true
      if (state !== 'unknown') return false
    }
    if (this.awaited.count() + this.received.count >= client.settings.receiveMaximum) {
      fault(Reason.receiveMaximumExceeded, 'more unacknowledged publishes than are allowed')
    }
    return true
  }

  private findTopic(decoder: PacketDecoder): void {
    const { bytes, topicAt, topicSize } = decoder
    if (scan.topicAlias >= 0) {
      this.findAliased(decoder)
      return
    }
    if (!this.setTopic(bytes, topicAt, topicSize)) {
      fault(Reason.topicNameInvalid, 'a topic that is none')
    }
  }

  private findAliased(decoder: PacketDecoder): void {
    const { bytes, topicAt, topicSize } = decoder
    const alias = scan.topicAlias
    if (alias === 0 || alias > this.client.settings.topicAliasMaximum) {
      fault(Reason.topicAliasInvalid, `topic alias ${alias}`)
    }
    this.aliases ??= new Map()
    if (topicSize > 0) {
      if (!this.setTopic(bytes, topicAt, topicSize)) {
        fault(Reason.topicNameInvalid, 'a topic that is none')
      }
      this.aliases.set(alias, new Uint8Array(bytes.subarray(topicAt, topicAt + topicSize)))
      return
    }
    const known = this.aliases.get(alias)
    if (known === undefined) protocolError(`unknown topic alias ${alias}`)
    this.setTopic(known, 0, known.length)
  }

  /** The topics of the broker itself are not for clients. */
  private refuseOwn(decoder: PacketDecoder): boolean {
    const { client } = this
    const { packetId, qos } = decoder
    if (qos === 1) client.ack(PacketType.puback, packetId, Reason.notAuthorized)
    else if (qos === 2) client.ack(PacketType.pubrec, packetId, Reason.notAuthorized)
    return true
  }

  /** What is retained is kept by the gateway, so that has to ask first. False: wait for the answer. */
  private mayRetain(): boolean {
    const { client } = this
    if (!client.settings.retained) return true
    if (client.hub.keyed.isBusy()) {
      client.waits |= Wait.bus
      return false
    }
    const now = client.host.now()
    if (now < this.retainsAllUntil) return true
    this.retainable ??= new Set()
    const topic = this.head.text()
    if (this.retainable.has(topic) || this.retainOnce === topic) return true
    const { retainable } = this
    client.waits |= Wait.reply
    client.hub.mayPublish(client, topic, (allowed, every) => {
      client.waits &= ~Wait.reply
      if (every) this.retainsAllUntil = now + askAgainMs
      if (retainable.size >= retainableMax) retainable.clear()
      if (allowed && !every) retainable.add(topic)
      if (allowed) this.retainOnce = topic
      else client.owner.disconnect(Reason.notAuthorized, `may not publish to '${topic}'`)
    })
    return false
  }

  private keepRetained(decoder: PacketDecoder, sequence: number): void {
    const { client } = this
    if (!client.settings.retained) return
    if (sequence >= 0) this.awaited.mark(sequence, Awaited.held)
    client.hub.retained.keep(client, this.head.text(), decoder, scan, () => {
      if (sequence < 0) return
      this.awaited.unmark(sequence, Awaited.held)
      this.flush()
    })
  }

  private acknowledge(packetId: number, bits: number): void {
    const { client } = this
    let reason: number = Reason.success
    if ((bits & Awaited.refused) !== 0) reason = Reason.notAuthorized
    else if ((bits & Awaited.rejected) !== 0) reason = Reason.quotaExceeded
    else if ((bits & Awaited.unrouted) !== 0) reason = Reason.noMatchingSubscribers
    // Before MQTT 5 there is no way to say no; without an answer the client tries again.
    const silent = (bits & Awaited.rejected) !== 0 && !client.isV5
    if ((bits & Awaited.qos2) === 0) {
      if (!silent) client.ack(PacketType.puback, packetId, reason)
      return
    }
    if (reason >= Reason.unspecified) this.received.forget(packetId)
    else this.received.confirm(packetId)
    if (!silent) client.ack(PacketType.pubrec, packetId, reason)
  }
}

/** exchange as a shortstr. */
function exchangeName(exchange: string): Uint8Array {
  return shortstrBytes(exchange)
}

/** exchange, routing key, further keys, form, flags and topic; returns where that ends. */
function writeHead(
  to: Buffer,
  at: number,
  head: TopicHead,
  key: Uint8Array,
  flags: number,
): number {
  const { bytes, exrkSize, flagsAt } = head
  if (key.length === 0) {
    copyBytes(bytes, 0, to, at, head.size)
    to[at + flagsAt] = flags
    return at + head.size
  }
  copyBytes(bytes, 0, to, at, exrkSize)
  to[at + exrkSize] = 1
  copyBytes(key, 0, to, at + exrkSize + 1, key.length)
  const rest = head.size - exrkSize - 1
  const restAt = at + exrkSize + 1 + key.length
  copyBytes(bytes, exrkSize + 1, to, restAt, rest)
  to[restAt + 1] = flags
  return restAt + rest
}

function writeProperties(to: Buffer, at: number, publish: Publish, now: number): number {
  writeU32(to, at, scan.expirySeconds < 0 ? noExpiry : scan.expirySeconds)
  writeU32(to, at + 4, Math.floor(now / 0x1_0000_0000))
  writeU32(to, at + 8, now >>> 0)
  scan.copyLasting(publish.bytes, publish.propsAt, publish.propsSize, to, at + propertyHeadBytes)
  return at + propertyHeadBytes + scan.lastingSize
}

function firstLevels(head: TopicHead): string {
  // Nearly all topics are told by their first byte.
  return head.topic[0] === 0x24 ? head.text() : ''
}

/** Scans a will's or a packet's properties for `announce`. */
export function scanProperties(bytes: Uint8Array, at: number, size: number): PropertyScan {
  scan.scan(bytes, at, size)
  return scan
}

const noKey: Uint8Array = new Uint8Array(0)
/** Property flags with delivery-mode alone, and the mode. */
const transientBasic = Uint8Array.of(0x10, 0x00, 1)
const persistentBasic = Uint8Array.of(0x10, 0x00, 2)
const retainableMax = 1000
/** How long a permission for all topics is taken to hold. */
const askAgainMs = 1000
// One publish is dealt with at a time.
const scan = new PropertyScan()
const publish: Publish = {
  qos: 0,
  retain: false,
  packetId: 0,
  bytes: noKey,
  propsAt: 0,
  propsSize: 0,
  payloadBytes: noKey,
  payloadAt: 0,
  payloadSize: 0,
}
