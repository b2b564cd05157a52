// Values of the configuration for a protocol: one that is missing or of another kind has its default.

import { settings as table } from './schema.ts'

export type Values = Readonly<Record<string, unknown>>
type Key = keyof typeof table

export function text(values: Values, key: Key): string {
  const value = values[key] ?? table[key].default
  return typeof value === 'string' ? value : ''
}

export function integer(values: Values, key: Key): number {
  const value = values[key] ?? table[key].default
  // `infinity` is how the table writes "no limit".
  return typeof value === 'number' ? value : Number.POSITIVE_INFINITY
}

export function flag(values: Values, key: Key): boolean {
  return (values[key] ?? table[key].default) === true
}

export function words(values: Values, key: Key): readonly string[] {
  const value: unknown = values[key] ?? table[key].default
  return Array.isArray(value) ? value.filter((word) => typeof word === 'string') : []
}
