// A map from names, keyed by their UTF-8 bytes, so that a name can be looked up where it lies in a
// message.

import { ByteIndex } from './byte-index.ts'

const encoder = new TextEncoder()

export class ByteMap<V> {
  readonly #index = new ByteIndex()
  readonly #values: (V | undefined)[] = []

  get size(): number {
    return this.#index.size
  }

  /** The value of the name `bytes[start, end)`. */
  find(bytes: Uint8Array, start: number, end: number): V | undefined {
    const number = this.#index.find(bytes, start, end)
    return number < 0 ? undefined : this.#values[number]
  }

  get(name: string): V | undefined {
    const bytes = encoder.encode(name)
    return this.find(bytes, 0, bytes.length)
  }

  set(name: string, value: V): void {
    const bytes = encoder.encode(name)
    this.#values[this.#index.intern(bytes, 0, bytes.length)] = value
  }

  delete(name: string): void {
    const bytes = encoder.encode(name)
    const number = this.#index.find(bytes, 0, bytes.length)
    if (number < 0) return
    this.#values[number] = undefined
    this.#index.release(number)
  }
}
