/** What one run of the load generator reports, as one line of JSON. */

import type { Percentiles } from './histogram.ts'

/** Rates are per second over the measured time only, without the warm-up. */
export type LoadResult = {
  readonly mode: string
  readonly seconds: number
  readonly deliveredPerS: number
  readonly publishedPerS: number
  readonly confirmedPerS: number
  /** Finished rounds of a churn mode. */
  readonly roundsPerS: number
  /** Bytes read from sockets. */
  readonly megabytesPerS: number
  /** Time until everything was declared, bound, connected. */
  readonly setupSeconds: number
  /** Share of one core that this process used (1 = a whole core). */
  readonly generatorCpuShare: number
  readonly generatorUsPerMessage: number
  /** Microseconds, when asked for. */
  readonly latencyUs?: Percentiles
  /** Microseconds from publish to confirm, where each publish waits for the one before. */
  readonly confirmUs?: Percentiles
  readonly nacked: number
  /** Published, never delivered when the run ended (per queue of a fan-out). */
  readonly backlog: number
  /** A paced run whose rate the broker could not take: its latency means nothing. */
  readonly saturated: boolean
  readonly error?: string
}

/** CPU time and clock at one moment, to be subtracted. */
export type Usage = { readonly atMs: number; readonly cpuUs: number }

export function usageNow(): Usage {
  const { user, system } = process.cpuUsage()
  return { atMs: performance.now(), cpuUs: user + system }
}

/** What the clients of a run have done by one moment, to be subtracted. */
export type Counters = {
  readonly usage: Usage
  readonly delivered: number
  readonly published: number
  readonly confirmed: number
  readonly bytesRead: number
}

/** The rates between two moments of a run; nothing was refused, nothing is left over. */
export function resultBetween(
  mode: string,
  before: Counters,
  after: Counters,
  setupSeconds: number,
  failure: Error | undefined,
): LoadResult {
  const seconds = (after.usage.atMs - before.usage.atMs) / 1000
  const cpuUs = after.usage.cpuUs - before.usage.cpuUs
  const delivered = after.delivered - before.delivered
  const published = after.published - before.published
  const messages = delivered > 0 ? delivered : published
  return {
    mode,
    seconds,
    deliveredPerS: delivered / seconds,
    publishedPerS: published / seconds,
    confirmedPerS: (after.confirmed - before.confirmed) / seconds,
    roundsPerS: 0,
    megabytesPerS: (after.bytesRead - before.bytesRead) / 1e6 / seconds,
    setupSeconds,
    generatorCpuShare: cpuUs / 1e6 / seconds,
    generatorUsPerMessage: messages > 0 ? cpuUs / messages : 0,
    nacked: 0,
    backlog: 0,
    saturated: false,
    ...(failure === undefined ? {} : { error: failure.message }),
  }
}

/** Two halves of a split run as one: the consumer's deliveries, the producer's publishes. */
export function mergeResults(publish: LoadResult, consume: LoadResult): LoadResult {
  const error = publish.error ?? consume.error
  return {
    ...consume,
    publishedPerS: publish.publishedPerS,
    ...(publish.confirmUs === undefined ? {} : { confirmUs: publish.confirmUs }),
    confirmedPerS: publish.confirmedPerS,
    setupSeconds: Math.max(publish.setupSeconds, consume.setupSeconds),
    generatorCpuShare: publish.generatorCpuShare + consume.generatorCpuShare,
    generatorUsPerMessage: publish.generatorUsPerMessage + consume.generatorUsPerMessage,
    nacked: publish.nacked,
    saturated: publish.saturated,
    backlog: 0,
    ...(error === undefined ? {} : { error }),
  }
}
