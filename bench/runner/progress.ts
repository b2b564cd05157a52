/** Lines on stderr while the runner works, so that nobody wonders whether it does. */

import type { Measurement, Metric } from '../scenarios/scenario.ts'
import { formatValue } from './format.ts'

export class Progress {
  readonly #startedAt: number

  constructor() {
    this.#startedAt = performance.now()
  }

  note(text: string): void {
    const seconds = Math.round((performance.now() - this.#startedAt) / 1000)
    process.stderr.write(`${String(seconds).padStart(5)} s  ${text}\n`)
  }

  scenario(index: number, count: number, name: string): void {
    this.note(`[${index + 1}/${count}] ${name}`)
  }

  measured(label: string, metrics: readonly Metric[], values: Measurement): void {
    const figures = metrics.map(
      ({ id, unit }) => `${id} ${formatValue(values[id] ?? Number.NaN, unit)}`,
    )
    this.note(`    ${label.padEnd(10)} ${figures.join(', ')}`)
  }

  failed(label: string, text: string): void {
    this.note(`    ${label.padEnd(10)} failed: ${text}`)
  }
}
