// Changed rows on their way to the thread that writes them: one buffer, so that handing it over
// copies nothing.
//
//   key size (u32) | value size (u32; removed rows: 0xffffffff) | key | value     ... and the next

const headBytes = 8
const removed = 0xffffffff

/** Gathers rows that are to be written together. */
export class RowBatch {
  private bytes: Uint8Array<ArrayBuffer>
  private size: number

  constructor() {
    this.bytes = new Uint8Array(1024)
    this.size = 0
  }

  isEmpty(): boolean {
    return this.size === 0
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.append(key, value)
  }

  remove(key: Uint8Array): void {
    this.append(key, undefined)
  }

  /** The gathered rows, in a buffer of their own size; the batch starts anew. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.bytes.slice(0, this.size)
    this.size = 0
    return taken
  }

  private append(key: Uint8Array, value: Uint8Array | undefined): void {
    const end = this.size + headBytes + key.length + (value?.length ?? 0)
    if (end > this.bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.bytes.length * 2))
      larger.set(this.bytes.subarray(0, this.size))
      this.bytes = larger
    }
    const view = new DataView(this.bytes.buffer)
    view.setUint32(this.size, key.length)
    view.setUint32(this.size + 4, value === undefined ? removed : value.length)
    this.bytes.set(key, this.size + headBytes)
    if (value !== undefined) this.bytes.set(value, end - value.length)
    this.size = end
  }
}

/** Calls `onRow` for each row of a taken batch, in order; `value` is undefined for a removed one. */
export function eachRow(
  batch: Uint8Array,
  onRow: (key: Uint8Array, value: Uint8Array | undefined) => void,
): void {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength)
  let at = 0
  while (at < batch.length) {
    const keyEnd = at + headBytes + view.getUint32(at)
    const size = view.getUint32(at + 4)
    const end = size === removed ? keyEnd : keyEnd + size
    const value = size === removed ? undefined : batch.subarray(keyEnd, end)
    onRow(batch.subarray(at + headBytes, keyEnd), value)
    at = end
  }
}
