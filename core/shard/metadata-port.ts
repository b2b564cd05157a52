// Shard 0's end of the channel to the thread that keeps the metadata.

import type { MessagePort } from 'node:worker_threads'
import { receiveMessageOnPort } from 'node:worker_threads'
import type { MetadataReport, MetadataWrite } from '../store/metadata-mail.ts'
import type { MetadataStore } from '../store/metadata-store.ts'

export type LoadedMetadata = Extract<MetadataReport, { readonly report: 'loaded' }>

export class MetadataPort implements MetadataStore {
  durableUpTo: number
  private readonly port: MessagePort
  private readonly onLoaded: (loaded: LoadedMetadata) => void
  private lastPosition: number

  /** `onLoaded` is called once, from `receive`. */
  constructor(port: MessagePort, onLoaded: (loaded: LoadedMetadata) => void) {
    this.port = port
    this.onLoaded = onLoaded
    this.durableUpTo = 0
    this.lastPosition = 0
  }

  write(rows: Uint8Array<ArrayBuffer>): number {
    this.lastPosition++
    const write: MetadataWrite = { position: this.lastPosition, rows }
    this.port.postMessage(write, [rows.buffer])
    return this.lastPosition
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
      else this.onLoaded(report)
    }
  }
}
