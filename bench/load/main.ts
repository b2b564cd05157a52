/**
 * The load generator, a process of its own: `node dist/bench/load/main.js --size=16 ...` prints one
 * line of JSON. See `options.ts` for the flags.
 */

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { runAmqp10 } from './amqp10-run.ts'
import { runChurn } from './churn-run.ts'
import type { DeepProgress } from './deep-run.ts'
import { runDeep } from './deep-run.ts'
import { runExpiry } from './expiry-run.ts'
import { runLog, runReplay } from './log-run.ts'
import { runRetained } from './mqtt-retained-run.ts'
import { runMqtt } from './mqtt-run.ts'
import type { LoadOptions } from './options.ts'
import { parseLoadOptions, toArgs } from './options.ts'
import type { LoadResult } from './result.ts'
import { mergeResults } from './result.ts'
import { runStomp } from './stomp-run.ts'
import { runStream } from './stream-run.ts'

/** Said by the consuming half of a split run once it stands. */
const READY = 'ready'

try {
  const given = parseLoadOptions(process.argv.slice(2))
  // Left-overs of an earlier run must not count in this one.
  const options = given.run === '' ? { ...given, run: `bench.${process.pid}` } : given
  const result = await run(options)
  process.stdout.write(`${JSON.stringify(result)}\n`)
  process.exit(result.error === undefined ? 0 : 1)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(2)
}

function run(options: LoadOptions): Promise<LoadResult> {
  if (options.mode === 'deep') return runDeep(options, sayProgress)
  if (options.mode === 'amqp10') return runAmqp10(options)
  if (options.mode === 'expiry') return runExpiry(options)
  if (options.mode === 'stomp') return runStomp(options)
  if (options.mode === 'log') return runLog(options)
  if (options.mode === 'replay') return runReplay(options)
  if (options.mode === 'mqtt') return runMqtt(options)
  if (options.mode === 'mqtt-retained') return runRetained(options)
  if (options.mode !== 'stream') return runChurn(options)
  if (options.split && options.role === 'both') return runSplit(options)
  return runStream(options, () => {
    if (options.role === 'consume') process.stdout.write(`${READY}\n`)
  })
}

function sayProgress(progress: DeepProgress): void {
  process.stdout.write(`${JSON.stringify(progress)}\n`)
}

/** The consumer first (it declares the queues and outlives the producer), then the producer. */
async function runSplit(options: LoadOptions): Promise<LoadResult> {
  const consume = startHalf({ ...options, split: false, role: 'consume' })
  await consume.ready
  const publish = startHalf({ ...options, split: false, role: 'publish' })
  const [published, consumed] = await Promise.all([publish.result, consume.result])
  return mergeResults(published, consumed)
}

type Half = { readonly ready: Promise<void>; readonly result: Promise<LoadResult> }

function startHalf(options: LoadOptions): Half {
  const child: ChildProcess = spawn(
    process.execPath,
    [fileURLToPath(import.meta.url), ...toArgs(options)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const text = { value: '' }
  const ready = new Promise<void>((resolve) => {
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text.value += chunk
      if (text.value.startsWith(READY)) resolve()
    })
    child.once('close', () => resolve())
  })
  const result = once(child, 'close').then(() => {
    const line = text.value.trim().split('\n').at(-1) ?? ''
    if (!line.startsWith('{')) throw new Error(`the ${options.role} half ended without a result`)
    return JSON.parse(line) as LoadResult
  })
  return { ready, result }
}
