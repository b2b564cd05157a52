/** Runs the load generator as a process and reads its one line of JSON. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { DeepProgress } from '../load/deep-run.ts'
import type { LoadOptions } from '../load/options.ts'
import { toArgs } from '../load/options.ts'
import type { LoadResult } from '../load/result.ts'

/** Beyond this a run hangs; setting up 100 k bindings or 1000 connections is the longest known. */
const TIMEOUT_MS = 5 * 60_000
/** Twenty million messages, one way and back, of a slow broker. */
const DEEP_TIMEOUT_MS = 60 * 60_000

/**
 * Rejects if the generator failed or the broker closed a connection during the run. `onProgress` gets
 * what a deep run says on its way.
 */
export async function runLoad(
  options: Partial<LoadOptions>,
  onProgress: (progress: DeepProgress) => void = () => {},
): Promise<LoadResult> {
  const suffix = extname(import.meta.url)
  const main = fileURLToPath(new URL(`../load/main${suffix}`, import.meta.url))
  const child = spawn(process.execPath, [main, ...toArgs(options)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.mode === 'deep' ? DEEP_TIMEOUT_MS : TIMEOUT_MS,
  })
  let output = ''
  let errors = ''
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{"phase"')) onProgress(JSON.parse(line) as DeepProgress)
    else output += `${line}\n`
  })
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  const [, signal] = await once(child, 'close')
  if (signal !== null) throw new Error(`the load generator was ended by ${signal} (time-out)`)
  const line = output.trim().split('\n').at(-1) ?? ''
  if (!line.startsWith('{')) throw new Error(errors.trim() || 'the load generator said nothing')
  const result = JSON.parse(line) as LoadResult
  if (result.error !== undefined) throw new Error(result.error)
  return result
}
