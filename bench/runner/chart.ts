/** A bar chart of the ratios as SVG: how many times better the first broker is, on a log scale. */

import { formatRatio, formatValue } from './format.ts'
import type { Row } from './measure.ts'
import { escapeXml } from './xml.ts'

const WIDTH = 940
const LABEL_WIDTH = 400
const FIGURE_WIDTH = 180
const ROW_HEIGHT = 24
const TOP = 64
const GRID = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]

/** An SVG document; readable on light and dark pages. Rows without a ratio are left out. */
export function renderChart(rows: readonly Row[], title: string): string {
  const bars = rows.flatMap((row) => {
    if (row.ratio === undefined || !(row.ratio > 0)) return []
    return [{ row, times: row.metric.better === 'more' ? row.ratio : 1 / row.ratio }]
  })
  const low = gridAround(Math.min(1, ...bars.map((bar) => bar.times)), 'below')
  const high = gridAround(Math.max(2, ...bars.map((bar) => bar.times)), 'above')
  const plot = WIDTH - LABEL_WIDTH - FIGURE_WIDTH
  const x = (times: number): number =>
    LABEL_WIDTH + (plot * Math.log(times / low)) / Math.log(high / low)
  const height = TOP + bars.length * ROW_HEIGHT + 16
  const bottom = height - 12
  const grid = GRID.filter((value) => value >= low && value <= high).map((value) => {
    const at = x(value).toFixed(1)
    const kind = value === 1 ? 'one' : 'grid'
    return `<line class="${kind}" x1="${at}" y1="${TOP - 8}" x2="${at}" y2="${bottom}"/><text class="axis" x="${at}" y="${TOP - 14}">${value}x</text>`
  })
  const marks = bars.map(({ row, times }, i) => renderBar(row, times, x, TOP + i * ROW_HEIGHT))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeXml(title)}">
<style>
  rect.page { fill: #ffffff; } text { font: 12px system-ui, sans-serif; fill: #1f2430; }
  text.title { font-size: 15px; font-weight: 600; } text.axis { font-size: 11px; text-anchor: middle; fill: #6b7280; }
  text.label { text-anchor: end; } text.figure { fill: #4b5563; font-size: 11px; }
  line.grid { stroke: #e5e7eb; } line.one { stroke: #6b7280; } rect.better { fill: #2f855a; } rect.worse { fill: #c05621; }
</style>
<rect class="page" width="${WIDTH}" height="${height}"/>
<text class="title" x="16" y="26">${escapeXml(title)}</text>
${[...grid, ...marks].join('\n')}
</svg>
`
}

function renderBar(row: Row, times: number, x: (times: number) => number, y: number): string {
  const from = x(Math.min(1, times))
  const to = x(Math.max(1, times))
  const kind = times >= 1 ? 'better' : 'worse'
  const middle = y + ROW_HEIGHT / 2 + 4
  const figure = `${formatRatio(times)}  (${formatValue(row.first, row.metric.unit)})`
  return [
    `<text class="label" x="${LABEL_WIDTH - 12}" y="${middle}">${escapeXml(row.metric.title)}</text>`,
    `<rect class="${kind}" x="${from.toFixed(1)}" y="${y + 4}" width="${Math.max(1, to - from).toFixed(1)}" height="${ROW_HEIGHT - 8}" rx="2"/>`,
    `<text class="figure" x="${(to + 6).toFixed(1)}" y="${middle}">${escapeXml(figure)}</text>`,
  ].join('')
}

/** The next grid line at or beyond `value`. */
function gridAround(value: number, side: 'below' | 'above'): number {
  if (side === 'below') return GRID.findLast((line) => line <= value) ?? value
  return GRID.find((line) => line >= value) ?? value
}
