/** One MQTT connection of the generator; acknowledges by itself what comes with QoS 1. */

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { acknowledge, MqttScanner } from './mqtt-wire.ts'
import type { LoadOptions } from './options.ts'

const ANSWER_TIMEOUT_MS = 60_000
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024)

/** A logged-in client. */
export class MqttLoad {
  readonly socket: Socket
  readonly scanner: MqttScanner
  bytesRead: number
  failure: Error | undefined
  onChunk: () => void
  #onFailure: () => void

  constructor(options: LoadOptions) {
    this.scanner = new MqttScanner()
    this.bytesRead = 0
    this.failure = undefined
    this.onChunk = () => {}
    this.#onFailure = () => {}
    this.socket = connect({
      host: options.host,
      port: options.mqttPort,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (size: number): boolean => {
          this.bytesRead += size
          this.scanner.push(readBuffer.subarray(0, size))
          if (this.scanner.ids.length > 0) this.socket.write(acknowledge(this.scanner.ids))
          this.onChunk()
          return true
        },
      },
    })
    this.socket.on('error', (error) => {
      this.failure ??= error
      this.#onFailure()
    })
    this.socket.on('close', () => {
      this.failure ??= new Error('the broker closed an MQTT connection')
      this.#onFailure()
    })
  }

  /** Sends and waits for one CONNACK, SUBACK or UNSUBACK more than there have been. */
  async ask(bytes: Buffer): Promise<void> {
    const wanted = this.scanner.answers + 1
    this.socket.write(bytes)
    await this.until(() => this.scanner.answers >= wanted)
  }

  /** Waits for a chunk that makes it so. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((done, failed) => {
      const give = (error: Error | undefined): void => {
        clearTimeout(timer)
        this.onChunk = () => {}
        this.#onFailure = () => {}
        if (error === undefined) done()
        else failed(error)
      }
      const look = (): void => {
        if (this.failure !== undefined) give(this.failure)
        else if (condition()) give(undefined)
      }
      const timer = setTimeout(
        () => give(new Error('no answer to an MQTT packet')),
        ANSWER_TIMEOUT_MS,
      )
      this.onChunk = look
      this.#onFailure = look
      look()
    })
  }

  drained(): Promise<void> {
    return new Promise((done) => {
      this.socket.once('drain', () => done())
    })
  }

  end(): void {
    this.failure = new Error('ended')
    this.socket.destroy()
  }
}
