// A gateway that dies takes its connections with it and nothing else.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { accepts, externalBroker, startWarren } from '../support/broker.ts'
import { Clients, consume, drain, send } from '../support/clients.ts'
import { canInspectProcesses, childrenOf } from '../support/process-tree.ts'
import { eventually } from '../support/wait.ts'

const suite = externalBroker() === undefined && canInspectProcesses ? describe : describe.skip

suite.each([['1'], ['3']])('gateway process, shards=%s', (shards) => {
  let broker: Broker
  let clients: Clients

  beforeAll(async () => {
    const settings = [`shards=${shards}`, 'gateways.amqp.isolation=process']
    broker = await startWarren({ settings })
    clients = new Clients(broker)
  })

  afterAll(() => broker.stop())

  const gatewayPid = (): number => childrenOf(broker.process?.pid ?? 0)[0] ?? 0

  /** Kills the gateway as a crash would, and waits until a new one serves. */
  async function crash(): Promise<void> {
    const pid = gatewayPid()
    expect(pid).toBeGreaterThan(0)
    process.kill(pid, 'SIGKILL')
    await eventually('another gateway is there', () => ![0, pid].includes(gatewayPid()))
    await eventually('it accepts', () => accepts(broker.port))
  }

  it('comes back after a crash, with every queue as it was', async () => {
    const channel = await clients.confirmChannel()
    const [queue, exchange] = [clients.name('kept'), clients.name('kept-x')]
    await channel.assertQueue(queue)
    await channel.assertExchange(exchange, 'fanout')
    await channel.bindQueue(queue, exchange, '')
    send(channel, queue, '1', '2', '3')
    await channel.waitForConfirms()
    const gone = new Promise((resolve) => channel.once('close', resolve))
    await crash()
    await gone
    const after = await clients.channel()
    after.publish(exchange, '', Buffer.from('4'))
    expect(await drain(after, queue)).toEqual(['1', '2', '3', '4'])
    await clients.tidy()
  })

  it('gives back what was not acknowledged, and drops exclusive queues and consumers', async () => {
    const channel = await clients.confirmChannel()
    const queue = clients.name('held')
    await channel.assertQueue(queue)
    const { queue: exclusive } = await channel.assertQueue('', { exclusive: true })
    send(channel, queue, '1', '2')
    const inbox = await consume(channel, queue)
    await inbox.bodies(2)
    await crash()
    const after = await clients.channel()
    const again = await consume(after, queue)
    expect(await again.bodies(2)).toEqual(['1', '2'])
    expect(again.messages.every((message) => message.fields.redelivered)).toBe(true)
    expect((await after.checkQueue(queue)).consumerCount).toBe(1)
    await expect(after.checkQueue(exclusive)).rejects.toThrow('404')
    await clients.tidy()
  })

  it('comes back again and again', async () => {
    for (let i = 0; i < 3; i += 1) {
      await crash()
      await eventually('clients are served', () =>
        clients.roundTrip().then(
          () => true,
          () => false,
        ),
      )
    }
  })
})
