// A filter over messages, whatever language it was written in.

import type { FilterValue } from './filter-value.ts'

/** What a filter asks of a message. */
export interface FilteredMessage {
  /** The header's priority; the standard's default where there is none. */
  readonly priority: number
  /** The field of the properties section with that place in the list (3.2.4). */
  property(place: number): FilterValue
  /** The application property of that name, which is in bytes (FilterValue). */
  application(name: string): FilterValue
  hasApplication(name: string): boolean
  /** The time, ms since 1970. */
  wall(): number
}

export interface MessageFilter {
  matches(message: FilteredMessage): boolean
}

/** Passes what passes all of `filters` (3.5.8). */
export function allOf(filters: readonly MessageFilter[]): MessageFilter {
  return { matches: (message) => filters.every((filter) => filter.matches(message)) }
}
