// What the conformance tests do with client libraries: connections that are closed after each
// test, errors as values, and consumers that remember what they got.

import type {
  Channel,
  ChannelModel,
  ConfirmChannel,
  ConsumeMessage,
  GetMessage,
  Options,
} from 'amqplib'
import { connect } from 'amqplib'
import type { Broker } from './broker.ts'
import type { LoginOptions } from './raw-client.ts'
import { RawClient } from './raw-client.ts'
import { eventually, within } from './wait.ts'

/** A close that the broker sent, or why a library saw the connection go. */
export interface CloseReason {
  readonly code: number
  readonly text: string
  readonly classId: number | undefined
  readonly methodId: number | undefined
}

export interface ConnectOptions {
  readonly user?: string
  readonly password?: string
  readonly vhost?: string
  readonly frameMax?: number
  readonly heartbeat?: number
  readonly channelMax?: number
}

/** Messages that a consumer has received, in order. */
export interface Inbox {
  readonly consumerTag: string
  readonly messages: ConsumeMessage[]
  /** True once the broker has cancelled the consumer. */
  readonly cancelled: () => boolean
  /** Waits until at least `count` messages are there and returns their bodies as text. */
  bodies(count: number): Promise<string[]>
}

export class Clients {
  readonly broker: Broker
  #open: ChannelModel[] = []
  #raws: RawClient[] = []
  #names: string[] = []
  #janitor: ChannelModel | undefined

  constructor(broker: Broker) {
    this.broker = broker
  }

  /** A name that no other test uses; a queue or exchange of that name goes after the test. */
  name(stem: string): string {
    nameCount += 1
    const name = `${stem}-${process.pid}-${nameCount}`
    this.#names.push(name)
    return name
  }

  url(options: ConnectOptions = {}): string {
    const { user = 'guest', password = 'guest', vhost = '/' } = options
    const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
    const { host, port } = this.broker
    return `amqp://${login}@${host}:${port}/${encodeURIComponent(vhost)}`
  }

  async connect(options: ConnectOptions = {}, socketOptions: object = {}): Promise<ChannelModel> {
    const address: Options.Connect = {
      hostname: this.broker.host,
      port: this.broker.port,
      username: options.user ?? 'guest',
      password: options.password ?? 'guest',
      vhost: encodeURIComponent(options.vhost ?? '/'),
      frameMax: options.frameMax ?? 131072,
      heartbeat: options.heartbeat ?? 0,
      channelMax: options.channelMax ?? 0,
    }
    const connection = await connect(address, { noDelay: true, ...socketOptions })
    connection.on('error', ignore)
    this.#open.push(connection)
    return connection
  }

  async channel(connection?: ChannelModel): Promise<Channel> {
    const channel = await (connection ?? (await this.connect())).createChannel()
    channel.on('error', ignore)
    return channel
  }

  async confirmChannel(connection?: ChannelModel): Promise<ConfirmChannel> {
    const channel = await (connection ?? (await this.connect())).createConfirmChannel()
    channel.on('error', ignore)
    return channel
  }

  /** A raw peer that has sent nothing yet. */
  async socket(): Promise<RawClient> {
    const raw = await RawClient.connect(this.broker.port, this.broker.host)
    this.#raws.push(raw)
    return raw
  }

  /** A raw peer, logged in, with channel 1 open. */
  async raw(options: LoginOptions = {}): Promise<RawClient> {
    const raw = await this.socket()
    await raw.login(options)
    await raw.openChannel(1)
    return raw
  }

  /** Proves that the broker still serves others: a message goes in and comes out. */
  async roundTrip(): Promise<void> {
    const connection = await within('another client connects', this.connect())
    const channel = await this.confirmChannel(connection)
    const { queue } = await channel.assertQueue('', { exclusive: true })
    channel.sendToQueue(queue, Buffer.from('still here'))
    await within('another client gets a confirm', channel.waitForConfirms())
    const got = await getOne(channel, queue, { noAck: true })
    if (got?.content.toString() !== 'still here') {
      throw new Error('the broker lost the message of another client')
    }
    await connection.close()
  }

