// One connection of a vhost at a time goes by a name.

import { expect, test } from 'vitest'
import { SimNode } from '../../support/sim-node.ts'
import { SimConnection } from '../../support/sim-session.ts'

function connect(node: SimNode, gateway: ReturnType<SimNode['startGateway']>): SimConnection {
  const connection = new SimConnection(gateway.port, `connection ${Math.random()}`)
  node.settle()
  return connection
}

function claim(node: SimNode, connection: SimConnection, name: string): () => boolean {
  let held = false
  connection.request(0, { op: 'claim', connection: connection.slot, name }, () => {
    held = true
  })
  node.settle()
  return () => held
}

test('a name goes to the next in line when its holder has closed, which it is asked to do', () => {
  const node = new SimNode({ shards: 2 })
  const one = node.startGateway()
  const two = node.startGateway()
  const holder = connect(node, one)
  const wanted: number[] = []
  const sink = one.port.connections.get(holder.slot)
  if (sink !== undefined) sink.onClaimWanted = (): number => wanted.push(holder.slot)
  const other = connect(node, two)
  expect(claim(node, holder, 'device')()).toBe(true)
  expect(claim(node, connect(node, two), 'other device')()).toBe(true)
  expect(wanted).toEqual([])
  const held = claim(node, other, 'device')
  expect([held(), wanted]).toEqual([false, [holder.slot]])
  holder.close()
  node.settle()
  expect(held()).toBe(true)
})

test('who waits and is overtaken gives up its place', () => {
  const node = new SimNode({ shards: 1 })
  const gateway = node.startGateway()
  const [first, second, third] = [0, 1, 2].map(() => connect(node, gateway))
  if (first === undefined || second === undefined || third === undefined) throw new Error()
  claim(node, first, 'd')
  const secondHeld = claim(node, second, 'd')
  const sink = gateway.port.connections.get(second.slot)
  if (sink !== undefined) sink.onClaimWanted = () => second.close()
  const thirdHeld = claim(node, third, 'd')
  first.close()
  node.settle()
  expect([secondHeld(), thirdHeld()]).toEqual([false, true])
})

test('a gateway that dies gives up all its names', () => {
  const node = new SimNode({ shards: 1 })
  const one = node.startGateway()
  const two = node.startGateway()
  claim(node, connect(node, one), 'd')
  const held = claim(node, connect(node, two), 'd')
  expect(held()).toBe(false)
  node.shard(0).loseGateway(one.links[0]?.id ?? 0)
  node.turn(0)
  node.settle()
  expect(held()).toBe(true)
})
