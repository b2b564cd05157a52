// Which protocols a gateway can serve: the only place that knows them all. Each is loaded where it
// is asked for.

import type { Config } from '../shared/config/schema.ts'
import type { ServiceName } from '../shared/config/services.ts'
import type { Service } from './host/gateway.ts'
import { planListeners, supportsSharedPort } from './host/listener-plan.ts'
import type { Protocol } from './host/protocol.ts'
import { chooseByHead } from './host/protocol-choice.ts'

type Load = () => Promise<Protocol>

interface ServiceRow {
  readonly load: Load
  /** What its WebSocket listeners speak, by sub-protocol; `''`: without one, by default as TCP. */
  readonly web: Readonly<Record<string, Load>>
}

/** AMQP has one port for all its versions: a client's first eight bytes say which it speaks. */
const amqp: Load = async () => {
  const { amqp091 } = await import('./amqp091/index.ts')
  const { amqp10 } = await import('./amqp10/index.ts')
  const choose = (head: Uint8Array): Protocol | undefined => {
    if (head.length < amqp10Head.length) return undefined
    // Whatever else it is, AMQP 0-9-1 knows what to answer.
    return amqp10Head.every((byte, i) => byte === head[i]) ? amqp10 : amqp091
  }
  return chooseByHead('amqp', choose, (settings) => Number(settings['handshake_timeout']))
}

/** `AMQP 3 1 0 0`: AMQP 1.0 begins with its SASL layer. */
const amqp10Head: readonly number[] = [0x41, 0x4d, 0x51, 0x50, 3, 1, 0, 0]

const stomp: Load = async () => (await import('./stomp/index.ts')).stomp

/** A WebSocket without a sub-protocol: AMQP libraries ask for none, and begin like no STOMP frame. */
const stompOrAmqp: Load = async () => {
  const [stompLoaded, amqpLoaded] = await Promise.all([stomp(), amqp()])
  return chooseByHead(
    'stomp or amqp',
    (head) => {
      const start = Buffer.from(head).toString('latin1', 0, 4)
      if (start === 'AMQP') return amqpLoaded
      return 'AMQP'.startsWith(start) ? undefined : stompLoaded
    },
    (settings) => Number(settings['stomp.login_timeout']),
  )
}

const mqtt: Load = async () => (await import('./mqtt/index.ts')).mqtt

const rows: Readonly<Partial<Record<string, ServiceRow>>> = {
  amqp: { load: amqp, web: {} },
  mqtt: { load: mqtt, web: { mqtt, 'mqttv3.1': mqtt } },
  stomp: {
    load: stomp,
    web: {
      'v12.stomp': stomp,
      'v11.stomp': stomp,
      'v10.stomp': stomp,
      amqp,
      '': stompOrAmqp,
    },
  },
  stream: { load: async () => (await import('./stream/index.ts')).stream, web: {} },
}

/**
 * The services that `names` says, with their listeners by `config`. One whose protocol is not there
 * has no listeners. Their code is loaded when they are asked for it.
 */
export function planServices(names: readonly string[], config: Config): Service[] {
  return names
    .map((name) => planService(name as ServiceName, config))
    .filter((service) => service !== undefined)
}

function planService(name: ServiceName, config: Config): Service | undefined {
  const row = rows[name]
  if (row === undefined) return undefined
  const shared =
    config[`gateways.${name}.workers`] > 1 &&
    supportsSharedPort(process.versions.node, process.platform)
  const subprotocols = Object.keys(row.web).filter(Boolean)
  const load = once(row.load)
  return {
    load,
    listeners: planListeners(config, name, subprotocols, shared),
    loadWeb: (subprotocol) => row.web[subprotocol]?.() ?? load(),
  }
}

function once(load: Load): Load {
  let loaded: Promise<Protocol> | undefined
  return () => {
    loaded ??= load()
    return loaded
  }
}
