import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { Command } from '../../../../gateways/stomp/codec/command.ts'
import { headersMax } from '../../../../gateways/stomp/codec/frame.ts'
import { FrameDecoder, FrameKind } from '../../../../gateways/stomp/codec/frame-decoder.ts'
import { Header } from '../../../../gateways/stomp/codec/header-name.ts'
import { DecodeError } from '../../../../shared/bytes/decode-error.ts'

interface Read {
  readonly command: string
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

function take(decoder: FrameDecoder, into: Read[], remember = false): void {
  for (let kind = decoder.next(); kind !== FrameKind.needMore; kind = decoder.next()) {
    if (kind === FrameKind.repeat) {
      const last = into.at(-1)
      const body = Buffer.from(decoder.body).toString(
        'latin1',
        decoder.bodyAt,
        decoder.bodyAt + decoder.bodySize,
      )
      into.push({ command: last?.command ?? '', headers: last?.headers ?? [], body })
      continue
    }
    const { frame } = decoder
    const from = frame.at + frame.bodyFrom
    into.push({
      command: frame.commandText(),
      headers: Array.from({ length: frame.count }, (_, i) => [frame.nameAt(i), frame.valueAt(i)]),
      body: Buffer.from(frame.bytes).toString('latin1', from, from + frame.bodySize),
    })
    if (remember && frame.command === Command.send)
      decoder.remember(frame.find(Header.contentLength) >= 0)
  }
}

/** The frames in `bytes`, cut into pieces of `size`. */
function read(bytes: Buffer, size = bytes.length, remember = false): Read[] {
  const decoder = new FrameDecoder(100_000)
  const frames: Read[] = []
  for (let at = 0; at < bytes.length; at += size) {
    // As the host does: one buffer for all reads, so what stays must be kept.
    const chunk = Buffer.from(bytes.subarray(at, at + size))
    decoder.push(chunk)
    take(decoder, frames, remember)
    chunk.fill(0xee)
  }
  return frames
}

function frame(text: string): Read {
  const [first, ...rest] = read(Buffer.from(`${text}\0`, 'latin1'))
  expect(rest).toEqual([])
  if (first === undefined) throw new Error('no frame')
  return first
}

describe('a STOMP frame', () => {
  test('has a command, headers and a body up to the NUL', () => {
    expect(frame('SEND\ndestination:/queue/a\nfoo:a:b\n\nhello\nworld')).toEqual({
      command: 'SEND',
      headers: [
        ['destination', '/queue/a'],
        ['foo', 'a:b'],
      ],
      body: 'hello\nworld',
    })
    expect(frame('DISCONNECT\n\n')).toEqual({ command: 'DISCONNECT', headers: [], body: '' })
  })

  test('may end its lines with CR LF [STOMP 1.2, augmented BNF]', () => {
    expect(frame('SEND\r\nfoo:bar\r\n\r\nbody\r\n')).toEqual({
      command: 'SEND',
      headers: [['foo', 'bar']],
      body: 'body\r\n',
    })
  })

  test('with content-length has a body that may hold NULs', () => {
    expect(frame('SEND\ncontent-length: 5 \n\na\0\0\0b').body).toBe('a\0\0\0b')
    expect(frame('SEND\ncontent-length:0\n\n').body).toBe('')
    const two = read(Buffer.from('SEND\ncontent-length:1\n\n\0\0SEND\n\nx\0', 'latin1'))
    expect(two.map(({ body }) => body)).toEqual(['\0', 'x'])
  })

  test('may be followed by line ends', () => {
    const bytes = Buffer.from('\n\nSEND\n\na\0\n\r\n\nSEND\n\nb\0\n')
    expect(read(bytes).map(({ body }) => body)).toEqual(['a', 'b'])
  })

  test('has escapes in names and values undone', () => {
    expect(frame('SEND\na\\cb:c\\\\d\\n\\re\n\n').headers).toEqual([['a:b', 'c\\d\n\re']])
  })

  test('loses leading spaces of values in version 1.0 only', () => {
    expect(frame('SEND\nfoo:  bar \n\n').headers).toEqual([['foo', '  bar ']])
    const decoder = new FrameDecoder(1000)
    decoder.trim = true
    decoder.push(Buffer.from('SEND\nfoo:  bar \n\n\0'))
    decoder.next()
    expect(decoder.frame.valueAt(0)).toBe('bar ')
  })

  test('with a repeated header means the first [STOMP 1.2, Repeated Header Entries]', () => {
    const decoder = new FrameDecoder(1000)
    decoder.push(Buffer.from('SEND\nid:1\nid:2\nx:1\nx:2\n\n\0'))
    decoder.next()
    expect(decoder.frame.text(Header.id)).toBe('1')
    expect(decoder.frame.other('x')).toBe('1')
    expect([...decoder.frame.escaped.subarray(0, 4)]).toEqual([0, 4, 0, 4])
  })

  test.each([
    ['an unknown escape', 'SEND\nfoo:a\\tb\n\n\0'],
    ['an unknown escape in CONNECT', 'CONNECT\nfoo:\\x\n\n\0'],
    ['a header without a colon', 'SEND\nfoo\n\n\0'],
    ['a carriage return alone', 'SEND\n\rfoo:bar\n\n\0'],
    ['a content-length that is no number', 'SEND\ncontent-length:abc\n\n\0'],
    ['a negative content-length', 'SEND\ncontent-length:-1\n\n\0'],
    ['an empty content-length', 'SEND\ncontent-length:\n\n\0'],
    ['a body that is longer than its content-length', 'SEND\ncontent-length:2\n\nabc\0'],
    ['too many headers', `SEND\n${'a:b\n'.repeat(headersMax + 1)}\n\0`],
    ['a head beyond the limit', `SEND\nfoo:${'x'.repeat(200_000)}`],
    ['a body beyond the limit', `SEND\n\n${'x'.repeat(200_000)}`],
    ['a whole frame beyond the limit', `SEND\n\n${'x'.repeat(100_000)}\0`],
    ['a content-length beyond the limit', 'SEND\ncontent-length:200000\n\n'],
    ['a command without an end', 'x'.repeat(200_000)],
  ])('is refused: %s', (_, text) => {
    const bytes = Buffer.from(text, 'latin1')
    expect(() => read(bytes)).toThrow(DecodeError)
    expect(() => read(bytes, 1000)).toThrow(DecodeError)
  })

  test('of the largest size is taken', () => {
    const text = `SEND\n\n${'x'.repeat(99_993)}\0`
    expect(read(Buffer.from(text), 777)[0]?.body.length).toBe(99_993)
  })
})

describe('the decoder', () => {
  const stream = Buffer.from(
    '\nCONNECT\naccept-version:1.2\nhost:/\n\n\0\n' +
      'SEND\ndestination:/queue/a\ncontent-length:7\n\na\0b\n\0\nc\0\n\n' +
      'SEND\r\ndestination:/queue/\\c\\\\\r\nreceipt:1\r\n\r\nb\0' +
      'SEND\ndestination:/queue/a\n\none\0SEND\ndestination:/queue/a\n\ntwo two\0\n' +
      'ACK\nid:T_1@@session-x@@1\n\n\0DISCONNECT\n\n\0\n\n',
    'latin1',
  )

  test('gives the same frames for every split of the same bytes', () => {
    const whole = read(stream)
    expect(whole).toHaveLength(7)
    for (let size = 1; size < stream.length; size++) {
      expect(read(stream, size), `pieces of ${size}`).toEqual(whole)
      expect(read(stream, size, true).map(({ body }) => body)).toEqual(
        whole.map(({ body }) => body),
      )
    }
  })

  test('gives nothing for a frame that is cut anywhere', () => {
    const one = Buffer.from('SEND\ndestination:/queue/a\ncontent-length:4\n\nb\0dy\0', 'latin1')
    for (let size = 0; size < one.length; size++) expect(read(one.subarray(0, size))).toEqual([])
    expect(read(one)).toHaveLength(1)
  })

  test('knows a SEND with the head of the one before, also without its size', () => {
    for (const length of ['', 'content-length:3\n']) {
      const decoder = new FrameDecoder(1000)
      const head = `SEND\ndestination:/queue/a\n${length}\n`
      const first = Buffer.from(`${head}one\0`)
      decoder.push(first)
      expect(decoder.next()).toBe(FrameKind.frame)
      decoder.remember(length !== '')
      expect(decoder.next()).toBe(FrameKind.needMore)
      first.fill(0)
      decoder.push(Buffer.from(`\n${head}two\0${head}six\0SEND\nx:y\n\n\0${head}ten\0`))
      const kinds: number[] = []
      for (let kind = decoder.next(); kind !== FrameKind.needMore; kind = decoder.next()) {
        kinds.push(kind)
      }
      const { frame: plain, repeat } = FrameKind
      expect(kinds).toEqual([repeat, repeat, plain, repeat])
    }
  })

  test('gives a frame again after a rewind, wherever it lies', () => {
    const bytes = Buffer.from('SEND\nid:1\n\nfirst\0\nSEND\nid:2\n\nsecond\0', 'latin1')
    for (let cut = 1; cut < bytes.length; cut++) {
      const decoder = new FrameDecoder(1000)
      const seen: string[] = []
      for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        decoder.push(Buffer.from(piece))
        let again = true
        for (let kind = decoder.next(); kind !== FrameKind.needMore; kind = decoder.next()) {
          seen.push(decoder.frame.text(Header.id) ?? '')
          if (again) {
            decoder.rewind()
            decoder.keep()
          }
          again = !again
        }
      }
      expect(seen, `cut at ${cut}`).toEqual(['1', '1', '2', '2'])
    }
  })

  test('ends any bytes in frames or a DecodeError', () => {
    const token = fc.constantFrom(
      'SEND\n',
      'CONNECT\n',
      '\n',
      '\r\n',
      '\0',
      'a:b\n',
      'content-length:3\n',
      ':',
      '\\',
      '\\c',
      'destination:/queue/a\n',
      'abc',
      '\xff',
      'ACK\r\n',
      'content-length:99999999999999999\n',
    )
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each)),
      fc.array(token, { maxLength: 40 }).map((each) => Buffer.from(each.join(''), 'latin1')),
    )
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 50 }), (all, size) => {
        const outcome = (pieces: number): unknown => {
          const frames: Read[] = []
          const decoder = new FrameDecoder(200)
          try {
            for (let at = 0; at < all.length; at += pieces) {
              decoder.push(Buffer.from(all.subarray(at, at + pieces)))
              take(decoder, frames)
            }
            return frames
          } catch (error) {
            if (!(error instanceof DecodeError)) throw error
            // A cut frame may be refused a little later: when its line has ended.
            return frames
          }
        }
        expect(outcome(size)).toEqual(outcome(Math.max(1, all.length)))
      }),
      { numRuns: 500 },
    )
  })

  test('does not read a head again for every byte of it', () => {
    const decoder = new FrameDecoder(1_000_000)
    const parse = vi.spyOn(decoder.frame, 'parse')
    decoder.push(Buffer.from('SEND\nfoo:'))
    decoder.next()
    const bytes = Buffer.from(`${'x'.repeat(3000)}\n\n${'y'.repeat(3000)}\0`)
    for (let i = 0; i < bytes.length; i++) {
      decoder.push(bytes.subarray(i, i + 1))
      const last = i === bytes.length - 1
      if (decoder.next() !== (last ? FrameKind.frame : FrameKind.needMore)) throw new Error(`${i}`)
    }
    // Its beginning, each end of a line, and the NUL.
    expect(parse).toHaveBeenCalledTimes(4)
    parse.mockRestore()
  })
})
