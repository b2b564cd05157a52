/** `npm run bench`: Warren and a peer under the same loads, in turns. `--help` lists the options. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Broker } from './peers/broker.ts'
import { attachBroker, guestOn } from './peers/broker.ts'
import { findRabbitmq, startRabbitmq } from './peers/rabbitmq.ts'
import { startWarren } from './peers/warren.ts'
import { renderChart } from './runner/chart.ts'
import type { Report } from './runner/measure.ts'
import { measureAll } from './runner/measure.ts'
import type { RunnerOptions } from './runner/options.ts'
import { parseRunnerOptions, runnerHelp } from './runner/options.ts'
import { Progress } from './runner/progress.ts'
import { describeMachine, renderBroker, renderResults, renderTable } from './runner/report.ts'
import { renderSeries } from './runner/series-chart.ts'
import { allScenarios } from './scenarios/all.ts'

process.exitCode = await main(process.argv.slice(2))

/** Exit codes: 0 done, 1 something could not be measured, 2 bad command line. */
async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    process.stdout.write(runnerHelp)
    return 0
  }
  let options: RunnerOptions
  try {
    options = parseRunnerOptions(args, sourceFolder())
  } catch (error) {
    process.stderr.write(
      `${error instanceof Error ? error.message : String(error)}\n\n${runnerHelp}`,
    )
    return 2
  }
  const scenarios = allScenarios.filter(({ name, onDemand }) =>
    options.only.length === 0
      ? onDemand !== true
      : options.only.some((part) => name.includes(part)),
  )
  if (options.list || scenarios.length === 0) {
    for (const { name, metrics } of allScenarios) {
      process.stdout.write(`${name.padEnd(26)} ${metrics[0]?.title}\n`)
    }
    return options.list ? 0 : 2
  }
  const brokers: Broker[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(brokers.map((broker) => broker.stop()))
  }
  process.once('SIGINT', () => {
    stop().then(
      () => process.exit(130),
      () => process.exit(130),
    )
  })
  try {
    const progress = new Progress()
    await startBrokers(options, progress, brokers)
    const [warren, peer] = brokers.map((broker) => ({ broker, max: undefined }))
    if (warren === undefined) throw new Error('Warren did not start')
    const report = await measureAll(scenarios, warren, peer, options, progress)
    publish(report, brokers, options, ['npm run bench --', ...args].join(' '))
    const missed = options.check && report.rows.some(({ met }) => met === false)
    return report.failures.length === 0 && !missed ? 0 : 1
  } finally {
    await stop()
  }
}

/** Warren first, then the peer; each is in `brokers` as soon as it must be stopped. */
async function startBrokers(
  options: RunnerOptions,
  progress: Progress,
  brokers: Broker[],
): Promise<void> {
  const { attach, peer } = options
  if (attach === undefined) {
    progress.note('starting Warren')
    brokers.push(await startWarren('Warren', options.warrenArgs))
  } else brokers.push(await attachBroker('Warren', guestOn(attach.host, attach.port)))
  if (peer.kind === 'self') {
    const label = `Warren ${peer.args.join(' ')}`
    brokers.push(await startWarren(label, peer.args))
  } else if (peer.kind === 'attach') {
    brokers.push(await attachBroker('peer', guestOn(peer.host, peer.port)))
  } else if (peer.kind === 'auto') {
    const installation = findRabbitmq(process.env)
    if (installation === undefined) {
      progress.note('no RabbitMQ found: Warren runs alone (--help says how to name a peer)')
      return
    }
    progress.note('starting RabbitMQ')
    brokers.push(await startRabbitmq(installation))
  }
}

function publish(
  report: Report,
  brokers: readonly Broker[],
  options: RunnerOptions,
  command: string,
): void {
  const [warren, peer] = brokers
  if (warren === undefined) return
  const lines = [
    describeMachine(),
    ...brokers.map(renderBroker),
    '',
    renderTable(report.rows, warren, peer),
    ...report.failures.map(
      ({ scenario, label, text }) => `not measured: ${scenario}, ${label}: ${text}`,
    ),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
  if (options.out === undefined) return
  mkdirSync(options.out, { recursive: true })
  writeFileSync(join(options.out, 'RESULTS.md'), renderResults(report, brokers, options, command))
  const against = peer === undefined ? '' : ` against ${peer.version}`
  const title = `${warren.version}${against}: times better (log scale)`
  for (const drawing of report.drawings) {
    writeFileSync(join(options.out, drawing.file), renderSeries(drawing))
  }
  if (report.rows.some((row) => row.ratio !== undefined)) {
    writeFileSync(join(options.out, 'chart.svg'), renderChart(report.rows, title))
  }
}

/** `bench/` in the sources, also when this file runs from `dist/bench/`. */
function sourceFolder(): string {
  const here = fileURLToPath(new URL('.', import.meta.url))
  const root = resolve(here, '..')
  return basename(root) === 'dist' ? resolve(root, '..', 'bench') : here
}
