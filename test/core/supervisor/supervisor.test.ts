import { afterEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../core/config/load.ts'
import { Supervisor, shardCrashExitCode } from '../../../core/supervisor/supervisor.ts'
import { createArena } from '../../../shared/bus/arena.ts'
import { createLog } from '../../../shared/log.ts'
import { amqpOnly } from '../../support/listeners.ts'
import { eventually } from '../../support/wait.ts'

interface Run {
  readonly supervisor: Supervisor
  readonly lines: string[]
  readonly exits: { code: number; text: string | undefined }[]
  ready(): boolean
}

const runs: Run[] = []

function run(script: string, ...set: string[]): Run {
  const lines: string[] = []
  const exits: Run['exits'] = []
  let ready = false
  const listeners = ['listeners.tcp.a=127.0.0.1:5001', 'listeners.tcp.b=::1:5002']
  const all = [...listeners, 'shards=2', `cluster_name=${script}`, ...set]
  const { config } = loadConfig({ env: amqpOnly, set: all })
  const supervisor = new Supervisor({
    config,
    log: createLog((_, msg, fields) => {
      const facts = fields === undefined ? '' : ` ${JSON.stringify(fields)}`
      lines.push(`${msg}${facts}`)
    }),
    arena: createArena(0),
    watermarkBytes: 2 ** 40,
    disk: { salt: 1, stoppedCleanly: false },
    diskLimitBytes: 0,
    shardUrl: new URL('./fixtures/shard.js', import.meta.url),
    logUrl: new URL('./fixtures/log.js', import.meta.url),
    readerUrl: new URL('./fixtures/log.js', import.meta.url),
    metadataUrl: new URL('./fixtures/metadata.js', import.meta.url),
    onCleanStop: () => lines.push('all is on disk'),
    gatewayUrl: new URL('./fixtures/gateway.js', import.meta.url),
    bridgeUrl: new URL('./fixtures/gateway.js', import.meta.url),
    onReady: () => {
      ready = true
    },
    exit: (code, text) => {
      exits.push({ code, text })
    },
  })
  const started = { supervisor, lines, exits, ready: () => ready }
  runs.push(started)
  supervisor.start()
  return started
}

afterEach(async () => {
  for (const { supervisor } of runs.splice(0)) {
    supervisor.stop('end of test')
    supervisor.terminate()
  }
})

describe('the supervisor', () => {
  test('names every listener once and is ready when all of them serve', async () => {
    const { lines, exits, ready } = run('works', 'gateways.amqp.workers=2')
    await eventually('it is ready', ready)
    expect(lines.filter((line) => line.startsWith('listening')).sort()).toEqual([
      'listening: amqp on 127.0.0.1:5001',
      'listening: amqp on [::1]:5002',
    ])
    expect(exits).toEqual([])
  })

  test('starts a crashed gateway again with new links, and tells the shards', async () => {
    const { lines, exits, ready } = run('gateway crashes', 'gateways.amqp.workers=2')
    await eventually('it is ready', ready)
    const again = (): boolean => lines.includes('amqp listens {"gateway":3,"links":[5,6]}')
    await eventually('the gateway listens again', again)
    expect(lines).toContain('shard 0: gatewayLost {"link":1}')
    expect(lines).toContain('shard 1: gatewayLost {"link":2}')
    expect(lines).toContain('shard 1: gateway {"link":6}')
    expect(lines.some((line) => /gateway amqp crashed.*gateway bug/.test(line))).toBe(true)
    expect(lines.filter((line) => line.includes('gatewayLost'))).toHaveLength(2)
    expect(exits).toEqual([])
  })

  test('exits with 1 and the reason when a listener cannot be opened', async () => {
    const { exits } = run('port in use')
    await eventually('it exits', () => exits.length > 0)
    expect(exits).toEqual([{ code: 1, text: '127.0.0.1:5672: port is in use' }])
  })

  test('exits with 70 and the cause when a shard crashes', async () => {
    const { exits } = run('shard crashes')
    await eventually('it exits', () => exits.length > 0)
    expect(exits[0]?.code).toBe(shardCrashExitCode)
    expect(exits[0]?.text).toMatch(/^shard 1 crashed, so the node stops: Error: broken invariant/)
  })

  test('stops gateways, then shards, and exits with 0', async () => {
    const { supervisor, lines, exits, ready } = run('works')
    await eventually('it is ready', ready)
    supervisor.stop('SIGTERM')
    await eventually('it exits', () => exits.length > 0)
    expect(exits).toEqual([{ code: 0, text: undefined }])
    expect(lines).toContain('stopping: SIGTERM')
    expect(lines).toContain('shard 1: stop {}')
    expect(lines.at(-2)).toBe('all is on disk')
    expect(lines.at(-1)).toBe('stopped')
  })

  test('stops within 5 s although a gateway does not answer', async () => {
    const { supervisor, exits, ready } = run('gateway hangs')
    await eventually('it is ready', ready)
    const since = performance.now()
    supervisor.stop('SIGTERM')
    await eventually('it exits', () => exits.length > 0)
    expect(performance.now() - since).toBeLessThan(5000)
    expect(exits).toEqual([{ code: 0, text: undefined }])
  })
})
