import { describe, expect, test } from 'vitest'
import { createDoorbell, Doorbell } from '../../../shared/bus/doorbell.ts'
import { ControlAssembler, Lane } from '../../../shared/bus/lane.ts'
import { createRing, RingReader, RingWriter } from '../../../shared/bus/ring.ts'
import { Record } from '../../../shared/bus/wire.ts'

const capacity = 256

function makeLane(): { lane: Lane; reader: RingReader; bell: Doorbell } {
  const memory = createRing(capacity)
  const bell = new Doorbell(createDoorbell())
  return { lane: new Lane(new RingWriter(memory), bell), reader: new RingReader(memory), bell }
}

function writeHot(lane: Lane, value: number): boolean {
  const index = lane.reserve(3)
  if (index < 0) return false
  lane.ring.words[index] = (3 << 8) | Record.credit
  lane.ring.words[index + 1] = value
  lane.ring.words[index + 2] = 0
  lane.ring.commit(3)
  return true
}

/** What is visible, in order: numbers of hot records, texts of control payloads. */
function readAll(reader: RingReader, assembler: ControlAssembler): (number | string)[] {
  const seen: (number | string)[] = []
  reader.look()
  for (let i = reader.next(); i >= 0; i = reader.next()) {
    if (((reader.words[i] as number) & 255) === Record.credit) {
      seen.push(reader.words[i + 1] as number)
    } else {
      const whole = assembler.take(reader, i)
      if (whole !== undefined) seen.push(`${reader.words[i + 1]}:${whole.toString('latin1')}`)
    }
  }
  return seen
}

describe('a lane', () => {
  test('carries control payloads of any size in parts, in order with hot records', () => {
    const { lane, reader } = makeLane()
    const assembler = new ControlAssembler()
    const large = 'x'.repeat(capacity * 4 * 3 + 5)
    const seen: (number | string)[] = []
    writeHot(lane, 1)
    lane.control(Record.control, 7, Buffer.from(large))
    expect(writeHot(lane, 2)).toBe(false)
    for (let i = 0; i < 100 && !lane.flush(); i++) {
      seen.push(...readAll(reader, assembler))
      reader.release()
    }
    expect(writeHot(lane, 2)).toBe(true)
    lane.flush()
    seen.push(...readAll(reader, assembler))
    expect(seen).toEqual([1, `7:${large}`, 2])
  })

  test('carries an empty control payload', () => {
    const { lane, reader } = makeLane()
    lane.control(Record.reply, 3, Buffer.alloc(0))
    lane.flush()
    expect(readAll(reader, new ControlAssembler())).toEqual(['3:'])
  })

  test('asks for a ring whenever it refuses a record', () => {
    const { lane, reader } = makeLane()
    while (writeHot(lane, 1));
    lane.flush()
    readAll(reader, new ControlAssembler())
    expect(reader.release()).toBe(true)
  })

  test('a record refused behind waiting control parts goes through as soon as there is room', () => {
    const { lane, reader } = makeLane()
    const assembler = new ControlAssembler()
    while (writeHot(lane, 1));
    lane.control(Record.control, 1, Buffer.from('declare'))
    lane.flush()
    readAll(reader, assembler)
    reader.release()
    // The part is still in the backlog; nothing has flushed since there is room.
    expect(writeHot(lane, 2)).toBe(true)
    lane.flush()
    expect(readAll(reader, assembler)).toEqual(['1:declare', 2])
  })

  test('asks for a ring again when control parts still find no room', () => {
    const { lane, reader } = makeLane()
    const assembler = new ControlAssembler()
    lane.control(Record.control, 1, Buffer.alloc(capacity * 12))
    let rounds = 0
    for (; rounds < 100 && !lane.flush(); rounds++) {
      expect(writeHot(lane, rounds)).toBe(false)
      readAll(reader, assembler)
      expect(reader.release()).toBe(true)
    }
    expect(rounds).toBeGreaterThan(2)
    expect(writeHot(lane, 1)).toBe(true)
  })

  test('keeps short records in order while the ring is full', () => {
    const { lane, reader } = makeLane()
    while (writeHot(lane, 1));
    lane.short(Record.credit, 41, 0)
    lane.short(Record.credit, 42, 0)
    expect(lane.flush()).toBe(false)
    readAll(reader, new ControlAssembler())
    reader.release()
    expect(lane.flush()).toBe(true)
    expect(readAll(reader, new ControlAssembler())).toEqual([41, 42])
  })

  test('rings the bell once per flush that shows something', () => {
    const { lane, bell } = makeLane()
    const before = bell.seen()
    lane.flush()
    expect(bell.seen()).toBe(before)
    writeHot(lane, 1)
    writeHot(lane, 2)
    lane.flush()
    expect(bell.seen()).toBe(before + 1)
  })
})
