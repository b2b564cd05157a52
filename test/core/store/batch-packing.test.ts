// Batches as the clients pack them: frames written by golang/snappy, pierrec/lz4 and klauspost/zstd,
// all of the same text; and what is no frame.

import { randomBytes } from 'node:crypto'
import * as zlib from 'node:zlib'
import { expect, test } from 'vitest'
import { unpackBatch } from '../../../core/store/batch-packing.ts'

const gzip = 1
const snappy = 2
const lz4 = 3
const zstd = 4

/** Repetitions near and far, and bytes that cannot be packed. */
function plainText(): Buffer {
  const parts: Buffer[] = []
  for (let i = 0; i < 120; i++) {
    parts.push(Buffer.from(`message ${i * i} of a batch, aaaaaaaaaaaaaaaaaaaaaaaaaaaa;`))
  }
  let seed = 1
  for (let i = 0; i < 70; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    parts.push(Buffer.from([seed >>> 24]))
  }
  parts.push(Buffer.from('xyz'.repeat(400)))
  return Buffer.concat(parts)
}

const plain = plainText()

const packed: Readonly<Record<number, Buffer>> = {
  [gzip]: zlib.gzipSync(plain),
  [snappy]: Buffer.from(
    [
      '/wYAAHNOYVBwWQBjAwDnbk2UrDxYbWVzc2FnZSAwIG9mIGEgYmF0Y2gsIGFqAQAAOxEzADHGMwAANMYzAAA5xjMABDE2',
      'xjQABDI1xjQAADPKaAAANMrQAAA2yjcBADjKngEEMTDOBgIAMs5qAAA0ytMABDE2yjwBBDE5yqUBADLODgIEMjXOagAA',
      'OMrUAAQzMso+AQQzNsqoAQA0zhICBDQ0zmoAADjK1AAENTLKPgEENTfKqAEANs4SAgA2zmoAADfO1AAAN84+AQA4zqgB',
      'ADnOEgIAOc58AgQxMM7nAgQxMM5SAwQxMc69AwAx0igEBDEyzpMEBDEz0v4EADTSaQUANdLUBQA2zhsCBDE20qoGADfO',
      'FAcEMTjOfgcEMTnO6AcEMjDOMgQEMjHSvAgEMjDKCAUIMjMwynMFCDI0MMreBQQyNc4cAgQyNtJsAAA30tgAADjSRAEA',
      'Oc6wAQAz0hwCBDMxzogCBDMyzvQCBDMzzmADBDM0zswDADPSOAQEMzfOpAQEMzjOEAUEMznOfAUENDDO6AUENDLOOAQE',
      'NDPOwAYENDTOLAcENDbOmAcENDfOBAgANNJvCAQ1MM7aCAQ1Mc5FCQQ1M86wCQQ1NM4bCgQ1Ns4cAgQ1N9JsAAA5ztgA',
      'BDYwzkQBBDYyzrABADbSnQwENjXOiAIENjfO9AIENjjOYAMENzDOzAMAN9I4BAQ3M86kBAQ3Nc4QBQQ3N858BQQ3Oc7o',
      'BQA40ssQBDgyzsAGBDg0ziwHBDg2zpgHBDg4zgQIADnScAgEOTLO3AgIOTQwyowKBDk2zrQJBDk4ziAKCDEwMM6NCggx',
      'MDLWbgAANM7bAAgxMDbOSAEIMTA4zrUBBDEx0iICCDExMs6PAggxMTTO/AIIMTE2zmkDCDExOM7WAwQxMtJDBAgxMjPO',
      'sAQIMTI1zh0FCDEyN86KBQgxMjnO9wUIMTMyzoAICDEzNM7RBggxMzbOPgcIMTM5zqsHCDE0Ma4YCPBJPF6BtAxexo4E',
      'o0Bsl9Y8+9xTrog3GhJRIbWVYUPA7i1V+2OMd/7gtvX5J1+vKX4sl99UBPM71AZiC1ghz2glnMvuAgf/zXh5enj+AwD+',
      'AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwD+AwCuAwA=',
    ].join(''),
    'base64',
  ),
  [lz4]: Buffer.from(
    [
      'BCJNGGRwuTsDAAD/CW1lc3NhZ2UgMCBvZiBhIGJhdGNoLCBhYQIABxQ7MwAfMTMAHx80MwAfHzkzAB8vMTY0AB8vMjU0',
      'AB8fM2gAIB800AAgHzY3ASAfOJ4BIC8xMAYCIR8yagAhHzTTACAvMTY8ASAvMTmlASAfMg4CIS8yNWoAIR841AAgLzMy',
      'PgEgLzM2qAEgHzQSAiEvNDRqACEfONQAIC81Mj4BIC81N6gBIB82EgIhHzZqACEfN9QAIR83PgEhHzioASEfORICIR85',
      'fAIhLzEw5wIhLzEwUgMhLzExvQMhHzEoBCIvMTKTBCEvMTP+BCIfNGkFIh811AUiHzYbAiEvMTaqBiIfNxQHIS8xOH4H',
      'IS8xOegHIS8yMDIEIS8yMbwIIi8yMAgFIE8yMzA09AgfTzI0MDE2ACAfNRwCIS8yNmwAIh832AAiHzhEASIfObABIR8z',
      'HAIiLzMxiAIhLzMy9AIhLzMzYAMhLzM0zAMhHzM4BCIvMzekBCEvMzgQBSEvMzl8BSEvNDDoBSEfNFQGIi80M8AGIS80',
      'NCwHIS80NpgHIS80NwQIIR80bwgiLzUw2gghLzUxRQkhLzUzsAkhLzU0GwohHzWGCiIvNTdsACIfOdgAIS82MEQBIS82',
      'MrABIR82nQwiLzY1iAIhLzY39AIhLzY4YAMhLzcwzAMhHzc4BCIvNzOkBCEvNzUQBSEvNzd8BSEvNznoBSEfOMsQIi84',
      'MsAGIS84NCwHIS84NpgHIS84OAQIIR85cAgiLzky3AghLzk0SAkhTzk2MDRWCh8vOTggCiE/MTAw6BIiLzAybgAjHzTb',
      'ACE/MTA21AshTzEwODHeECAvMTEiAiJPMTEyM24AIh80/AIhTzExNjYkEiBPMTE4OJASIC8xMkMEIk8xMjMybgAiHzUd',
      'BSFPMTI3NiYCIS8yOfcFIS8xM2QGIk8xMzQ1JgIhLzM2PgchTzEzOTImAiEvNDEYCBn/OjxegbQMXsaOBKNAbJfWPPvc',
      'U66INxoSUSG1lWFDwO4tVftjjHf+4Lb1+Sdfryl+LJffVATzO9QGYgtYIc9oJZzL7gIH/814eXoDAP////+NAQMAwHh5',
      'enh5enh5enh5egAAAACqnoxP',
    ].join(''),
    'base64',
  ),
  [zstd]: Buffer.from(
    [
      'KLUv/WQsHZ0OANIXRjJAcxAAQNeyO2Wxq8ZeY6Jqmmm+mK2RHUdzwmnpI9zhndOnDL333nnn/h7BSv6XHSvKBRw2aGiR',
      'QwCAFBYjDpi48IgwYCTACxAaHQ9koHx0SGBCAgIbNVLMwJEBBMkNCApSVDCoiEDh0aCAgftQwkGMGyEwUCosINERYoUI',
      'gRMeREL6JtWop1LTPbdccl1srX3rtsWpTe+Z6WCO5TzrnCTEG9oRjUXn/c7qks5Xc4jmMyu73YZjzrorq3uZClufytvd',
      'dvyL7ufcko7kIyM8GdFNVKKmBz3nMZfnHvLYrcdZ7FmtTnXbTqeWecTzndmVC/+/Rjcllm2Z9ntavOWNytZ8QSrLhwkJ',
      'hsrIUlkmXFhmKaFQOTkpsRB6qBGQXH3/0gEwA4gAgAYSOEHgfwWBP4HD3zOJKv6WNqBxvRI0hFqjMyP6MY1ZQAqZhWWE',
      'SfYNW8i/IJJWJZDg7lnaiZdvcSdWAgGKCcKARwQQnBABODCMcAYI4AEHBBPEAE8EIFzDCFBEEcHnQ5b1M4HDXGxqNQwM',
      'oK7zxFZWQIwltlYIAR6k6og6wQhBEBkgAMOZCmP/GjhtJxH0ozhM25KgnHjeHNbXpzvML17B1vtgPQDI9P8Bp9UwgA==',
    ].join(''),
    'base64',
  ),
}

const hasZstd = 'zstdDecompressSync' in zlib

test.each([gzip, snappy, lz4, zstd])('packing %i is undone', (codec) => {
  const bytes = unpackBatch(packed[codec] ?? plain, codec, plain.length)
  if (codec === zstd && !hasZstd) expect(bytes).toBeUndefined()
  else expect(bytes?.equals(plain)).toBe(true)
})

test.each([gzip, snappy, lz4])(
  'packing %i: what is no frame gives nothing, and nothing large',
  (codec) => {
    const whole = packed[codec] ?? plain
    expect(unpackBatch(whole, codec, plain.length - 2)).toBeUndefined()
    expect(unpackBatch(whole, codec, 2 ** 31)).toBeUndefined()
    for (let i = 0; i < 500; i++) {
      const bytes = Buffer.from(whole)
      const at = (i * 7919) % bytes.length
      randomBytes(3).copy(bytes, at)
      const cut = bytes.subarray(0, i % 2 === 0 ? bytes.length : at)
      const found = unpackBatch(cut, codec, plain.length)
      expect(found === undefined || found.length <= plain.length + 1).toBe(true)
    }
  },
)
