// The channels of one connection by number: open ones, and those that wait for close-ok.

import type { PeerError } from '../../../shared/errors.ts'
import { methodIds } from '../codec/method.ts'
import { tooManyChannels } from '../mapping/refusals.ts'
import { registryShard } from './ask.ts'
import { Channel } from './channel.ts'
import type { ConnectionContext } from './connection-context.ts'

export class ChannelTable {
  /** Channels at the same time; 0: any number. */
  max: number
  private readonly context: ConnectionContext
  private readonly channels: Map<number, Channel>
  // Most frames are for the same channel as the one before.
  private lastNumber: number
  private last: Channel | undefined

  constructor(context: ConnectionContext) {
    this.max = 0
    this.context = context
    this.channels = new Map()
    this.lastNumber = -1
    this.last = undefined
  }

  // HOT: once per frame
  /** The channel with that number, open or closing. */
  find(number: number): Channel | undefined {
    return number === this.lastNumber ? this.last : this.lookUp(number)
  }

  /** Opens a channel; the error ends the connection. */
  open(number: number): PeerError | undefined {
    const count = this.channels.size
    if (this.max !== 0 && count >= this.max) return tooManyChannels(count, this.max)
    this.lastNumber = -1
    const { context } = this
    const channel = new Channel(context, number, (forgotten) => this.forget(forgotten))
    this.channels.set(number, channel)
    context.await(channel)
    channel.start(registryShard, ({ error }) => {
      if (!context.answered(channel)) return
      if (error === undefined) context.send(number, { kind: 'channel.open-ok' })
      else context.fail(error, open.classId, open.methodId)
      context.sendLate()
    })
    return undefined
  }

  /** A method for a channel that we have closed: only the end of that counts. */
  onClosingMethod(channel: Channel, classId: number, methodId: number): void {
    if (classId !== closeOk.classId) return
    if (methodId === closeOk.methodId) this.forget(channel)
    else if (methodId === close.methodId) {
      this.context.send(channel.number, { kind: 'channel.close-ok' })
    }
  }

  /** All channels, as they are now. */
  list(): Channel[] {
    return [...this.channels.values()]
  }

  private lookUp(number: number): Channel | undefined {
    const channel = this.channels.get(number)
    this.lastNumber = number
    this.last = channel
    return channel
  }

  private forget(channel: Channel): void {
    if (this.channels.get(channel.number) === channel) this.channels.delete(channel.number)
    this.lastNumber = -1
    this.last = undefined
  }
}

const open = methodIds('channel.open')
const close = methodIds('channel.close')
const closeOk = methodIds('channel.close-ok')
