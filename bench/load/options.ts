/** What one run of the load generator does, and its command line. */

import { parseArgs } from 'node:util'

/** Everything that shapes a run. Rates are messages per second, times are seconds. */
export type LoadOptions = {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly vhost: string
  /** Where STOMP is spoken, over TCP and over WebSocket. */
  readonly stompPort: number
  readonly webStompPort: number
  /** Where the stream protocol is spoken. */
  readonly streamPort: number
  readonly mqttPort: number
  /**
   * stream: publish and consume. stomp, mqtt, amqp10: the same by another protocol. deep: publish
   * `messages` messages, then consume them all. expiry: publish `messages` messages that expire at
   * random times within `spread` seconds. log, replay: see log-run.ts. The churn modes count finished
   * rounds instead.
   */
  readonly mode: LoadMode
  /** Of mode `mqtt`: of publishes and subscriptions. */
  readonly qos: number
  /** Of mode `stomp`: over WebSocket. */
  readonly web: boolean
  readonly producers: number
  /** Consumers take the queues in turn. */
  readonly consumers: number
  /** Producers take the queues in turn, unless an exchange is named. */
  readonly queues: number
  /** `x-queue-type` of the queues; '': none is given. */
  readonly queueType: string
  /** Further arguments of the queues: `x-message-ttl=60000,x-max-length=100`; numbers are numbers. */
  readonly queueArguments: string
  /** Every publish has a priority, 0 to this minus 1 in turn; 0: none has one. */
  readonly priorities: number
  /** Milliseconds: every publish has this expiration; 0: none. */
  readonly expiration: number
  readonly size: number
  /** '' (each queue by its name), 'fanout' or 'topic'. */
  readonly exchange: string
  /** Topic bindings of random keys that match few publishes. */
  readonly bindings: number
  /** 'auto', 'single', or how many deliveries one `multiple` ack covers. */
  readonly ack: string
  readonly prefetch: number
  /** Unconfirmed publishes allowed per producer; 0: no confirms. Of mode `mqtt`: its window. */
  readonly confirm: number
  /** Over all producers; 0: as fast as the broker takes them. */
  readonly rate: number
  /** Stamp bodies and report percentiles (needs `size` >= 4). */
  readonly latency: boolean
  readonly persistent: boolean
  /** Connections that hold a channel and a consumer and get one message a second each. */
  readonly idle: number
  /** Of the modes `deep`, `expiry`, `replay` and `mqtt-retained`. */
  readonly messages: number
  /** Of mode `expiry`: seconds between the first expiry and the last. */
  readonly spread: number
  /** Workers of a churn mode. */
  readonly concurrency: number
  readonly warmup: number
  readonly seconds: number
  /** Producers and consumers in a process each. */
  readonly split: boolean
  /** Which half this process is; set by `split`. Of mode `deep`: which half of it is done. */
  readonly role: LoadRole
  /** Prefix of all names of this run; '': made from the process id. */
  readonly run: string
}

export const loadModes = [
  'stream',
  'deep',
  'expiry',
  'stomp',
  'amqp10',
  'log',
  'replay',
  'mqtt',
  'mqtt-retained',
  'connection-churn',
  'channel-churn',
  'declare-churn',
] as const
export type LoadMode = (typeof loadModes)[number]

export const loadRoles = ['both', 'publish', 'consume'] as const
export type LoadRole = (typeof loadRoles)[number]

export const defaultLoadOptions: LoadOptions = {
  host: '127.0.0.1',
  port: 5672,
  user: 'guest',
  password: 'guest',
  vhost: '/',
  stompPort: 61613,
  webStompPort: 15674,
  streamPort: 5552,
  mqttPort: 1883,
  qos: 0,
  web: false,
  mode: 'stream',
  producers: 1,
  consumers: 1,
  queues: 1,
  queueType: '',
  queueArguments: '',
  priorities: 0,
  expiration: 0,
  size: 16,
  exchange: '',
  bindings: 0,
  ack: 'auto',
  prefetch: 0,
  confirm: 0,
  rate: 0,
  latency: false,
  persistent: false,
  idle: 0,
  messages: 0,
  spread: 30,
  concurrency: 8,
  warmup: 1,
  seconds: 5,
  split: false,
  role: 'both',
  run: '',
}

/** Command-line arguments for `options`, those that differ from the defaults only. */
export function toArgs(options: Partial<LoadOptions>): string[] {
  const args: string[] = []
  for (const [key, value] of Object.entries(options)) {
    if (value === true) args.push(`--${key}`)
    else if (value !== false) args.push(`--${key}=${value}`)
  }
  return args
}

/** Reads a command line; throws with a readable message on anything unknown or out of range. */
export function parseLoadOptions(args: readonly string[]): LoadOptions {
  const entries = Object.entries(defaultLoadOptions)
  const { values } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      entries.map(([key, value]) => [
        key,
        { type: typeof value === 'boolean' ? ('boolean' as const) : ('string' as const) },
      ]),
    ),
  })
  const text = (key: keyof LoadOptions): string => String(values[key] ?? defaultLoadOptions[key])
  const number = (key: keyof LoadOptions): number => {
    const value = Number(text(key))
    if (!(value >= 0)) throw new Error(`--${key} wants a number, not '${text(key)}'`)
    return value
  }
  const flag = (key: keyof LoadOptions): boolean => values[key] === true
  const oneOf = <T extends string>(key: keyof LoadOptions, allowed: readonly T[]): T => {
    const found = allowed.find((value) => value === text(key))
    if (found === undefined) throw new Error(`--${key} wants one of ${allowed.join(', ')}`)
    return found
  }
  const ack = text('ack')
  if (!/^(auto|single|[1-9]\d*)$/.test(ack)) throw new Error(`--ack wants auto, single or a count`)
  return {
    host: text('host'),
    port: number('port'),
    user: text('user'),
    password: text('password'),
    vhost: text('vhost'),
    stompPort: number('stompPort'),
    webStompPort: number('webStompPort'),
    streamPort: number('streamPort'),
    mqttPort: number('mqttPort'),
    qos: Math.min(1, number('qos')),
    web: flag('web'),
    mode: oneOf('mode', loadModes),
    producers: number('producers'),
    consumers: number('consumers'),
    queues: Math.max(1, number('queues')),
    queueType: oneOf('queueType', ['', 'classic', 'quorum']),
    queueArguments: text('queueArguments'),
    priorities: number('priorities'),
    expiration: number('expiration'),
    size: number('size'),
    exchange: oneOf('exchange', ['', 'fanout', 'topic']),
    bindings: number('bindings'),
    ack,
    prefetch: number('prefetch'),
    confirm: number('confirm'),
    rate: number('rate'),
    latency: flag('latency'),
    persistent: flag('persistent'),
    idle: number('idle'),
    messages: number('messages'),
    spread: number('spread'),
    concurrency: Math.max(1, number('concurrency')),
    warmup: number('warmup'),
    seconds: number('seconds'),
    split: flag('split'),
    role: oneOf('role', loadRoles),
    run: text('run'),
  }
}
