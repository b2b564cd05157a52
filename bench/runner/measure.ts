/** Runs scenarios against two brokers in turns and gathers the values of each round. */

import type { LoadOptions } from '../load/options.ts'
import type { LoadResult } from '../load/result.ts'
import type { Broker } from '../peers/broker.ts'
import { startWarren } from '../peers/warren.ts'
import type {
  DeepRun,
  DeepSample,
  Metric,
  Scenario,
  ScenarioContext,
} from '../scenarios/scenario.ts'
import type { RunnerOptions } from './options.ts'
import type { Progress } from './progress.ts'
import { runLoad } from './run-load.ts'
import { median, medianRatio } from './statistics.ts'

/** Rate taken for the peer's maximum where there is no peer: about RabbitMQ's on two cores. */
const PEER_MAX_WITHOUT_PEER = 40_000

/** One metric of one scenario, finished. */
export type Row = {
  readonly scenario: string
  readonly metric: Metric
  readonly labels: readonly [string, string | undefined]
  readonly first: number
  readonly second: number | undefined
  readonly ratio: number | undefined
  /** Whether the target was met; undefined without a target or without what it needs. */
  readonly met: boolean | undefined
  /** Largest CPU share of the generator while it drove the first broker. */
  readonly generatorCpuShare: number
}

/** A scenario that could not be measured. */
export type Failure = { readonly scenario: string; readonly label: string; readonly text: string }

/** The deep runs of a scenario, by broker. */
export type Drawing = {
  readonly file: string
  readonly title: string
  readonly runs: readonly { readonly label: string; readonly samples: readonly DeepSample[] }[]
}

export type Report = {
  readonly rows: readonly Row[]
  readonly failures: readonly Failure[]
  readonly drawings: readonly Drawing[]
}

/** A broker and what was learned of it. */
export type Subject = { readonly broker: Broker; max: number | undefined }

/** Measures `scenarios` one after the other. */
export async function measureAll(
  scenarios: readonly Scenario[],
  warren: Subject,
  peer: Subject | undefined,
  options: RunnerOptions,
  progress: Progress,
): Promise<Report> {
  const rows: Row[] = []
  const failures: Failure[] = []
  const drawings: Drawing[] = []
  for (const [index, scenario] of scenarios.entries()) {
    progress.scenario(index, scenarios.length, scenario.name)
    let pair: readonly Subject[]
    try {
      pair = await brokersOf(scenario, warren, peer)
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      failures.push({ scenario: scenario.name, label: warren.broker.label, text })
      progress.failed(warren.broker.label, text)
      continue
    }
    const session = new Session(scenario, options, progress, peer)
    await session.run(pair)
    rows.push(...session.rows(pair))
    failures.push(...session.failures)
    drawings.push(...session.drawings())
    if (scenario.variants !== undefined) {
      for (const subject of pair) await subject.broker.stop()
    }
  }
  return { rows, failures, drawings }
}

async function brokersOf(
  scenario: Scenario,
  warren: Subject,
  peer: Subject | undefined,
): Promise<readonly Subject[]> {
  if (scenario.variants === undefined) return peer === undefined ? [warren] : [warren, peer]
  const subjects: Subject[] = []
  for (const variant of scenario.variants) {
    if (variant === undefined) continue
    const { label, args } = variant
    subjects.push({ broker: await startWarren(label, args), max: undefined })
  }
  return subjects
}

/** The rounds of one scenario. */
class Session {
  readonly #scenario: Scenario
  readonly #options: RunnerOptions
  readonly #progress: Progress
  readonly #peer: Subject | undefined
  /** Values by broker label, then metric id, one per round. */
  readonly #values: Map<string, Map<string, number[]>>
  readonly failures: Failure[]
  /** The last deep run of each broker. */
  readonly #deep: Map<string, readonly DeepSample[]>
  #generatorCpuShare: number

  constructor(
    scenario: Scenario,
    options: RunnerOptions,
    progress: Progress,
    peer: Subject | undefined,
  ) {
    this.#scenario = scenario
    this.#options = options
    this.#progress = progress
    this.#peer = peer
    this.#values = new Map()
    this.failures = []
    this.#deep = new Map()
    this.#generatorCpuShare = 0
  }

