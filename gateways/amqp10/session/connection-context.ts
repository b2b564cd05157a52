// What the parts of one connection share: its facts, its way out, and why it is not reading.

import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { SettleBacklog } from '../../../shared/bus/settle-backlog.ts'
import { Window } from '../../../shared/bus/window.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import type { Outbox, SessionHost } from '../../host/protocol.ts'
import { FrameType } from '../codec/frame.ts'
import { writeFrame } from '../codec/frame-writer.ts'
import type { CompositeFields, CompositeKind } from '../codec/spec.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import type { Amqp10Settings } from '../mapping/settings.ts'
import { copyOut } from './copy-out.ts'

/** Reasons, as bits, why the connection takes no more bytes. */
export const Wait = {
  /** A control op has no answer yet. */
  reply: 1,
  /** A ring is full, or the arena: something must be sent first. */
  bus: 2,
  /** It has published faster than it may. */
  rate: 4,
} as const

/** Somebody who found a ring full: asked again after the bus was drained. */
export interface Unsent {
  /** True when nothing is left to send. */
  retry(): boolean
}

export class ConnectionContext {
  readonly host: SessionHost
  readonly port: GatewayPort
  readonly out: Outbox
  readonly settings: Amqp10Settings
  readonly window: Window
  readonly settles: SettleBacklog
  /** Bits of `Wait`. */
  waits: number
  /** The connection's slot on the bus; 0 before it is open. */
  slot: number
  /** Unique in the node's life: owns exclusive queues. */
  readonly owner: string
  vhost: string
  user: string
  userBytes: Uint8Array
  /** The user may publish under any user-id. */
  impersonator: boolean
  containerId: string
  /** Largest frame that the peer takes. */
  frameMax: number
  /** Something was written since this was last cleared. */
  wrote: boolean
  /** With Wait.rate: until when, by the host's clock. */
  private heldUntil: number
  /** Bytes of messages that have come in part, of all links. */
  gathered: number
  /** Who waits for the answer to an op. */
  private operating: object | undefined
  private readonly unsent: Set<Unsent>
  private readonly onFailure: (error: AmqpError) => void

  constructor(
    host: SessionHost,
    settings: Amqp10Settings,
    owner: string,
    onFailure: (error: AmqpError) => void,
  ) {
    this.host = host
    this.port = host.port
    this.out = host.out
    this.settings = settings
    this.window = new Window(host.port)
    this.settles = new SettleBacklog(host.port)
    this.waits = 0
    this.slot = 0
    this.owner = owner
    this.vhost = ''
    this.user = ''
    this.userBytes = new Uint8Array(0)
    this.impersonator = false
    this.containerId = ''
    this.frameMax = 512
    this.wrote = false
    this.heldUntil = 0
    this.gathered = 0
    this.operating = undefined
    this.unsent = new Set()
    this.onFailure = onFailure
  }

  /** An op of `who` is on its way: nothing is read before its answer. */
  await(who: object): void {
    this.operating = who
    this.waits |= Wait.reply
  }

  /** The answer is there. False if it is no longer waited for. */
  answered(who: object): boolean {
    if (this.operating !== who) return false
    this.operating = undefined
    this.waits &= ~Wait.reply
    return true
  }

  /** No answer is waited for any more. */
  abandon(): void {
    this.operating = undefined
    this.waits = 0
  }

  /** It has published too fast: no more is read for `ms`. */
  holdFor(ms: number): void {
    this.heldUntil = Math.max(this.heldUntil, this.host.now() + ms)
    this.waits |= Wait.rate
    this.host.wakeAt(this.heldUntil)
  }

  /** Lets it go on if it has been held for long enough. */
  endHold(): void {
    if (this.host.now() >= this.heldUntil) this.waits &= ~Wait.rate
  }

  /** Writes a frame of one performative. */
  send<K extends CompositeKind>(channel: number, kind: K, fields: CompositeFields<K>): void {
    this.sendAs(FrameType.amqp, channel, kind, fields)
  }

  sendAs<K extends CompositeKind>(
    type: number,
    channel: number,
    kind: K,
    fields: CompositeFields<K>,
  ): void {
    scratch.at = 0
    writeFrame(scratch, type, channel, kind, fields)
    copyOut(this.out, scratch.bytes, 0, scratch.at)
    this.touch()
  }

  /** Writes bytes that are no frame. */
  sendBytes(bytes: Uint8Array): void {
    copyOut(this.out, bytes, 0, bytes.length)
    this.touch()
  }

  // HOT: once per delivery
  /** Something was written to the outbox. */
  touch(): void {
    this.wrote = true
    this.out.touch()
  }

  // HOT: once per settled delivery
  /** Settles one delivery or all up to it; if it has to wait, the connection does. */
  settle(shard: number, channel: number, deliveryId: number, outcome: number, upTo: boolean): void {
    if (!this.settles.settle(shard, channel, deliveryId, outcome, upTo)) this.waits |= Wait.bus
  }

  /** Asks `who` again when the bus has moved; nothing is read until it has sent what it wants to. */
  retryLater(who: Unsent): void {
    this.unsent.add(who)
    this.waits |= Wait.bus
  }

  /** Asks `who` to send when the turn's output is out; reading goes on meanwhile. */
  sendAfterFlush(who: Unsent): void {
    this.unsent.add(who)
    this.out.touch()
  }

  /** `who` is gone: it has nothing to send any more. */
  forget(who: Unsent): void {
    this.unsent.delete(who)
  }

  /** Sends what found no room. True when there is nothing left, so that reading can go on. */
  retry(): boolean {
    if (!this.settles.flush()) return false
    for (const who of this.unsent) {
      if (!who.retry()) return false
      this.unsent.delete(who)
    }
    return this.window.giveBack(this.slot)
  }

  /** Ends the connection with an error. */
  fail(error: AmqpError): void {
    this.onFailure(error)
  }
}

// Cold frames of all connections of the thread are built here, one at a time.
const scratch = new Writer(1024)
