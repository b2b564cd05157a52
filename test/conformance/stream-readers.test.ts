// Many readers of one stream, each somewhere else: every one gets what is there, the broker holds only
// a little for each, and whoever publishes or reads at the end meanwhile is served as before. Small
// here; as large as the environment says, with figures on stderr:
//   WARREN_STREAM_BYTES=10e9 WARREN_STREAM_READERS=1000 npx vitest run --config test/vitest.config.ts stream-readers

import { readFileSync } from 'node:fs'
import type { Channel, ConfirmChannel, ConsumeMessage } from 'amqplib'
import { expect, it } from 'vitest'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

const streamBytes = Number(process.env['WARREN_STREAM_BYTES'] ?? 20e6)
const readerCount = Number(process.env['WARREN_STREAM_READERS'] ?? 100)
const bodyBytes = 1024
const messageCount = Math.floor(streamBytes / bodyBytes)
/** What each reader takes, a few at a time. */
const readEach = 50
/** Of the broker, beyond what it had before: what readers may hold, and as much for the garbage. */
const growthBytesMax = 300e6
/** Of a publisher that waits for each confirm, while everybody reads; a quiet machine is far below. */
const confirmMsMax = 5000
const channelsPerConnection = 100

function residentBytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1] ?? 0) * 1024
}

describeBrokers(
  'many readers of a stream',
  (use) => {
    const timeout = 60_000 + streamBytes / 5000
    it('get what is at their offsets, in bounded memory', { timeout }, async () => {
      const publisher = await use().confirmChannel()
      const queue = use().name('stream')
      await publisher.assertQueue(queue, {
        arguments: { 'x-queue-type': 'stream', 'x-stream-max-segment-size-bytes': 5_000_000 },
      })
      const body = Buffer.alloc(bodyBytes)
      for (let i = 0; i < messageCount; i++) {
        body.writeUInt32BE(i, 0)
        publisher.sendToQueue(queue, Buffer.from(body))
        if (i % 5000 === 4999) await publisher.waitForConfirms()
      }
      await publisher.waitForConfirms()
      const pid = use().broker.process?.pid ?? 0
      const before = residentBytes(pid)
      const readers: Reader[] = []
      for (let i = 0; i < readerCount; i++) {
        if (i % channelsPerConnection === 0) connection = await use().connect()
        const channel = await connection.createChannel()
        readers.push(new Reader(channel, i * Math.floor(messageCount / readerCount)))
      }
      const tail = new Reader(await use().channel(), messageCount, Number.POSITIVE_INFINITY)
      await tail.start(queue)
      await Promise.all(readers.map((reader) => reader.start(queue)))
      let most = 0
      let isOver = false
      const slowest = publishOneByOne(publisher, queue, () => isOver)
      await eventually(
        'all have read enough',
        () => {
          most = Math.max(most, residentBytes(pid))
          return readers.every(({ taken }) => taken.length >= readEach)
        },
        timeout / 2,
      )
      isOver = true
      const { count, ms } = await slowest
      await eventually('the reader at the end has all', () => tail.taken.length === count)
      expect(tail.taken).toEqual(Array.from({ length: count }, (_, i) => messageCount + i))
      expect(ms).toBeLessThan(confirmMsMax)
      if (process.env['WARREN_STREAM_BYTES'] !== undefined) {
        const grown = Math.round((most - before) / 1e6)
        process.stderr.write(`${grown} MB more, ${count} confirms, the slowest ${ms} ms\n`)
      }
      for (const { from, taken } of readers) {
        const wanted = Array.from({ length: taken.length }, (_, i) => from + i)
        expect(taken).toEqual(wanted)
      }
      expect(most - before).toBeLessThan(growthBytesMax)
    })
  },
  { warrenOnly: true, alone: true, profiles: PROFILES.slice(0, 1) },
)

/** Publishes and waits for the confirm, again and again. How often, and the longest wait. */
async function publishOneByOne(
  channel: ConfirmChannel,
  queue: string,
  isOver: () => boolean,
): Promise<{ count: number; ms: number }> {
  let count = 0
  let ms = 0
  const body = Buffer.alloc(bodyBytes)
  while (count === 0 || !isOver()) {
    const began = performance.now()
    body.writeUInt32BE(messageCount + count, 0)
    channel.sendToQueue(queue, Buffer.from(body))
    await channel.waitForConfirms()
    ms = Math.max(ms, Math.round(performance.now() - began))
    count++
  }
  return { count, ms }
}

let connection: Awaited<ReturnType<typeof import('amqplib').connect>>

/** Takes ten at a time, `most` in all, then holds on to what it has. */
class Reader {
  readonly from: number
  readonly taken: number[] = []
  private readonly channel: Channel
  private readonly most: number

  constructor(channel: Channel, from: number, most: number = readEach) {
    this.channel = channel
    this.from = from
    this.most = most
  }

  async start(queue: string): Promise<void> {
    await this.channel.prefetch(10)
    const take = (message: ConsumeMessage | null): void => this.take(message)
    await this.channel.consume(queue, take, { arguments: { 'x-stream-offset': this.from } })
  }

  private take(message: ConsumeMessage | null): void {
    if (message === null) return
    this.taken.push(message.content.readUInt32BE(0))
    if (this.taken.length <= this.most) this.channel.ack(message)
  }
}
