import { expect, test } from 'vitest'
import type { Broker } from '../../../bench/peers/broker.ts'
import { renderChart } from '../../../bench/runner/chart.ts'
import { formatValue } from '../../../bench/runner/format.ts'
import type { Row } from '../../../bench/runner/measure.ts'
import { parseRunnerOptions } from '../../../bench/runner/options.ts'
import { renderTable } from '../../../bench/runner/report.ts'
import { allScenarios } from '../../../bench/scenarios/all.ts'

const target = { host: '127.0.0.1', port: 1, user: '', password: '', vhost: '/' }

function broker(label: string): Broker {
  const stop = (): Promise<void> => Promise.resolve()
  const restart = (): Promise<number> => Promise.resolve(300)
  const memory = { idleMegabytes: 80, megabytes: () => undefined }
  return {
    label,
    version: '1',
    target,
    startMs: 300,
    ...memory,
    lastWords: () => '',
    restart,
    stop,
  }
}

const rows: readonly Row[] = [
  {
    scenario: 'throughput',
    metric: {
      id: 'rate',
      title: '16 B & more',
      unit: 'msg/s',
      better: 'more',
      target: { of: 'ratio', atLeast: 25 },
    },
    labels: ['Warren', 'Peer'],
    first: 1_920_000,
    second: 48_000,
    ratio: 40,
    met: true,
    generatorCpuShare: 0.41,
  },
  {
    scenario: 'latency',
    metric: { id: 'p99', title: 'p99', unit: 'us', better: 'less' },
    labels: ['Warren', 'Peer'],
    first: 310,
    second: undefined,
    ratio: undefined,
    met: undefined,
    generatorCpuShare: 0,
  },
]

test('figures have three digits and a unit', () => {
  expect(formatValue(1_923_456, 'msg/s')).toBe('1.92 M msg/s')
  expect(formatValue(45_123, 'msg/s')).toBe('45.1 k msg/s')
  expect(formatValue(310.4, 'us')).toBe('310 us')
  expect(formatValue(2400, 'us')).toBe('2.40 ms')
  expect(formatValue(0.032, 'x')).toBe('0.032 x')
  expect(formatValue(undefined, 's')).toBe('-')
})

test('the table says what was met, and lines up', () => {
  const lines = renderTable(rows, broker('Warren'), broker('Peer')).split('\n')
  expect(lines).toHaveLength(4)
  expect(new Set(lines.map((line) => line.length)).size).toBe(1)
  expect(lines[2]).toContain('1.92 M msg/s | 48.0 k msg/s | 40.0 x | ratio >= 25 | met')
})

test('the chart draws what has a ratio and escapes its texts', () => {
  const svg = renderChart(rows, 'a < b')
  expect(svg).toContain('16 B &amp; more')
  expect(svg).toContain('a &lt; b')
  expect(svg).not.toContain('>p99<')
})

test('a quick run needs no peer and writes nothing, a full run does', () => {
  const quick = parseRunnerOptions(['--quick'], '/out')
  expect(quick.peer).toEqual({ kind: 'none' })
  expect(quick.out).toBeUndefined()
  const full = parseRunnerOptions([], '/out')
  expect(full.peer).toEqual({ kind: 'auto' })
  expect(full.out).toBe('/out')
  expect(parseRunnerOptions(['--only', 'x'], '/out').out).toBeUndefined()
  const named = parseRunnerOptions(['--peer', '127.0.0.1:5673'], '/out').peer
  expect(named).toEqual({ kind: 'attach', host: '127.0.0.1', port: 5673 })
  expect(() => parseRunnerOptions(['--rounds', '0'], '/out')).toThrow('--rounds')
})

test('every scenario has a name of its own and a title for each figure', () => {
  const names = allScenarios.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  for (const { metrics } of allScenarios) expect(metrics.length).toBeGreaterThan(0)
})