  /** Closes what a test has opened and deletes what it has named. */
  async tidy(): Promise<void> {
    const open = this.#open
    const raws = this.#raws
    this.#open = []
    this.#raws = []
    await Promise.all(raws.map((raw) => raw.close()))
    await Promise.all(open.map((connection) => connection.close().catch(ignore)))
    const names = this.#names
    this.#names = []
    if (names.length > 0) await this.#delete(names)
  }

  /** For after the last test. */
  async close(): Promise<void> {
    await this.#janitor?.close().catch(ignore)
    this.#janitor = undefined
  }

  async #delete(names: readonly string[]): Promise<void> {
    if (this.#janitor === undefined) {
      this.#janitor = await connect(this.url(), { noDelay: true })
      this.#janitor.on('error', ignore)
      this.#janitor.on('close', () => {
        this.#janitor = undefined
      })
    }
    let channel = await this.channel(this.#janitor)
    for (const name of names) {
      // An exclusive queue may outlive its dropped connection for a moment and be locked.
      await eventually(`delete ${name}`, async () => {
        try {
          await channel.deleteQueue(name)
          await channel.deleteExchange(name)
          return true
        } catch {
          channel = await this.channel(this.#janitor)
          return false
        }
      })
    }
    await channel.close()
  }
}

/** Does something that must make the broker close the channel, and returns why it did. */
export async function channelError(channel: Channel, action: () => unknown): Promise<CloseReason> {
  const closed = new Promise<CloseReason>((resolve) => {
    channel.once('error', (error) => resolve(reasonOf(error)))
  })
  settle(action)
  return await within('the broker closes the channel', closed)
}

/** Does something that must make the broker close the connection, and returns why it did. */
export async function connectionError(
  connection: ChannelModel,
  action: () => unknown,
): Promise<CloseReason> {
  const closed = new Promise<CloseReason>((resolve) => {
    connection.once('error', (error) => resolve(reasonOf(error)))
    connection.once('close', (error?: Error) => {
      if (error !== undefined) resolve(reasonOf(error))
    })
  })
  settle(action)
  return await within('the broker closes the connection', closed)
}

/** Starts a consumer that keeps what it gets; it acknowledges nothing by itself. */
export async function consume(
  channel: Channel,
  queue: string,
  options: Options.Consume = {},
): Promise<Inbox> {
  const messages: ConsumeMessage[] = []
  let cancelled = false
  const take = (message: ConsumeMessage | null): void => {
    if (message === null) cancelled = true
    else messages.push(message)
  }
  const { consumerTag } = await channel.consume(queue, take, options)
  const bodies = async (count: number): Promise<string[]> => {
    await eventually(`${count} messages from ${queue}`, () => messages.length >= count)
    return messages.map((message) => message.content.toString())
  }
  return { consumerTag, messages, cancelled: () => cancelled, bodies }
}

/** Publishes to a queue through the default exchange. */
export function send(channel: Channel, queue: string, ...bodies: readonly string[]): void {
  for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body))
}

/** basic.get: one message, or undefined when nothing is ready. */
export async function getOne(
  channel: Channel,
  queue: string,
  options: Options.Get = {},
): Promise<GetMessage | undefined> {
  const got = await channel.get(queue, options)
  return got === false ? undefined : got
}

/** Takes everything that is ready in a queue, as text. */
export async function drain(channel: Channel, queue: string): Promise<string[]> {
  const bodies: string[] = []
  for (;;) {
    const got = await getOne(channel, queue, { noAck: true })
    if (got === undefined) return bodies
    bodies.push(got.content.toString())
  }
}

let nameCount = 0

function ignore(): void {}

function settle(action: () => unknown): void {
  const result = action()
  if (result instanceof Promise) result.catch(ignore)
}

function reasonOf(error: Error): CloseReason {
  const { code, classId, methodId } = error as Error & Partial<CloseReason>
  const text = /with message "(.*)"/s.exec(error.message)?.[1] ?? error.message
  return { code: code ?? 0, text, classId, methodId }
}

/** Whether `look` (a passive declaration) finds what it looks for. */
export async function exists(
  clients: Clients,
  look: (channel: Channel) => Promise<unknown>,
): Promise<boolean> {
  const channel = await clients.channel()
  channel.on('error', () => {})
  return await look(channel).then(
    () => true,
    () => false,
  )
}
