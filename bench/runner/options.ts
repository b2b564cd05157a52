/** Command line of `npm run bench`. */

import { parseArgs } from 'node:util'

export type RunnerOptions = {
  /** Parts of scenario names; empty: all. */
  readonly only: readonly string[]
  readonly quick: boolean
  readonly rounds: number
  readonly seconds: number
  readonly warmup: number
  readonly peer: PeerChoice
  /** Settings for Warren, as arguments of `warren start`. */
  readonly warrenArgs: readonly string[]
  /** A Warren that runs already (under a profiler, say), instead of starting one. */
  readonly attach: Address | undefined
  /** Folder for RESULTS.md and chart.svg; undefined: print only. */
  readonly out: string | undefined
  readonly list: boolean
  /** A missed target fails the run. */
  readonly check: boolean
}

export type Address = { readonly host: string; readonly port: number }

/** `auto` takes RabbitMQ where it is installed, and nothing otherwise. */
export type PeerChoice =
  | { readonly kind: 'auto' | 'none' }
  | ({ readonly kind: 'attach' } & Address)
  | { readonly kind: 'self'; readonly args: readonly string[] }

export const runnerHelp = `npm run bench -- [options]

  --only NAME        scenarios whose name contains NAME; may be given many times
  --list             names and titles of all scenarios
  --quick            a smoke run: every scenario for a moment, no peer unless one is named
  --rounds N         times each broker runs each scenario, in turns (3)
  --seconds S        measured time of a run (4), after --warmup S (1)
  --peer HOST:PORT   a running AMQP broker with guest/guest as the peer
  --peer none        Warren alone
  --against-self ARGS  a second Warren with these arguments as the peer, e.g. "--set shards=3"
  --warren ARGS      arguments for the Warren under test
  --attach HOST:PORT use a Warren that runs already (under a profiler, say)
  --out DIR          where RESULTS.md and chart.svg go (bench/, after a full run)
  --no-out           write no files
  --check            exit with 1 when a target is missed

Without --peer the runner starts RabbitMQ if it finds one (bench/peers/rabbitmq.ts says how to get it).
`

/** Reads the command line; throws with a readable message. `defaultOut` is used by full runs. */
export function parseRunnerOptions(args: readonly string[], defaultOut: string): RunnerOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true },
      list: { type: 'boolean' },
      check: { type: 'boolean' },
      quick: { type: 'boolean' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      warmup: { type: 'string' },
      peer: { type: 'string' },
      'against-self': { type: 'string' },
      warren: { type: 'string' },
      attach: { type: 'string' },
      out: { type: 'string' },
      'no-out': { type: 'boolean' },
    },
  })
  const quick = values.quick === true
  const only = values.only ?? []
  const complete = !quick && only.length === 0 && values['no-out'] !== true
  return {
    only,
    quick,
    rounds: positive('rounds', values.rounds, quick ? 1 : 3),
    seconds: positive('seconds', values.seconds, quick ? 0.25 : 4),
    warmup: positive('warmup', values.warmup, quick ? 0.1 : 1),
    peer: peerOf(values.peer, values['against-self'], quick),
    warrenArgs: words(values.warren ?? ''),
    attach: values.attach === undefined ? undefined : addressOf('attach', values.attach),
    out: values.out ?? (complete ? defaultOut : undefined),
    list: values.list === true,
    check: values.check === true,
  }
}

function peerOf(peer: string | undefined, self: string | undefined, quick: boolean): PeerChoice {
  if (self !== undefined) return { kind: 'self', args: words(self) }
  if (peer === undefined) return { kind: quick ? 'none' : 'auto' }
  if (peer === 'none' || peer === 'auto') return { kind: peer }
  return { kind: 'attach', ...addressOf('peer', peer) }
}

function addressOf(name: string, text: string): Address {
  const parts = /^(.+):(\d+)$/.exec(text)
  if (parts === null) throw new Error(`--${name} wants HOST:PORT, not '${text}'`)
  return { host: parts[1] ?? '', port: Number(parts[2]) }
}

function positive(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text)
  if (!(value > 0)) throw new Error(`--${name} wants a number above 0, not '${text}'`)
  return value
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}
