// What the parts of one connection share: its facts, its way out, and why it is not reading.

import type { ControlOp, ControlReply } from '../../../shared/bus/control.ts'
import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { NodeWord } from '../../../shared/bus/link.ts'
import { SettleBacklog } from '../../../shared/bus/settle-backlog.ts'
import { Window } from '../../../shared/bus/window.ts'
import { copyOut } from '../../host/entry-output.ts'
import type { Outbox, SessionHost } from '../../host/protocol.ts'
import type { HeaderLine } from '../codec/frame-writer.ts'
import { encodeFrame } from '../codec/frame-writer.ts'
import type { Failure } from '../mapping/failure.ts'
import type { StompVersion } from '../mapping/login.ts'
import { supportedVersions } from '../mapping/login.ts'
import { escapeHeader } from '../mapping/message-headers.ts'
import type { StompSettings } from '../mapping/settings.ts'

/** Reasons, as bits, why the connection takes no more bytes. */
export const Wait = {
  /** A control op has no answer yet. */
  reply: 1,
  /** A ring is full, or the arena: something must be sent first. */
  bus: 2,
  /** Memory or disk alarm, and this connection publishes. */
  alarm: 4,
  /** It has published faster than it may. */
  rate: 8,
} as const

/** The shard of the registry, where everything is declared. */
export const registryShard = 0

/** Somebody who found a ring full: asked again after the bus was drained. */
export interface Unsent {
  /** True when nothing is left to send. */
  retry(): boolean
}

export class StompContext {
  readonly host: SessionHost
  readonly port: GatewayPort
  readonly out: Outbox
  readonly settings: StompSettings
  readonly window: Window
  readonly settles: SettleBacklog
  /** Bits of `Wait`. */
  waits: number
  /** With Wait.rate: until when, by the host's clock. */
  heldUntil: number
  /** False from the end on: answers that still come concern nobody. */
  alive: boolean
  /** The connection's slot on the bus; 0 before it is opened. */
  slot: number
  version: StompVersion
  /** `session-...`, which CONNECTED and every message id name. */
  session: string
  vhost: string
  user: string
  impersonator: boolean
  /** For the next delivery of any subscription. */
  nextTag: number
  /** Something was written since this was last cleared. */
  wrote: boolean
  /** The one publish that is complete but not announced. */
  unsent: Unsent | undefined
  /** Scratch of UnackedTags.takeRange. */
  readonly rangeIds: Int32Array
  readonly rangePresent: Uint8Array
  private readonly onFailure: (failure: Failure) => void

  constructor(host: SessionHost, settings: StompSettings, onFailure: (failure: Failure) => void) {
    this.host = host
    this.port = host.port
    this.out = host.out
    this.settings = settings
    this.window = new Window(host.port)
    this.settles = new SettleBacklog(host.port)
    this.waits = 0
    this.heldUntil = 0
    this.alive = true
    this.slot = 0
    this.version = '1.0'
    this.session = ''
    this.vhost = ''
    this.user = ''
    this.impersonator = false
    this.nextTag = 1
    this.wrote = false
    this.unsent = undefined
    this.rangeIds = new Int32Array(host.port.shardCount)
    this.rangePresent = new Uint8Array(host.port.shardCount)
    this.onFailure = onFailure
  }

  /** Sends `op`; nothing is read before `next` has the answer. */
  ask(shard: number, op: ControlOp, next: (reply: ControlReply) => void): void {
    this.waits |= Wait.reply
    this.port.request(shard, op, {
      onReply: (reply) => {
        if (!this.alive) return
        this.waits &= ~Wait.reply
        next(reply)
      },
    })
  }

  /** Writes a frame. */
  send(command: string, headers: readonly HeaderLine[], body: string): void {
    const bytes = encodeFrame(command, headers, body, this.settings.trailingLineFeed)
    copyOut(this.out, bytes, 0, bytes.length)
    this.touch()
  }

  /** Answers a frame that asked for it. */
  sendReceipt(id: string): void {
    this.send('RECEIPT', [['receipt-id', escapeHeader(id)]], '')
  }

  /** Writes an ERROR frame; `receipt` is the id that the frame at fault asked a receipt for. */
  sendError(failure: Failure, receipt: string | undefined): void {
    const headers: HeaderLine[] = [
      ['message', escapeHeader(failure.message)],
      ['content-type', 'text/plain'],
      ['version', supportedVersions],
    ]
    if (failure.subscription !== undefined)
      headers.push(['subscription', escapeHeader(failure.subscription)])
    if (receipt !== undefined) headers.push(['receipt-id', escapeHeader(receipt)])
    this.send('ERROR', headers, failure.body)
  }

  // HOT: once per delivery
  /** Something was written to the outbox. */
  touch(): void {
    this.wrote = true
    this.out.touch()
  }

  /** Says what went wrong apart from any frame, and ends the connection where that is due. */
  fail(failure: Failure): void {
    this.onFailure(failure)
  }

  // HOT: once per publish
  /** A publish went out: while an alarm is on, no more is read. */
  published(): void {
    // A plain read: an alarm need not stop this very message.
    if (this.port.nodeWords[NodeWord.alarms] !== 0) this.waits |= Wait.alarm
  }

  /** Lets a blocked publisher go on if the alarm has ended. */
  endAlarm(): void {
    if (this.port.nodeWords[NodeWord.alarms] === 0) this.waits &= ~Wait.alarm
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

  // HOT: once per acknowledgement
  /** Settles one delivery or all up to it; if it has to wait, the connection does. */
  settle(shard: number, channel: number, deliveryId: number, outcome: number, upTo: boolean): void {
    if (!this.settles.settle(shard, channel, deliveryId, outcome, upTo)) this.waits |= Wait.bus
  }

  /** Sends what found no room. True when there is nothing left, so that reading can go on. */
  retry(): boolean {
    if (!this.settles.flush()) return false
    if (this.unsent !== undefined) {
      if (!this.unsent.retry()) return false
      this.unsent = undefined
    }
    return this.window.giveBack(this.slot)
  }
}
