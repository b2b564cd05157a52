// What the parts of one connection share: its facts, its way out, and why it is not reading.

import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { Alarm, NodeWord } from '../../../shared/bus/link.ts'
import { SettleBacklog } from '../../../shared/bus/settle-backlog.ts'
import { Window } from '../../../shared/bus/window.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import type { PeerError } from '../../../shared/errors.ts'
import type { Outbox, SessionHost } from '../../host/protocol.ts'
import type { Method } from '../codec/method.ts'
import { encodeMethodFrame } from '../codec/method.ts'
import type { ClientCapabilities } from '../mapping/server-properties.ts'
import type { AmqpSettings } from '../mapping/settings.ts'
import { copyOut } from './copy-out.ts'

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

/** Somebody who found a ring full: asked again after the bus was drained. */
export interface Unsent {
  /** True when nothing is left to send. */
  retry(): boolean
}

export class ConnectionContext {
  readonly host: SessionHost
  readonly port: GatewayPort
  readonly out: Outbox
  readonly settings: AmqpSettings
  readonly window: Window
  readonly settles: SettleBacklog
  /** Bits of `Wait`. */
  waits: number
  /** With Wait.rate: until when, by the host's clock. */
  heldUntil: number
  /** The connection's slot on the bus; 0 before connection.open. */
  slot: number
  vhost: string
  user: string
  /** The user's name as properties carry it. */
  userBytes: Uint8Array
  /** The user may publish under any user-id. */
  impersonator: boolean
  capabilities: ClientCapabilities
  /** Body bytes of one frame at most. */
  bodyFrameMax: number
  /** Something was written since this was last cleared. */
  wrote: boolean
  /** The channel whose op has no answer yet. */
  operating: object | undefined
  /** Consumers that their queue's end has cancelled, to be told after the answer that is due. */
  readonly late: (() => void)[]
  /** The one publish that is complete but not announced. */
  unsent: Unsent | undefined
  /** Tokens of channels that are not granted yet. */
  readonly ungranted: Set<Unsent>
  /** Waits for the settlements before it to be in the ring. */
  afterSettles: (() => void) | undefined
  /** Scratch of UnackedTags.takeRange: last delivery id by shard, and 1 where there is one. */
  readonly rangeIds: Int32Array
  readonly rangePresent: Uint8Array
  private readonly onFailure: (error: PeerError, classId: number, methodId: number) => void

  constructor(
    host: SessionHost,
    settings: AmqpSettings,
    onFailure: (error: PeerError, classId: number, methodId: number) => void,
  ) {
    this.host = host
    this.port = host.port
    this.out = host.out
    this.settings = settings
    this.window = new Window(host.port)
    this.settles = new SettleBacklog(host.port)
    this.waits = 0
    this.heldUntil = 0
    this.slot = 0
    this.vhost = ''
    this.user = ''
    this.userBytes = new Uint8Array(0)
    this.impersonator = false
    this.capabilities = noCapabilities
    this.bodyFrameMax = 0
    this.wrote = false
    this.operating = undefined
    this.late = []
    this.unsent = undefined
    this.ungranted = new Set()
    this.afterSettles = undefined
    this.rangeIds = new Int32Array(host.port.shardCount)
    this.rangePresent = new Uint8Array(host.port.shardCount)
    this.onFailure = onFailure
  }

  /** An op of `channel` is on its way: nothing is read before its answer. */
  await(channel: object): void {
    this.operating = channel
    this.waits |= Wait.reply
  }

  /** The answer is there. False if it is no longer waited for. */
  answered(channel: object): boolean {
    if (this.operating !== channel) return false
    this.operating = undefined
    this.waits &= ~Wait.reply
    return true
  }

  /** Sends what had to come behind the answer to an op. */
  sendLate(): void {
    for (const tell of this.late.splice(0)) tell()
  }

  /** No answer will come for `channel`. */
  abandon(channel: object): void {
    this.answered(channel)
  }

  /** Writes a method frame. */
  send(channel: number, method: Method): void {
    scratch.at = 0
    encodeMethodFrame(scratch, channel, method)
    copyOut(this.out, scratch.bytes, 0, scratch.at)
    this.touch()
  }

  // HOT: once per delivery
  /** Something was written to the outbox. */
  touch(): void {
    this.wrote = true
    this.out.touch()
  }

  /** A publish went out while an alarm is on: no more is read until it ends. */
  blockPublisher(alarms: number): void {
    if ((this.waits & Wait.alarm) !== 0) return
    this.waits |= Wait.alarm
    if (!this.capabilities.connectionBlocked) return
    this.send(0, { kind: 'connection.blocked', reason: alarmReason(alarms) })
  }

  /** Lets a blocked publisher go on if the alarm has ended. */
  endAlarm(): void {
    if ((this.waits & Wait.alarm) === 0 || this.port.nodeWords[NodeWord.alarms] !== 0) return
    this.waits &= ~Wait.alarm
    if (this.capabilities.connectionBlocked) this.send(0, { kind: 'connection.unblocked' })
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

  /** Runs `next` once all settlements so far are in the rings: now or after a wait. */
  whenSettled(next: () => void): void {
    if (this.settles.flush()) {
      next()
    } else {
      this.waits |= Wait.bus
      this.afterSettles = next
    }
  }

  /** Sends what found no room. True when there is nothing left, so that reading can go on. */
  retry(): boolean {
    if (!this.settles.flush()) return false
    const next = this.afterSettles
    this.afterSettles = undefined
    next?.()
    if (this.unsent !== undefined) {
      if (!this.unsent.retry()) return false
      this.unsent = undefined
    }
    for (const tokens of this.ungranted) {
      if (!tokens.retry()) return false
      this.ungranted.delete(tokens)
    }
    return this.window.giveBack(this.slot)
  }

  /** Ends the connection with an error; `classId` and `methodId` name the method at fault, or 0. */
  fail(error: PeerError, classId: number, methodId: number): void {
    this.onFailure(error, classId, methodId)
  }
}

function alarmReason(alarms: number): string {
  const reasons: string[] = []
  if ((alarms & Alarm.memory) !== 0) reasons.push('memory')
  if ((alarms & Alarm.disk) !== 0) reasons.push('disk')
  return `low on ${reasons.join(' & ')}`
}

// Cold frames of all connections of the thread are built here, one at a time.
const scratch = new Writer(1024)

const noCapabilities: ClientCapabilities = {
  authenticationFailureClose: false,
  consumerCancelNotify: false,
  connectionBlocked: false,
}
