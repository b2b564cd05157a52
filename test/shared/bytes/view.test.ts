import { describe, expect, test } from 'vitest'
import { viewOf } from '../../../shared/bytes/view.ts'

describe('viewOf', () => {
  test('covers exactly the memory of the array and is made once', () => {
    const memory = new SharedArrayBuffer(16)
    const bytes = new Uint8Array(memory, 4, 8)
    const view = viewOf(bytes)
    view.setUint32(0, 0x0102_0304)
    expect([...new Uint8Array(memory).subarray(4, 8)]).toEqual([1, 2, 3, 4])
    expect(view.byteLength).toBe(8)
    expect(viewOf(bytes)).toBe(view)
    expect(viewOf(bytes.subarray(1))).not.toBe(view)
  })

  test('does not show when arrays are compared', () => {
    const bytes = Uint8Array.of(1, 2)
    viewOf(bytes)
    expect(bytes).toEqual(Uint8Array.of(1, 2))
    expect(Object.keys(bytes)).toEqual(['0', '1'])
  })
})
