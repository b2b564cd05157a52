import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const main = fileURLToPath(new URL('../../dist/bench/main.js', import.meta.url))
const run = promisify(execFile)

test('a quick run starts Warren, measures and prints a table', { timeout: 60_000 }, async () => {
  const only = [
    'throughput-1kib',
    'confirms-acks',
    'fan-out-16b',
    'latency-peer',
    'declare-churn',
    'deep',
  ]
  const args = ['--quick', ...only.flatMap((name) => ['--only', name])]
  const { stdout, stderr } = await run(process.execPath, [main, ...args])
  expect(stdout).toMatch(/Warren: Warren \d/)
  expect(stdout).toMatch(/1 KiB, 1:1, auto-ack +\| +[\d.]+ .?.?msg\/s/)
  expect(stdout).toMatch(/p99 latency at half of the peer's maximum +\| +[\d.]+ [um]s/)
  expect(stdout).toMatch(/5 M x 16 B: drain +\| +[\d.]+ k msg\/s/)
  expect(stdout).not.toContain('not measured')
  // Whoever waits sees what it is at.
  expect(stderr).toContain('[1/')
})

test('a bad command line says so and ends with 2', async () => {
  const failure = await run(process.execPath, [main, '--rounds', 'many']).catch((error) => error)
  expect(failure).toMatchObject({ code: 2 })
  expect(String(failure.stderr)).toContain('--rounds')
})
