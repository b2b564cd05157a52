// The long run, `npm run sim -- [--seeds N] [--first N]`. Ends at the first seed that fails.

import { runSeed } from './simulation.ts'

function option(name: string, preset: number): number {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? preset : Number(process.argv[at + 1])
}

const first = option('first', Number(process.env['SIM_SEED'] ?? 1))
const seeds = option('seeds', process.env['SIM_SEED'] === undefined ? 1000 : 1)
let deliveries = 0
let steps = 0
const started = performance.now()

for (let seed = first; seed < first + seeds; seed++) {
  try {
    const outcome = runSeed(seed)
    deliveries += outcome.deliveries
    steps += outcome.steps
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  }
  if ((seed - first) % 1000 === 999) console.log(`${seed - first + 1} seeds`)
}
const seconds = ((performance.now() - started) / 1000).toFixed(1)
console.log(`${seeds} seeds, ${steps} steps, ${deliveries} deliveries in ${seconds} s: all hold`)
