import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { createDoorbell, Doorbell } from '../../../shared/bus/doorbell.ts'
import { createRing, RingReader, RingWriter } from '../../../shared/bus/ring.ts'

// The other thread answers each number, sleeping in Atomics.wait in between. It is plain JavaScript,
// since a worker of Node 20 can't load the sources; it follows the drawing in ring.ts and doorbell.ts.
const echo = `
const { workerData } = require('node:worker_threads')
const { toHere, toThere, bellHere, bellThere, count } = workerData
const here = new Int32Array(bellHere), there = new Int32Array(bellThere)
const inControl = new Int32Array(toHere, 0, 48), inWords = new Int32Array(toHere, 192)
const outControl = new Int32Array(toThere, 0, 48), outWords = new Int32Array(toThere, 192)
const mask = inWords.length - 1
let at = 0, out = 0, done = 0
while (done < count) {
  const seen = Atomics.load(here, 0)
  const head = Atomics.load(inControl, 0)
  if (head === at) {
    Atomics.store(here, 1, 1)
    if (Atomics.wait(here, 0, seen, 5000) === 'timed-out') throw new Error('lost wake-up')
    Atomics.store(here, 1, 0)
    continue
  }
  while (at !== head) {
    outWords[out & mask] = (2 << 8) | 1
    outWords[(out + 1) & mask] = inWords[(at + 1) & mask]
    out += 2
    at += 2
    done++
  }
  Atomics.store(inControl, 16, at)
  Atomics.store(outControl, 0, out)
  Atomics.add(there, 0, 1)
  if (Atomics.load(there, 1) === 1) Atomics.notify(there, 0)
}
`

describe('a doorbell', () => {
  test('a ring after the mark is not slept through', () => {
    const bell = new Doorbell(createDoorbell())
    const seen = bell.seen()
    bell.ring()
    expect(bell.sleepAsync(seen, () => {})).toBe(true)
    bell.sleep(seen, 1_000_000)
  })

  test('a ring of the same thread wakes its sleeper', async () => {
    const bell = new Doorbell(createDoorbell())
    const rung = new Promise<void>((done) => {
      expect(bell.sleepAsync(bell.seen(), done)).toBe(false)
    })
    bell.ring()
    await rung
  })

  test('mail is taken once', () => {
    const bell = new Doorbell(createDoorbell())
    expect(bell.takeMail()).toBe(false)
    bell.ringMail()
    expect([bell.takeMail(), bell.takeMail()]).toEqual([true, false])
  })

  test('no ring is lost between two threads that sleep after every record', async () => {
    const count = 20_000
    const toThere = createRing(1024)
    const toHere = createRing(1024)
    const bellThere = createDoorbell()
    const bellHere = createDoorbell()
    const worker = new Worker(echo, {
      eval: true,
      workerData: {
        toHere: toThere,
        toThere: toHere,
        bellHere: bellThere,
        bellThere: bellHere,
        count,
      },
    })
    const failed = new Promise<never>((_, reject) => worker.once('error', reject))
    const writer = new RingWriter(toThere)
    const reader = new RingReader(toHere)
    const there = new Doorbell(bellThere)
    const here = new Doorbell(bellHere)
    const answered = new Promise<number>((done) => {
      let sent = 0
      let received = 0
      const send = (): void => {
        const index = writer.reserve(2)
        writer.words[index] = (2 << 8) | 1
        writer.words[index + 1] = sent++
        writer.commit(2)
        writer.publish()
        there.ring()
      }
      const turn = (): void => {
        const seen = here.seen()
        reader.look()
        for (let i = reader.next(); i >= 0; i = reader.next()) {
          if (reader.words[i + 1] !== received++) throw new Error('out of order')
          // Now one, now two in flight, so that both sides meet each other at every point.
          if (sent < count) send()
          if (sent < count && received % 97 === 0) send()
        }
        reader.release()
        if (received === count) done(received)
        else if (here.sleepAsync(seen, turn)) setImmediate(turn)
      }
      send()
      turn()
    })
    expect(await Promise.race([answered, failed])).toBe(count)
    await worker.terminate()
  })
})
