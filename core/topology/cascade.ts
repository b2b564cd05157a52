// What else goes when something goes: auto-delete exchanges whose last binding leads nowhere now.

import type { BindingRecord, ExchangeRecord } from './records.ts'
import type { TopologyChange } from './topology-change.ts'

/**
 * The deletions that follow when `bindings` go, in order. Deleting an exchange takes the bindings to
 * it along, which may leave a further auto-delete exchange without any. `going` are exchanges that
 * are being deleted anyhow.
 */
export function exchangesLeftUnused(
  bindings: Iterable<BindingRecord>,
  going: Iterable<ExchangeRecord> = [],
): TopologyChange[] {
  const changes: TopologyChange[] = []
  const gone = new Set<ExchangeRecord>(going)
  const lost = new Map<ExchangeRecord, Set<BindingRecord>>()
  const work = [...bindings]
  for (let i = 0; i < work.length; i++) {
    const binding = work[i] as BindingRecord
    const source = binding.source
    if (!source.autoDelete || gone.has(source)) continue
    const ofSource = lost.get(source) ?? new Set()
    lost.set(source, ofSource.add(binding))
    if (ofSource.size < source.outbound.size) continue
    gone.add(source)
    changes.push({ change: 'exchangeDeleted', vhost: source.vhost.id, name: source.name })
    work.push(...source.inbound)
  }
  return changes
}
