// From a client's message to a publish on the bus: room in slabs, the entry, the record.

import type { GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { EntryFlag, extentWords, priorityShift } from '../../../shared/bus/wire.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import { MessageIn } from '../mapping/message-in.ts'
import { BodyLayout, bodyLayoutOf, forEachData } from '../mapping/native-part.ts'
import type { ConnectionContext, Unsent } from './connection-context.ts'
import { Wait } from './connection-context.ts'

/** The session that publishes. */
export interface PublishingSession {
  readonly context: ConnectionContext
  /** Its slot on the bus. */
  readonly slot: number
  /** A publish went into the ring. */
  onPublished(): void
}

/** One message at a time per connection is converted, so one converter does for all. */
export const incoming: MessageIn = new MessageIn()

/** Publishes of one session; keeps the one that found the ring full. */
export class Publishing implements Unsent {
  private readonly session: PublishingSession
  private link: GatewayLink | undefined
  private flags: number
  private slab: number
  private at: number
  private exrkSize: number
  private extraSize: number
  private propsSize: number
  private bodySize: number
  private extents: readonly number[]

  constructor(session: PublishingSession) {
    this.session = session
    this.link = undefined
    this.flags = 0
    this.slab = 0
    this.at = 0
    this.exrkSize = 0
    this.extraSize = 0
    this.propsSize = 0
    this.bodySize = 0
    this.extents = noExtents
  }

  // HOT: once per publish
  /**
   * Publishes the message that `incoming` has converted from `bytes`, to the exchange and routing
   * key in `exrk`. False: there is no room for it now, and nothing has happened; come again.
   */
  publish(
    link: GatewayLink,
    exrk: Uint8Array,
    exrkSize: number,
    bytes: Uint8Array,
    flags: number,
  ): boolean {
    const { scan, props, extra } = incoming
    const layout = bodyLayoutOf(scan)
    let bodyAt = scan.dataAt
    let bodySize = scan.dataSize
    if (layout === BodyLayout.encoded) {
      bodyAt = scan.bodyAt
      bodySize = (scan.footerAt < 0 ? scan.bodyEnd : scan.footerEnd) - bodyAt
    }
    let body = bytes
    if (layout === BodyLayout.dataList) {
      body = joinData(bytes)
      bodyAt = 0
      bodySize = body.length
    }
    const prefix = exrkSize + extra.at + props.at
    const { context } = this.session
    const { slabs } = link
    if (prefix + bodySize > wholeMax)
      return this.publishLarge(link, exrk, exrkSize, body, bodyAt, bodySize, flags)
    if (!slabs.take(prefix + bodySize)) return this.stuck()
    const { slab, at } = slabs
    const to = context.port.arena.slab(slab)
    this.writePrefix(to, at, exrk, exrkSize)
    copyBytes(body, bodyAt, to, at + prefix, bodySize)
    const all = flags | incomingFlags()
    if (link.publish(this.session.slot, all, slab, at, exrkSize, extra.at, props.at, bodySize)) {
      this.session.onPublished()
      return true
    }
    this.keep(link, all, slab, at, exrkSize, bodySize, noExtents)
    return true
  }

  /** Announces an entry that found the ring full. */
  retry(): boolean {
    const { link } = this
    if (link === undefined) return true
    const { slot } = this.session
    const { flags, slab, at, exrkSize, extraSize, propsSize, bodySize, extents } = this
    const sent =
      extents.length === 0
        ? link.publish(slot, flags, slab, at, exrkSize, extraSize, propsSize, bodySize)
        : link.publishExtents(
            slot,
            flags,
            slab,
            at,
            exrkSize,
            extraSize,
            propsSize,
            bodySize,
            extents,
          )
    if (!sent) return false
    this.link = undefined
    this.extents = noExtents
    this.session.onPublished()
    return true
  }

  /** Gives up what is not announced. */
  abort(): void {
    const { link } = this
    this.session.context.forget(this)
    if (link === undefined) return
    this.link = undefined
    link.slabs.close(this.slab)
    closeAll(link, this.extents)
  }

  private publishLarge(
    link: GatewayLink,
    exrk: Uint8Array,
    exrkSize: number,
    body: Uint8Array,
    bodyAt: number,
    bodySize: number,
    flags: number,
  ): boolean {
    const { slabs } = link
    const { arena } = this.session.context.port
    const prefix = exrkSize + incoming.extra.at + incoming.props.at
    const extents: number[] = []
    let written = 0
    if (!slabs.takeSome(prefix, bodySize)) return this.stuck()
    const { slab, at } = slabs
    this.writePrefix(arena.slab(slab), at, exrk, exrkSize)
    written = slabs.size - prefix
    copyBytes(body, bodyAt, arena.slab(slab), at + prefix, written)
    while (written < bodySize) {
      if (!slabs.takeSome(0, bodySize - written)) {
        slabs.close(slab)
        closeAll(link, extents)
        return this.stuck()
      }
      extents.push(slabs.slab, slabs.at, slabs.size)
      copyBytes(body, bodyAt + written, arena.slab(slabs.slab), slabs.at, slabs.size)
      written += slabs.size
    }
    this.keep(link, flags | incomingFlags(), slab, at, exrkSize, bodySize, extents)
    return true
  }

  // HOT: once per publish
  private writePrefix(to: Uint8Array, at: number, exrk: Uint8Array, exrkSize: number): void {
    const { props, extra } = incoming
    copyBytes(exrk, 0, to, at, exrkSize)
    if (extra.at > 0) copyBytes(extra.bytes, 0, to, at + exrkSize, extra.at)
    copyBytes(props.bytes, 0, to, at + exrkSize + extra.at, props.at)
  }

  private keep(
    link: GatewayLink,
    flags: number,
    slab: number,
    at: number,
    exrkSize: number,
    bodySize: number,
    extents: readonly number[],
  ): void {
    this.link = link
    this.flags = flags
    this.slab = slab
    this.at = at
    this.exrkSize = exrkSize
    this.extraSize = incoming.extra.at
    this.propsSize = incoming.props.at
    this.bodySize = bodySize
    this.extents = extents
    if (!this.retry()) this.session.context.retryLater(this)
  }

  private stuck(): false {
    this.session.context.waits |= Wait.bus
    return false
  }
}

function incomingFlags(): number {
  return (
    (incoming.persistent ? EntryFlag.persistent : 0) |
    (incoming.headers ? EntryFlag.headers : 0) |
    (incoming.expiration ? EntryFlag.expiration : 0) |
    (incoming.priority << priorityShift)
  )
}

// The contents of several data sections, one behind the other.
function joinData(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = []
  forEachData(bytes, incoming.scan, (_headAt, dataAt, size) => {
    parts.push(bytes.subarray(dataAt, dataAt + size))
  })
  return Buffer.concat(parts)
}

function closeAll(link: GatewayLink, extents: readonly number[]): void {
  for (let i = 0; i < extents.length; i += extentWords) link.slabs.close(extents[i] as number)
}

/** Entries up to this lie in one piece, whatever is left of a slab. */
const wholeMax = 32 * 1024

const noExtents: readonly number[] = []
