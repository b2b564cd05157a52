// The brokers that every conformance test runs on. A deployment's number of shards and the
// isolation of its gateways must not show in what clients see.

import { afterAll, afterEach, beforeAll, describe, it } from 'vitest'
import { externalBroker, startWarren } from './broker.ts'
import type { Lease } from './broker-pool.ts'
import { leaseBroker } from './broker-pool.ts'
import { Clients } from './clients.ts'

export interface Profile {
  readonly name: string
  readonly settings: readonly string[]
}

const oneShard: Profile = { name: '1 shard', settings: ['shards=1'] }
const threeShards: Profile = { name: '3 shards', settings: ['shards=3'] }
const gatewayProcess: Profile = {
  name: 'gateway process',
  settings: ['shards=1', 'gateways.amqp.isolation=process'],
}

export const PROFILES: readonly Profile[] = [oneShard, threeShards, gatewayProcess]
/** For what happens within a gateway: shards see nothing of it. */
export const GATEWAY_PROFILES: readonly Profile[] = [oneShard, gatewayProcess]
/** For what happens within the core: it does not know where a gateway runs. */
export const CORE_PROFILES: readonly Profile[] = [oneShard, threeShards]
/** For what passes through everything: the two that differ most from the simplest broker. */
export const EXTREME_PROFILES: readonly Profile[] = [threeShards, gatewayProcess]

// Where RabbitMQ 4.0.5 does not do what these tests ask for, which is the level of 4.3:
// - its smallest frame is 4096 bytes, and it drops a connection whose tune-ok is out of bounds;
// - it drops a connection for an unknown method or table type, and takes malformed properties and
//   bodies that are too long (more in bad-input.test.ts);
// - it keeps returns and no-ack deliveries for a client that does not read, without a bound;
// - queue.declare of a passive kind needs no permission at all.
// With the plugins for consistent-hash, random and sharding on, it passes everything else; users
// and watermark set by hand, permissions.test.ts and memory-alarm.test.ts as well.

/** `it` for what another broker, or an older version of it, may do otherwise. */
export const itOnWarren: typeof it.skip = externalBroker() === undefined ? it : it.skip

export interface BrokerOptions {
  /** For tests that set the broker up or look inside: skipped on a broker we did not start. */
  readonly warrenOnly?: boolean
  readonly settings?: readonly string[]
  /** Further protocols: see StartOptions. */
  readonly listen?: readonly string[]
  /** The tests send operators' commands. */
  readonly admin?: boolean
  /** The tests look at the process of the broker, or leave something behind that others notice. */
  readonly alone?: boolean
  /** Defaults to all of them. */
  readonly profiles?: readonly Profile[]
}

/** Runs the tests in `body` on every profile; `use` gives the clients of the current test. */
export function describeBrokers(
  title: string,
  body: (use: () => Clients) => void,
  options: BrokerOptions = {},
): void {
  const external = externalBroker()
  if (external !== undefined) {
    const suite = options.warrenOnly === true ? describe.skip : describe
    suite(`${title} [${external.host}:${external.port}]`, () => {
      const clients = new Clients(external)
      afterEach(() => clients.tidy())
      afterAll(() => clients.close())
      body(() => clients)
    })
    return
  }
  for (const profile of options.profiles ?? PROFILES) {
    describe(`${title} [${profile.name}]`, () => {
      let clients: Clients
      let release: (healthy: boolean) => Promise<void>
      let healthy = true
      beforeAll(async () => {
        const { broker, giveBack } = await brokerFor(profile, options)
        clients = new Clients(broker)
        release = giveBack
      })
      afterEach(async ({ task }) => {
        if (task.result?.state === 'fail') healthy = false
        await clients.tidy()
      })
      afterAll(async () => {
        await clients.close()
        await release(healthy)
      })
      body(() => clients)
    })
  }
}

/** On the profiles that differ most from the simplest one. */
export function describeExtremes(title: string, body: (use: () => Clients) => void): void {
  describeBrokers(title, body, { profiles: EXTREME_PROFILES })
}

/** For what happens within a gateway. */
export function describeGateway(title: string, body: (use: () => Clients) => void): void {
  describeBrokers(title, body, { profiles: GATEWAY_PROFILES })
}

/** For what happens within the core. */
export function describeCore(title: string, body: (use: () => Clients) => void): void {
  describeBrokers(title, body, { profiles: CORE_PROFILES })
}

/** A broker of the pool; one of its own for tests with settings that others do not share. */
async function brokerFor(profile: Profile, options: BrokerOptions): Promise<Lease> {
  const { settings = [], listen = [], admin = false, alone = false } = options
  if (settings.length === 0 && !admin && !alone) {
    return leaseBroker({ settings: profile.settings, listen })
  }
  const broker = await startWarren({ settings: [...profile.settings, ...settings], listen, admin })
  return { broker, giveBack: () => broker.stop() }
}
