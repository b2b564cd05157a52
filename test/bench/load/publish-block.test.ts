import { expect, test } from 'vitest'
import { parseLoadOptions, toArgs } from '../../../bench/load/options.ts'
import { buildPublishBlock } from '../../../bench/load/publish-block.ts'

const shape = { exchange: 'x', routingKeys: ['aa', 'bb'], persistent: false, channel: 1 }

test('a block is whole publishes of equal length, with the routing keys in turn', () => {
  const block = buildPublishBlock({ ...shape, bodySize: 16, frameMax: 4096 })
  expect(block.bytes.length).toBe(block.count * block.messageSize)
  expect(block.bytes.length).toBeGreaterThanOrEqual(128 * 1024)
  const first = block.bytes.subarray(0, block.messageSize).toString('latin1')
  const second = block.bytes.subarray(block.messageSize, 2 * block.messageSize).toString('latin1')
  expect(first).toContain('\x01x\x02aa')
  expect(second).toContain('\x01x\x02bb')
  const body = block.bytes.subarray(block.bodyAt, block.bodyAt + 16)
  expect(body.toString()).toBe('a'.repeat(16))
})

test('a body larger than a frame is cut so that no frame exceeds frame-max', () => {
  const block = buildPublishBlock({ ...shape, bodySize: 10_000, frameMax: 4096 })
  const sizes: number[] = []
  for (let at = 0; at < block.messageSize; ) {
    const size = block.bytes.readUInt32BE(at + 3) + 8
    if (block.bytes[at] === 3) sizes.push(size)
    expect(block.bytes[at + size - 1]).toBe(0xce)
    at += size
  }
  expect(sizes).toEqual([4096, 4096, 10_000 - 2 * 4088 + 8])
})

test('options survive the way through a command line', () => {
  const options = parseLoadOptions(['--size=1024', '--ack=100', '--latency', '--vhost=/a b'])
  expect(parseLoadOptions(toArgs(options))).toEqual(options)
  expect(() => parseLoadOptions(['--ack=sometimes'])).toThrow('--ack')
  expect(() => parseLoadOptions(['--nonsense'])).toThrow('nonsense')
})
