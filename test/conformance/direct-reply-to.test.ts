// Requests and answers through amq.rabbitmq.reply-to, without a queue for the answers.

import type { Channel, ConsumeMessage } from 'amqplib'
import { expect, it } from 'vitest'
import { channelError, consume, getOne } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'

const REPLY_TO = 'amq.rabbitmq.reply-to'

describeBrokers('direct reply-to', (use) => {
  /** Answers every request with its body in upper case. */
  async function serve(): Promise<{ channel: Channel; queue: string; seen: ConsumeMessage[] }> {
    const channel = await use().channel()
    const queue = use().name('requests')
    const seen: ConsumeMessage[] = []
    await channel.assertQueue(queue)
    const answer = (message: ConsumeMessage | null): void => {
      if (message === null) return
      seen.push(message)
      const { replyTo, correlationId } = message.properties
      const body = message.content.toString().toUpperCase()
      channel.publish('', replyTo, Buffer.from(body), { correlationId })
    }
    await channel.consume(queue, answer, { noAck: true })
    return { channel, queue, seen }
  }

  it('carries an answer back to the channel that asked', async () => {
    const { queue, seen } = await serve()
    const client = await use().channel()
    const answers = await consume(client, REPLY_TO, { noAck: true })
    for (const body of ['one', 'two', 'three']) {
      const options = { replyTo: REPLY_TO, correlationId: body }
      client.sendToQueue(queue, Buffer.from(body), options)
    }
    expect(await answers.bodies(3)).toEqual(['ONE', 'TWO', 'THREE'])
    expect(answers.messages[0]?.fields).toMatchObject({
      consumerTag: answers.consumerTag,
      exchange: '',
    })
    expect(answers.messages[2]?.properties.correlationId).toBe('three')
    expect(seen[0]?.properties.replyTo).toMatch(/^amq\.rabbitmq\.reply-to\.[^.]+\..+$/)
  })

  it('keeps the answers of two clients apart', async () => {
    const { queue } = await serve()
    const clients = [await use().channel(), await use().channel()]
    const boxes = []
    for (const client of clients) boxes.push(await consume(client, REPLY_TO, { noAck: true }))
    clients[0]?.sendToQueue(queue, Buffer.from('first'), { replyTo: REPLY_TO })
    clients[1]?.sendToQueue(queue, Buffer.from('second'), { replyTo: REPLY_TO })
    expect(await boxes[0]?.bodies(1)).toEqual(['FIRST'])
    expect(await boxes[1]?.bodies(1)).toEqual(['SECOND'])
  })

  it('drops an answer whose client has gone, and does not return it', async () => {
    const { channel, queue, seen } = await serve()
    const connection = await use().connect()
    const client = await use().channel(connection)
    const answers = await consume(client, REPLY_TO, { noAck: true })
    client.sendToQueue(queue, Buffer.from('ask'), { replyTo: REPLY_TO })
    await answers.bodies(1)
    const replyTo = seen[0]?.properties.replyTo
    await connection.close()
    channel.publish('', replyTo, Buffer.from('too late'))
    await channel.checkQueue(queue)
  })

  it('refuses a consumer that wants to acknowledge', async () => {
    const channel = await use().channel()
    const error = await channelError(channel, () => channel.consume(REPLY_TO, () => {}))
    expect(error).toMatchObject({
      code: 406,
      text: 'PRECONDITION_FAILED - reply consumer cannot acknowledge',
    })
  })

  it('refuses a second consumer on one channel', async () => {
    const channel = await use().channel()
    await consume(channel, REPLY_TO, { noAck: true })
    const error = await channelError(channel, () =>
      channel.consume(REPLY_TO, () => {}, { noAck: true }),
    )
    expect(error).toMatchObject({
      code: 406,
      text: 'PRECONDITION_FAILED - reply consumer already set',
    })
  })

  it('lets a channel consume again after its cancel', async () => {
    const channel = await use().channel()
    const { consumerTag } = await consume(channel, REPLY_TO, { noAck: true })
    await channel.cancel(consumerTag)
    await consume(channel, REPLY_TO, { noAck: true })
  })

  it('refuses a request without a consumer for the answer', async () => {
    const channel = await use().channel()
    const error = await channelError(channel, () =>
      channel.publish('', 'anything', Buffer.from('ask'), { replyTo: REPLY_TO }),
    )
    expect(error).toMatchObject({
      code: 406,
      text: 'PRECONDITION_FAILED - fast reply consumer does not exist',
    })
  })

  it('tells whether a reply address is alive by a declaration', async () => {
    const { channel, queue, seen } = await serve()
    const connection = await use().connect()
    const client = await use().channel(connection)
    const answers = await consume(client, REPLY_TO, { noAck: true })
    client.sendToQueue(queue, Buffer.from('ask'), { replyTo: REPLY_TO })
    await answers.bodies(1)
    const address = seen[0]?.properties.replyTo
    expect(await channel.assertQueue(address)).toEqual({
      queue: address,
      messageCount: 0,
      consumerCount: 1,
    })
    await connection.close()
    const error = await channelError(channel, () => channel.assertQueue(address))
    expect(error).toMatchObject({
      code: 404,
      text: `NOT_FOUND - no queue '${address}' in vhost '/'`,
    })
  })

  it('leaves an ordinary reply-to alone', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    channel.sendToQueue(queue, Buffer.from('x'), { replyTo: 'my-own-queue' })
    expect((await getOne(channel, queue))?.properties.replyTo).toBe('my-own-queue')
  })
})
