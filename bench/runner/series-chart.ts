/** Rate and memory of a deep run over time, as SVG: publish and drain one after the other. */

import type { DeepSample } from '../scenarios/scenario.ts'
import { formatValue } from './format.ts'
import type { Drawing } from './measure.ts'
import { escapeXml } from './xml.ts'

const WIDTH = 940
const LEFT = 90
const RIGHT = 150
const PANEL = 190
const GAP = 48
const TOP = 64
/** Rates are means over this many samples: one is a quarter of a second. */
const SMOOTH = 4

type Point = { readonly x: number; readonly y: number }
type Panel = {
  readonly title: string
  readonly unit: 'msg/s' | 'MB'
  readonly values: (samples: readonly DeepSample[]) => Point[]
}

const panels: readonly Panel[] = [
  { title: 'messages per second', unit: 'msg/s', values: rates },
  {
    title: 'resident memory',
    unit: 'MB',
    values: (samples) =>
      samples.flatMap(({ seconds, megabytes }) =>
        megabytes === undefined ? [] : [{ x: seconds, y: megabytes }],
      ),
  },
]

/** An SVG document; a line for each broker, a dot where its queue is as deep as it gets. */
export function renderSeries({ title, runs }: Drawing): string {
  const end = Math.max(1, ...runs.flatMap(({ samples }) => samples.map(({ seconds }) => seconds)))
  const x = (seconds: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * seconds) / end
  const height = TOP + panels.length * (PANEL + GAP)
  const parts = panels.flatMap(({ title: name, unit, values }, index) => {
    const top = TOP + index * (PANEL + GAP)
    const lines = runs.map(({ label, samples }) => ({ label, samples, points: values(samples) }))
    const most = niceMax(Math.max(1, ...lines.flatMap(({ points }) => points.map(({ y }) => y))))
    const y = (value: number): number => top + PANEL * (1 - value / most)
    return [
      `<text x="${LEFT}" y="${top - 10}">${name}</text>`,
      ...[0, 0.5, 1].map((share) => gridLine(y(share * most), formatValue(share * most, unit))),
      ...lines.flatMap(({ label, samples, points }, i) => [
        `<polyline class="s${i}" points="${points.map((p) => `${x(p.x).toFixed(1)},${y(p.y).toFixed(1)}`).join(' ')}"/>`,
        turningPoint(samples, points, i, x, y),
        `<text class="t${i}" x="${WIDTH - RIGHT + 12}" y="${top + 16 + i * 18}">${escapeXml(label)}</text>`,
      ]),
    ]
  })
  const axis = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<text class="axis" x="${x(share * end).toFixed(1)}" y="${height - 18}">${formatValue(share * end, 's')}</text>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeXml(title)}">
<style>
  rect.page { fill: #ffffff; } text { font: 12px system-ui, sans-serif; fill: #1f2430; }
  text.title { font-size: 15px; font-weight: 600; } text.axis { font-size: 11px; text-anchor: middle; fill: #6b7280; }
  text.scale { font-size: 11px; text-anchor: end; fill: #6b7280; } line { stroke: #e5e7eb; }
  polyline { fill: none; stroke-width: 1.6; } .s0 { stroke: #2f855a; } .s1 { stroke: #c05621; }
  circle.s0, text.t0 { fill: #2f855a; } circle.s1, text.t1 { fill: #c05621; }
</style>
<rect class="page" width="${WIDTH}" height="${height}"/>
<text class="title" x="16" y="26">${escapeXml(title)}</text>
${[...parts, ...axis].join('\n')}
</svg>
`
}

function rates(samples: readonly DeepSample[]): Point[] {
  return samples.flatMap((sample, i) => {
    const before = samples[i - SMOOTH]
    if (before === undefined || before.phase !== sample.phase) return []
    const seconds = sample.seconds - before.seconds
    return seconds > 0 ? [{ x: sample.seconds, y: (sample.done - before.done) / seconds }] : []
  })
}

function turningPoint(
  samples: readonly DeepSample[],
  points: readonly Point[],
  index: number,
  x: (seconds: number) => number,
  y: (value: number) => number,
): string {
  const turn = samples.find(({ phase }) => phase === 'drain')?.seconds ?? Number.POSITIVE_INFINITY
  const point = points.find((each) => each.x >= turn)
  if (point === undefined) return ''
  return `<circle class="s${index}" cx="${x(point.x).toFixed(1)}" cy="${y(point.y).toFixed(1)}" r="3.5"/>`
}

function gridLine(y: number, label: string): string {
  const at = y.toFixed(1)
  return `<line x1="${LEFT}" y1="${at}" x2="${WIDTH - RIGHT}" y2="${at}"/><text class="scale" x="${LEFT - 8}" y="${(y + 4).toFixed(1)}">${label}</text>`
}

/** The next of 1, 2, 5 times a power of ten. */
function niceMax(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return ([1, 2, 5].find((step) => step * power >= value) ?? 10) * power
}
