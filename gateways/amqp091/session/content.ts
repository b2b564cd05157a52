// One publish at a time per channel: basic.publish, content header, body pieces -> an entry in a
// slab, announced when it is whole.
//
//   idle -> header (names seen) -> body (room taken) -> idle
//                 \                    \-> unsent (complete, but the ring is full) -> idle
//
// Names stay in the socket's chunk as long as header or chunk end come first, so that most publishes
// copy every byte once.

import type { GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { EntryFlag } from '../../../shared/bus/wire.ts'
import { copyBytes, copyViewed } from '../../../shared/bytes/copy.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import type { PeerError } from '../../../shared/errors.ts'
import { PropertyScan, propertyFlags } from '../../../shared/message/properties.ts'
import type { FrameDecoder } from '../codec/frame.ts'
import { bodyTooLong, messageTooLarge, propertiesTooLarge } from '../mapping/refusals.ts'
import type { ConnectionContext, Unsent } from './connection-context.ts'
import { Wait } from './connection-context.ts'
import type { PublishFacts } from './publish-properties.ts'
import { checkProperties, isSpecial, Special } from './publish-properties.ts'

/** Where a publish stands. */
export const ContentState = { idle: 0, header: 1, body: 2, unsent: 3 } as const
export type ContentState = (typeof ContentState)[keyof typeof ContentState]

/** What the assembly needs to know of its channel, and tells it. */
export interface PublishingChannel extends PublishFacts {
  /** The channel's slot on the bus. */
  readonly slot: number
  /** EntryFlag bits that the channel's mode adds to every publish. */
  publishFlags: number
  /** The link publishes go to; chosen at the first, from the names of that one. */
  ingress(names: Uint8Array, at: number, exchangeSize: number, keySize: number): GatewayLink
  /** A publish went into the ring. */
  onPublished(): void
}

export class ContentAssembly implements Unsent {
  state: ContentState
  private readonly context: ConnectionContext
  private readonly channel: PublishingChannel
  // Names of the publish: in `names` at `namesAt`, which is the chunk or `savedNames`.
  private names: Uint8Array
  private namesAt: number
  private savedNames: Uint8Array
  private exrkSize: number
  private exchangeSize: number
  private keySize: number
  private flags: number
  // The entry: its first extent, sizes, and further extents as (slab, offset, size).
  private link: GatewayLink | undefined
  private slab: number
  private at: number
  private extraSize: number
  private propsSize: number
  private bodySize: number
  private extents: number[]
  // Where the next body byte goes, and how many fit there.
  private roomSlab: number
  private roomAt: number
  private room: number
  private bodyLeft: number
  // Bytes of the present piece that were taken before the arena ran out.
  private pieceTaken: number

  constructor(context: ConnectionContext, channel: PublishingChannel) {
    this.context = context
    this.channel = channel
    this.state = ContentState.idle
    this.names = noBytes
    this.namesAt = 0
    this.savedNames = noBytes
    this.exrkSize = 0
    this.exchangeSize = 0
    this.keySize = 0
    this.flags = 0
    this.link = undefined
    this.slab = 0
    this.at = 0
    this.extraSize = 0
    this.propsSize = 0
    this.bodySize = 0
    this.extents = noExtents
    this.roomSlab = 0
    this.roomAt = 0
    this.room = 0
    this.bodyLeft = 0
    this.pieceTaken = 0
  }

  // HOT: once per publish
  /** A basic.publish. `stays`: its bytes stay in place until `saveNames` is called. */
  begin(decoder: FrameDecoder, stays: boolean): void {
    this.state = ContentState.header
    this.names = decoder.bytes
    this.namesAt = decoder.exrkAt
    this.exrkSize = decoder.exrkSize
    this.exchangeSize = decoder.exchangeSize
    this.keySize = decoder.routingKeySize
    this.flags = decoder.mandatory ? EntryFlag.mandatory : 0
    if (!stays) this.saveNames()
  }

  // HOT: once per publish
  /**
   * A basic.publish with all of its content (FrameDecoder.takeContent): every byte is copied once,
   * and nothing is remembered. Errors and `Wait.bus` as in `header`.
   */
  whole(decoder: FrameDecoder): PeerError | undefined {
    const { bytes, view, exrkSize, bodySize } = decoder
    const { channel, context } = this
    if (bodySize > context.settings.messageSizeMax) {
      return messageTooLarge(bodySize, context.settings.messageSizeMax)
    }
    scan.scanView(view, decoder.propsAt, decoder.propsSize)
    const error = this.lookAtProperties(decoder)
    if (error !== undefined) return error
    const { exrkAt, exchangeSize, routingKeySize } = decoder
    const link = channel.ingress(bytes, exrkAt, exchangeSize, routingKeySize)
    const { props, propsSize } = special
    const extraSize = special.extra.length
    const { slabs } = link
    if (!slabs.take(exrkSize + extraSize + propsSize + bodySize)) {
      context.waits |= Wait.bus
      return undefined
    }
    const { slab, at } = slabs
    const to = context.port.arena.slabView(slab)
    copyViewed(view, exrkAt, to, at, exrkSize)
    const propsTo = at + exrkSize + extraSize
    if (extraSize > 0) copyViewed(viewOf(special.extra), 0, to, at + exrkSize, extraSize)
    const propsView = props === bytes ? view : viewOf(props)
    copyViewed(propsView, special.propsAt, to, propsTo, propsSize)
    copyViewed(view, decoder.bodyAt, to, propsTo + propsSize, bodySize)
    const flags = (decoder.mandatory ? EntryFlag.mandatory : 0) | this.scannedFlags()
    if (link.publish(channel.slot, flags, slab, at, exrkSize, extraSize, propsSize, bodySize)) {
      channel.onPublished()
      return undefined
    }
    this.link = link
    this.flags = flags
    this.slab = slab
    this.at = at
    this.exrkSize = exrkSize
    this.extraSize = extraSize
    this.propsSize = propsSize
    this.bodySize = bodySize
    this.extents = noExtents
    this.keepUnsent()
    return undefined
  }

  /** The bytes that hold the names are about to go. */
  saveNames(): void {
    if (this.state !== ContentState.header || this.names === this.savedNames) return
    if (this.savedNames.length === 0) this.savedNames = new Uint8Array(namesSizeMax)
    copyBytes(this.names, this.namesAt, this.savedNames, 0, this.exrkSize)
    this.names = this.savedNames
    this.namesAt = 0
  }

  // HOT: once per publish
  /**
   * The content header. An error ends the channel. With `Wait.bus` set afterwards there was no room
   * and nothing has happened: put the frame back.
   */
  header(decoder: FrameDecoder): PeerError | undefined {
    const bodySize = decoder.contentSize
    if (bodySize > this.context.settings.messageSizeMax) {
      return messageTooLarge(bodySize, this.context.settings.messageSizeMax)
    }
    scan.scan(decoder.bytes, decoder.propsAt, decoder.propsSize)
    const error = this.lookAtProperties(decoder)
    if (error !== undefined) return error
    const { props, propsAt, propsSize } = special
    const extraSize = special.extra.length
    const link = this.channel.ingress(this.names, this.namesAt, this.exchangeSize, this.keySize)
    const prefix = this.exrkSize + extraSize + propsSize
    if (prefix > this.context.port.arena.slabBytes) return propertiesTooLarge(propsSize)
    if (!link.slabs.takeSome(prefix, bodySize)) {
      this.context.waits |= Wait.bus
      return undefined
    }
    this.link = link
    this.open(link, prefix, bodySize)
    this.extraSize = extraSize
    this.propsSize = propsSize
    const to = this.context.port.arena.slab(this.slab)
    copyBytes(this.names, this.namesAt, to, this.at, this.exrkSize)
    if (extraSize > 0) copyBytes(special.extra, 0, to, this.at + this.exrkSize, extraSize)
    copyBytes(props, propsAt, to, this.at + this.exrkSize + extraSize, propsSize)
    this.flags |= this.scannedFlags()
    if (bodySize === 0) this.finish()
    else this.state = ContentState.body
    return undefined
  }

  // HOT: once per piece of a body
  /** A piece of the body; an error ends the connection. `Wait.bus` as in `header`. */
  body(decoder: FrameDecoder): PeerError | undefined {
    const size = decoder.bodySize
    if (size > this.bodyLeft + this.pieceTaken) return bodyTooLong()
    let taken = this.pieceTaken
    while (taken < size) {
      if (this.room === 0 && !this.extend()) {
        this.pieceTaken = taken
        this.context.waits |= Wait.bus
        return undefined
      }
      const piece = Math.min(size - taken, this.room)
      const to = this.context.port.arena.slab(this.roomSlab)
      copyBytes(decoder.bytes, decoder.bodyAt + taken, to, this.roomAt, piece)
      taken += piece
      this.roomAt += piece
      this.room -= piece
      this.bodyLeft -= piece
    }
    this.pieceTaken = 0
    if (this.bodyLeft === 0 && decoder.frameEnd) this.finish()
    return undefined
  }

  /** Announces a complete entry that found the ring full. */
  retry(): boolean {
    if (this.state === ContentState.unsent) this.finish()
    return this.state !== ContentState.unsent
  }

  /** Gives up what is not announced. */
  abort(): void {
    if (this.state === ContentState.body || this.state === ContentState.unsent) this.closeRooms()
    if (this.context.unsent === this) this.context.unsent = undefined
    this.state = ContentState.idle
    this.names = noBytes
  }

  // HOT: once per publish
  // After scan.scan: `special` is what to store, as it came or rewritten.
  private lookAtProperties(decoder: FrameDecoder): PeerError | undefined {
    special.set(decoder.bytes, decoder.propsAt, decoder.propsSize)
    return isSpecial(scan) ? checkProperties(this.context, this.channel, scan, special) : undefined
  }

  private scannedFlags(): number {
    return this.channel.publishFlags | propertyFlags(scan)
  }

  private keepUnsent(): void {
    this.state = ContentState.unsent
    this.context.unsent = this
    this.context.waits |= Wait.bus
  }

  private open(link: GatewayLink, prefix: number, bodySize: number): void {
    const first = link.slabs.size - prefix
    this.slab = link.slabs.slab
    this.at = link.slabs.at
    this.roomSlab = this.slab
    this.roomAt = this.at + prefix
    this.room = first
    this.bodySize = bodySize
    this.bodyLeft = bodySize
    this.pieceTaken = 0
    if (this.extents.length > 0) this.extents = noExtents
  }

  // Room for more of the body, in a further extent.
  private extend(): boolean {
    const slabs = this.link?.slabs
    if (slabs === undefined || !slabs.takeSome(0, this.bodyLeft)) return false
    if (this.extents === noExtents) this.extents = []
    this.extents.push(slabs.slab, slabs.at, slabs.size)
    this.roomSlab = slabs.slab
    this.roomAt = slabs.at
    this.room = slabs.size
    return true
  }

  // HOT: once per publish
  private finish(): void {
    if (!this.announce()) {
      this.keepUnsent()
      return
    }
    this.state = ContentState.idle
    this.names = noBytes
    this.channel.onPublished()
  }

  private announce(): boolean {
    const link = this.link
    if (link === undefined) return true
    const slot = this.channel.slot
    const { slab, at, exrkSize, extraSize, propsSize, bodySize } = this
    if (this.extents.length === 0) {
      return link.publish(slot, this.flags, slab, at, exrkSize, extraSize, propsSize, bodySize)
    }
    return link.publishExtents(
      slot,
      this.flags,
      slab,
      at,
      exrkSize,
      extraSize,
      propsSize,
      bodySize,
      this.extents,
    )
  }

  private closeRooms(): void {
    const slabs = this.link?.slabs
    if (slabs === undefined) return
    slabs.close(this.slab)
    for (let i = 0; i < this.extents.length; i += 3) slabs.close(this.extents[i] as number)
  }
}

/** Two shortstrs. */
const namesSizeMax = 512

const noBytes = new Uint8Array(0)
const noExtents: number[] = []
// One publish is looked at at a time: its results are used before the next frame is decoded.
const scan = new PropertyScan()
const special = new Special()