  async run(subjects: readonly Subject[]): Promise<void> {
    const rounds = this.#scenario.once === true ? 1 : this.#options.rounds
    for (let round = 0; round < rounds; round++) {
      // Each goes first in turn: the second one finds warmer caches and a hotter processor.
      const order = round % 2 === 0 ? subjects : subjects.toReversed()
      for (const subject of order) {
        if (this.failures.some(({ label }) => label === subject.broker.label)) continue
        await this.#round(subject, subject === subjects[0])
      }
    }
  }

  async #round(subject: Subject, first: boolean): Promise<void> {
    const { label } = subject.broker
    try {
      const measurement = await this.#scenario.run(this.#context(subject, first))
      this.#progress.measured(label, this.#scenario.metrics, measurement)
      const byMetric = this.#values.get(label) ?? new Map<string, number[]>()
      this.#values.set(label, byMetric)
      for (const { id } of this.#scenario.metrics) {
        byMetric.set(id, [...(byMetric.get(id) ?? []), measurement[id] ?? Number.NaN])
      }
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      const lastWords = subject.broker.lastWords()
      this.failures.push({ scenario: this.#scenario.name, label, text })
      this.#progress.failed(label, lastWords === '' ? text : `${text}; it has ended:\n${lastWords}`)
    }
  }

  #context(subject: Subject, first: boolean): ScenarioContext {
    const { quick, seconds, warmup } = this.#options
    const load = async (options: Parameters<ScenarioContext['load']>[0]): Promise<LoadResult> => {
      const result = await runLoad({ ...subject.broker.target, seconds, warmup, ...options })
      if (first) {
        this.#generatorCpuShare = Math.max(this.#generatorCpuShare, result.generatorCpuShare)
      }
      return result
    }
    return {
      quick,
      first,
      load,
      deep: (options) => this.#runDeep(subject, options),
      restart: async () => (await subject.broker.restart()) / 1000,
      megabytes: () => subject.broker.megabytes() ?? Number.NaN,
      ownMax: () => maxOf(subject, this.#options),
      peerMax: async () =>
        this.#peer === undefined ? PEER_MAX_WITHOUT_PEER : maxOf(this.#peer, this.#options),
    }
  }

  async #runDeep({ broker }: Subject, options: Partial<LoadOptions>): Promise<DeepRun> {
    const samples: DeepSample[] = []
    const result = await runLoad({ ...broker.target, ...options, mode: 'deep' }, (progress) =>
      samples.push({ ...progress, megabytes: broker.megabytes() }),
    )
    this.#deep.set(broker.label, samples)
    return { result, samples }
  }

  drawings(): Drawing[] {
    const { drawnAs, metrics } = this.#scenario
    if (drawnAs === undefined || this.#deep.size === 0) return []
    const runs = [...this.#deep].map(([label, samples]) => ({ label, samples }))
    return [{ file: drawnAs, title: metrics[0]?.title ?? '', runs }]
  }

  rows(subjects: readonly Subject[]): Row[] {
    const [first, second] = subjects.map(({ broker }) => broker.label)
    if (first === undefined) return []
    return this.#scenario.metrics.map((metric) => {
      const firsts = this.#values.get(first)?.get(metric.id) ?? []
      const seconds = second === undefined ? [] : (this.#values.get(second)?.get(metric.id) ?? [])
      const value = median(firsts)
      const ratio = seconds.length === 0 ? undefined : medianRatio(firsts, seconds)
      return {
        scenario: this.#scenario.name,
        metric,
        labels: [first, second],
        first: value,
        second: seconds.length === 0 ? undefined : median(seconds),
        ratio,
        met: targetMet(metric, value, ratio),
        generatorCpuShare: this.#generatorCpuShare,
      }
    })
  }
}

/** Deliveries per second of the plainest stream, measured when first asked for. */
async function maxOf(subject: Subject, options: RunnerOptions): Promise<number> {
  if (subject.max === undefined) {
    const { seconds, warmup } = options
    const result = await runLoad({ ...subject.broker.target, seconds, warmup })
    subject.max = result.deliveredPerS
  }
  return subject.max
}

function targetMet(metric: Metric, value: number, ratio: number | undefined): boolean | undefined {
  const { target } = metric
  if (target === undefined) return undefined
  const measured = target.of === 'ratio' ? ratio : value
  if (measured === undefined || Number.isNaN(measured)) return undefined
  return measured >= (target.atLeast ?? -Infinity) && measured <= (target.atMost ?? Infinity)
}
