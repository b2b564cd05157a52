/** What a benchmark scenario is: a load shape and the figures read from it. */

import type { DeepProgress } from '../load/deep-run.ts'
import type { LoadOptions } from '../load/options.ts'
import type { LoadResult } from '../load/result.ts'

/** One row of the report. */
export type Metric = {
  readonly id: string
  readonly title: string
  readonly unit: Unit
  /** Which way is good, so that a reader (and the chart) need not guess. */
  readonly better: 'more' | 'less'
  readonly target?: Target
}

export type Unit = 'KB' | 'MB' | 'msg/s' | 'rounds/s' | 'us' | 's' | 'x'

/** A promise about the first broker's value, or about its ratio to the second one's. */
export type Target = {
  readonly of: 'ratio' | 'value'
  readonly atLeast?: number
  readonly atMost?: number
}

/** Values by metric id. */
export type Measurement = Readonly<Record<string, number>>

/** What a scenario may do to the broker it measures. */
export type ScenarioContext = {
  readonly quick: boolean
  /** This is the broker under test, not the one it is compared with. */
  readonly first: boolean
  /** Runs the load generator; rejects if the run failed. Times default to the runner's. */
  load(options: Partial<LoadOptions>): Promise<LoadResult>
  /** Runs a deep load (`mode` is set), looking at the broker's memory all the while. */
  deep(options: Partial<LoadOptions>): Promise<DeepRun>
  /** Kills the broker and starts it again; seconds until it takes a connection. */
  restart(): Promise<number>
  /** Resident megabytes of the broker. */
  megabytes(): number
  /** Rate of 16 B auto-ack messages this broker reached (measured once). */
  ownMax(): Promise<number>
  /** The same of the second broker, or a fixed rate where there is none. */
  peerMax(): Promise<number>
}

/** One look at a deep run. */
export type DeepSample = DeepProgress & { readonly megabytes: number | undefined }

export type DeepRun = { readonly result: LoadResult; readonly samples: readonly DeepSample[] }

/** A scenario; `run` is called once per round and broker, in turns. */
export type Scenario = {
  readonly name: string
  readonly metrics: readonly Metric[]
  /** Measures Warren under one or two settings instead of Warren with a peer. */
  readonly variants?: readonly [Variant, Variant?]
  /** Measured once, however many rounds are asked for: it is long, and says little of speed. */
  readonly once?: boolean
  /** Only measured when it is named: it takes minutes and gigabytes of disk. */
  readonly onDemand?: boolean
  /** Its deep runs are drawn: the name of the file. */
  readonly drawnAs?: string
  run(context: ScenarioContext): Promise<Measurement>
}

export type Variant = { readonly label: string; readonly args: readonly string[] }

/** A scenario whose only figure is deliveries per second of one load. */
export function throughputScenario(
  name: string,
  title: string,
  options: Partial<LoadOptions>,
  target?: Target,
): Scenario {
  const metric = { id: 'rate', title, unit: 'msg/s', better: 'more' } as const
  return {
    name,
    metrics: [target === undefined ? metric : { ...metric, target }],
    run: async (context) => ({ rate: (await context.load(options)).deliveredPerS }),
  }
}
