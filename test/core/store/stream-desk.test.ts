// What a shard asks the reader of its streams for.

import { expect, test } from 'vitest'
import { StreamDesk } from '../../../core/store/stream-desk.ts'
import { unpack } from '../../../shared/bus/control.ts'
import { createDoorbell, Doorbell } from '../../../shared/bus/doorbell.ts'
import { ControlAssembler, Lane } from '../../../shared/bus/lane.ts'
import { createRing, RingReader, RingWriter } from '../../../shared/bus/ring.ts'
import type { OffsetSpec } from '../../../shared/stream/log-cursor.ts'

// The reader may come to a cursor late, when more has been published: it must not begin behind that.
test.each<[OffsetSpec, object]>([
  [{ kind: 'next' }, { kind: 'offset', value: 120 }],
  [{ kind: 'last' }, { kind: 'offset', value: 110 }],
  [
    { kind: 'fromEnd', value: 5 },
    { kind: 'offset', value: 115 },
  ],
  [
    { kind: 'fromEnd', value: 500 },
    { kind: 'offset', value: 0 },
  ],
  [{ kind: 'first' }, { kind: 'first', value: 0 }],
  [
    { kind: 'offset', value: 7 },
    { kind: 'offset', value: 7 },
  ],
  [
    { kind: 'timestamp', value: 9 },
    { kind: 'timestamp', value: 9 },
  ],
])('%j is settled when the consumer comes', (from, asked) => {
  const ring = createRing(4096)
  const bell = new Doorbell(createDoorbell())
  const desk = new StreamDesk({
    appender: { putRecord: () => {} },
    folder: '/nowhere',
    replies: new RingReader(createRing(4096)),
    logBell: bell,
    toReader: new Lane(new RingWriter(ring), bell),
    fromReader: new RingReader(createRing(4096)),
    readerBell: bell,
    reclaimer: {},
    onReaderNeeded: () => {},
  } as never)
  const settings = { bytesMax: undefined, ageMaxMs: undefined, segmentBytesMax: 1, filterBytes: 16 }
  const owner = { restored: () => {}, advanced: () => {} }
  const stream = desk.open(1, 's', settings, owner as never)
  const end = { base: 100, position: 2000, next: 120, lastChunk: 110 }
  desk.restore(1, end, 0, new Map(), new Map())
  stream.openCursor({ from, filter: undefined, matchUnfiltered: false } as never, {} as never)
  desk.flush()
  const reader = new RingReader(ring)
  expect(reader.look()).toBe(true)
  const payload = new ControlAssembler().take(reader, reader.next())
  expect(unpack(payload ?? Buffer.alloc(0))).toMatchObject({ ...asked, end })
})
