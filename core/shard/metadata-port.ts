// Shard 0's end of the channel to the thread that keeps the metadata.

import type { MessagePort } from 'node:worker_threads'
import { receiveMessageOnPort } from 'node:worker_threads'
import type { ControlReply } from '../../shared/bus/control.ts'
import { unpack } from '../../shared/bus/control.ts'
import type {
  KeyedRead,
  KeyedWrite,
  MetadataReport,
  MetadataWrite,
} from '../store/metadata-mail.ts'
import type { MetadataStore } from '../store/metadata-store.ts'

export type LoadedMetadata = Extract<MetadataReport, { readonly report: 'loaded' }>

export class MetadataPort implements MetadataStore {
  durableUpTo: number
  refuses: boolean
  refused: boolean
  keyedDurableUpTo: number
  private readonly port: MessagePort
  private readonly onLoaded: (loaded: LoadedMetadata) => void
  private lastPosition: number
  /** How many were accepted. */
  private refusals: number
  private lastKeyed: number
  private readonly reads: Map<number, (reply: ControlReply) => void>
  private lastRead: number

  /** `onLoaded` is called once, from `receive`. */
  constructor(port: MessagePort, onLoaded: (loaded: LoadedMetadata) => void) {
    this.port = port
    this.onLoaded = onLoaded
    this.durableUpTo = 0
    this.refuses = false
    this.refused = false
    this.keyedDurableUpTo = 0
    this.lastPosition = 0
    this.refusals = 0
    this.lastKeyed = 0
    this.reads = new Map()
    this.lastRead = 0
  }

  write(rows: Uint8Array<ArrayBuffer>): number {
    this.lastPosition++
    const { lastPosition: position, refusals } = this
    const write: MetadataWrite = { position, refusals, rows }
    this.port.postMessage(write, [rows.buffer])
    return position
  }

  acceptRefusal(): void {
    this.refused = false
    this.refusals++
  }

  writeKeyed(rows: Uint8Array<ArrayBuffer>): number {
    this.lastKeyed++
    const write: KeyedWrite = { keyedPosition: this.lastKeyed, rows }
    this.port.postMessage(write, [rows.buffer])
    return this.lastKeyed
  }

  readKeyed(op: Uint8Array, answer: (reply: ControlReply) => void): void {
    this.lastRead++
    this.reads.set(this.lastRead, answer)
    const read: KeyedRead = { request: this.lastRead, op: new Uint8Array(op) }
    this.port.postMessage(read)
  }

  /** Reads what has come; called when the doorbell says that there is mail. */
  receive(): void {
    const { port } = this
    for (
      let got = receiveMessageOnPort(port);
      got !== undefined;
      got = receiveMessageOnPort(port)
    ) {
      const report = got.message as MetadataReport
      if (report.report === 'durable') this.durableUpTo = report.position
      else if (report.report === 'refused') {
        this.refuses = true
        this.refused = true
      } else if (report.report === 'room') this.refuses = false
      else if (report.report === 'keyedDurable') this.keyedDurableUpTo = report.position
      else if (report.report === 'keyedAnswer') this.onAnswer(report.request, report.reply)
      else this.onLoaded(report)
    }
  }

  private onAnswer(request: number, reply: Uint8Array): void {
    const answer = this.reads.get(request)
    this.reads.delete(request)
    answer?.(unpack<ControlReply>(reply))
  }
}
