// Nothing confirmed is lost, whatever ends the broker. WARREN_CRASH_ROUNDS=100 (`npm run crash`)
// runs the long form; WARREN_CRASH_SEED repeats its choices, though not its timing.

import { describe, expect, test } from 'vitest'
import { brokenBuild } from './broken-build.ts'
import type { CrashOptions } from './crash-run.ts'
import { runCrashes } from './crash-run.ts'

const rounds = Number(process.env['WARREN_CRASH_ROUNDS'] ?? 2)
const seed = Number(process.env['WARREN_CRASH_SEED'] ?? Date.now() % 1_000_000)
const long = rounds > 10
const roundMs = 20_000

function options(rest: Partial<CrashOptions>): CrashOptions {
  const onRound = (text: string): void => {
    if (long) console.log(text)
  }
  return { rounds, seed, endings: ['power', 'kill', 'stop', 'power', 'kill'], onRound, ...rest }
}

describe(`seed ${seed}`, () => {
  test.each<[string, Partial<CrashOptions>]>([
    ['one shard', { settings: ['shards=1'] }],
    ['two shards', { settings: ['shards=2'] }],
    // Log files fill and are retired, messages move to segments and come back from there.
    [
      'large messages, small memory',
      { settings: ['queue_memory_budget=256KiB'], bodyBytes: 20_000, loadMs: 1500 },
    ],
  ])(
    'every confirmed message is there after each crash, in order, and nothing settled is: %s',
    async (_, profile) => {
      const { problems, owed, sent, tornWrites } = await runCrashes(options(profile))
      expect(problems).toEqual([])
      expect(sent).toBeGreaterThan(rounds)
      expect(owed).toBeGreaterThan(0)
      if (long) console.log(`${sent} sent, ${owed} owed, ${tornWrites} writes torn`)
    },
    rounds * roundMs,
  )

  // The harness itself must be able to fail: a build whose log tells the shard before the sync.
  test.runIf(long || process.env['npm_lifecycle_event'] === 'crash')(
    'a broker that confirms before the sync is caught',
    async () => {
      const { main, remove } = brokenBuild()
      try {
        const { problems } = await runCrashes(options({ rounds: 10, endings: ['power'], main }))
        expect(problems.join('\n')).toMatch(/was confirmed and is lost/)
      } finally {
        remove()
      }
    },
    10 * roundMs,
  )

  test(
    'a disk whose syncs do nothing is caught',
    async () => {
      const { problems } = await runCrashes(
        options({ rounds: 10, endings: ['power'], lyingDisk: true }),
      )
      expect(problems.join('\n')).toMatch(/was confirmed and is lost|was settled and came back/)
    },
    10 * roundMs,
  )
})
