/** Connections, channels or declarations made and unmade again and again by several workers. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadConnection } from './connection.ts'
import { openConnection } from './connection.ts'
import type { LoadOptions } from './options.ts'
import type { LoadResult } from './result.ts'
import { usageNow } from './result.ts'
import { declareQueue } from './topology.ts'
import { MethodId, methodFrame, short, table, u8, u16 } from './wire.ts'

const CLOSE_TIMEOUT_MS = 5000

/** Counts whole rounds: a connection opened and closed, a channel, or a queue declared, bound, unbound and deleted. */
export async function runChurn(options: LoadOptions): Promise<LoadResult> {
  const startedAt = performance.now()
  const connections: LoadConnection[] = []
  if (options.mode !== 'connection-churn') {
    for (let i = 0; i < options.concurrency; i++) connections.push(await openConnection(options))
  }
  const setupSeconds = (performance.now() - startedAt) / 1000
  const state = { running: true, rounds: 0 }
  const workers = Array.from({ length: options.concurrency }, async (_, i) => {
    const connection = connections[i]
    if (options.mode === 'declare-churn') await connection?.openChannel(1)
    while (state.running) {
      await round(options, connection, i)
      state.rounds++
    }
  })
  const all = Promise.all(workers)
  await Promise.race([all, sleep(options.warmup * 1000)])
  const before = { usage: usageNow(), rounds: state.rounds }
  await Promise.race([all, sleep(options.seconds * 1000)])
  const after = { usage: usageNow(), rounds: state.rounds }
  state.running = false
  await all
  await Promise.all(connections.map((connection) => connection.close(CLOSE_TIMEOUT_MS)))
  const seconds = (after.usage.atMs - before.usage.atMs) / 1000
  const cpuUs = after.usage.cpuUs - before.usage.cpuUs
  const rounds = after.rounds - before.rounds
  return {
    mode: options.mode,
    seconds,
    deliveredPerS: 0,
    publishedPerS: 0,
    confirmedPerS: 0,
    roundsPerS: rounds / seconds,
    megabytesPerS: 0,
    setupSeconds,
    generatorCpuShare: cpuUs / 1e6 / seconds,
    generatorUsPerMessage: rounds > 0 ? cpuUs / rounds : 0,
    nacked: 0,
    backlog: 0,
    saturated: false,
  }
}

async function round(
  options: LoadOptions,
  connection: LoadConnection | undefined,
  worker: number,
): Promise<void> {
  if (connection === undefined) {
    const fresh = await openConnection(options)
    await fresh.openChannel(1)
    await fresh.close(CLOSE_TIMEOUT_MS)
    return
  }
  if (options.mode === 'channel-churn') return channelRound(connection)
  return declareRound(connection, `${options.run}.churn${worker}`)
}

async function channelRound(connection: LoadConnection): Promise<void> {
  await connection.openChannel(1)
  const args = [u16(200), short(''), u16(0), u16(0)]
  const close = methodFrame(1, MethodId.channelClose, ...args)
  await connection.request(1, close, MethodId.channelCloseOk)
}

async function declareRound(connection: LoadConnection, queue: string): Promise<void> {
  await declareQueue(connection, queue)
  const names = [u16(0), short(queue), short('amq.direct'), short('key')]
  const bind = methodFrame(1, MethodId.queueBind, ...names, u8(0), table({}))
  await connection.request(1, bind, MethodId.queueBindOk)
  const unbind = methodFrame(1, MethodId.queueUnbind, ...names, table({}))
  await connection.request(1, unbind, MethodId.queueUnbindOk)
  const remove = methodFrame(1, MethodId.queueDelete, u16(0), short(queue), u8(0))
  await connection.request(1, remove, MethodId.queueDeleteOk)
}
