// Arguments of create and create-super-stream as those of a queue. Clients give them as text, without
// the prefix; what is not known is left out, as RabbitMQ does.

import type { FieldEntry, FieldTable } from '../../../shared/message/value.ts'
import { textField } from '../../../shared/message/value.ts'

const numbers: ReadonlySet<string> = new Set([
  'max-length-bytes',
  'stream-max-segment-size-bytes',
  'stream-filter-size-bytes',
  'initial-cluster-size',
])

const texts: ReadonlySet<string> = new Set(['max-age', 'queue-leader-locator'])

/** The arguments of the queue; undefined where a value cannot be. */
export function streamArguments(given: ReadonlyMap<string, string>): FieldTable | undefined {
  const entries: FieldEntry[] = [['x-queue-type', textField('stream')]]
  for (const [key, value] of given) {
    if (texts.has(key)) entries.push([`x-${key}`, textField(value)])
    if (!numbers.has(key)) continue
    const number = Number(value)
    if (value === '' || !Number.isSafeInteger(number) || number < 0) return undefined
    entries.push([`x-${key}`, { type: 'l', value: number }])
  }
  return entries
}
