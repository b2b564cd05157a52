import { beforeEach, describe, expect, test } from 'vitest'
import { BlockPool, smallBlockBytes } from '../../../gateways/host/block-pool.ts'
import type { OutboxBatch } from '../../../gateways/host/outbox.ts'
import { BlockOutbox } from '../../../gateways/host/outbox.ts'
import { blockBytes } from '../../../gateways/host/protocol.ts'

let touches: number
let out: BlockOutbox

beforeEach(() => {
  touches = 0
  out = new BlockOutbox(new BlockPool(), () => touches++)
})

function write(text: string): void {
  out.reserve(text.length)
  out.at += out.bytes.write(text, out.at, 'latin1')
}

function textOf(batch: OutboxBatch | undefined): string {
  return Buffer.concat(batch?.pieces ?? []).toString('latin1')
}

describe('an outbox', () => {
  test('holds no block while nothing is written', () => {
    expect(out.bytes.length).toBe(0)
    write('x')
    expect(out.bytes.length).toBe(smallBlockBytes)
    out.collect(false)
    expect(out.bytes.length).toBe(0)
    expect(out.collect(false)).toBeUndefined()
  })

  test('sends what was written as one piece', () => {
    write('hello ')
    write('world')
    const batch = out.collect(false)
    expect(batch?.pieces).toHaveLength(1)
    expect(textOf(batch)).toBe('hello world')
  })

  test('goes on in a large block when the small one is full', () => {
    const text = 'abcdefghij'.repeat(1000)
    for (let i = 0; i < text.length; i += 100) write(text.slice(i, i + 100))
    expect(out.bytes.length).toBe(blockBytes)
    const batch = out.collect(false)
    expect(batch?.blocks.map((block) => block.length)).toEqual([smallBlockBytes, blockBytes])
    expect(textOf(batch)).toBe(text)
  })

  test('begins with a large block after a turn that filled a small one', () => {
    write('x'.repeat(smallBlockBytes))
    write('y')
    out.collect(false)
    write('z')
    expect(out.bytes.length).toBe(blockBytes)
    out.collect(false)
    write('z')
    expect(out.bytes.length).toBe(smallBlockBytes)
  })

  test('gives as much as a block in one piece', () => {
    write('a')
    out.reserve(blockBytes)
    expect(out.bytes.length - out.at).toBeGreaterThanOrEqual(blockBytes)
    expect(() => out.reserve(blockBytes + 1)).toThrow()
  })

  test('keeps views in order with what is written, and says when they are sent', () => {
    const sent: string[] = []
    write('1')
    out.view(Buffer.from('VIEW'), () => sent.push('view'))
    write('2')
    out.view(Buffer.from('LAST'), () => sent.push('last'))
    const batch = out.collect(true)
    expect(batch?.pieces.map((piece) => Buffer.from(piece).toString())).toEqual([
      '1',
      'VIEW',
      '2',
      'LAST',
    ])
    expect(sent).toEqual([])
    if (batch !== undefined) out.settle(batch)
    expect(sent).toEqual(['view', 'last'])
  })

  test('uses a block again once the socket has it', () => {
    write('x')
    const first = out.bytes
    const batch = out.collect(false)
    if (batch !== undefined) out.settle(batch)
    write('y')
    expect(out.bytes).toBe(first)
  })

  test('keeps no block for a few bytes behind a stuck socket', () => {
    write('heartbeat')
    const batch = out.collect(true)
    expect(batch?.blocks).toEqual([])
    expect(textOf(batch)).toBe('heartbeat')
    const again = out.collect(true)
    expect(again).toBeUndefined()
  })
})
