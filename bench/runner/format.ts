/** Figures for people: three significant digits and a unit. */

import type { Target, Unit } from '../scenarios/scenario.ts'

/** `1.92 M msg/s`, `45.1 k msg/s`, `310 us`, `2.40 ms`; a dash for what was not measured. */
export function formatValue(value: number | undefined, unit: Unit): string {
  if (value === undefined || Number.isNaN(value)) return '-'
  if (unit === 'us') {
    return value < 1000 ? `${Math.round(value)} us` : `${significant(value / 1000)} ms`
  }
  if (unit === 'MB') return `${Math.round(value)} MB`
  if (unit === 'KB') return `${significant(value)} KB`
  if (unit === 's') return `${significant(value)} s`
  if (unit === 'x') return `${significant(value)} x`
  if (value >= 1e6) return `${significant(value / 1e6)} M ${unit}`
  if (value >= 1e3) return `${significant(value / 1e3)} k ${unit}`
  return `${significant(value)} ${unit}`
}

/** `52.1 x`, or a dash. */
export function formatRatio(ratio: number | undefined): string {
  return formatValue(ratio, 'x')
}

/** `ratio >= 25`, or in the unit of the value: `<= 1.50 x`. */
export function formatTarget(target: Target | undefined, unit: Unit): string {
  if (target === undefined) return ''
  const sign = target.atLeast === undefined ? '<=' : '>='
  const bound = target.atLeast ?? target.atMost
  return target.of === 'ratio' ? `ratio ${sign} ${bound}` : `${sign} ${formatValue(bound, unit)}`
}

function significant(value: number): string {
  if (value >= 100) return value.toFixed(0)
  if (value >= 10) return value.toFixed(1)
  return value >= 0.1 || value === 0 ? value.toFixed(2) : value.toPrecision(2)
}
