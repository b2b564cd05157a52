// From a written key, or the name of an environment variable, to the setting it means.

import { settingTable } from '../../shared/config/schema.ts'
import type { MemberSetting, ScalarSetting, Setting } from '../../shared/config/setting.ts'

/** What a key means. `member` is what follows the setting's own name; empty when nothing does. */
export type Target =
  | { readonly key: string; readonly setting: ScalarSetting; readonly member: '' }
  | { readonly key: string; readonly setting: MemberSetting; readonly member: string }

/** True for settings with one value. */
export function isScalar(setting: Setting): setting is ScalarSetting {
  return !['listeners', 'list', 'flags', 'records'].includes(setting.type)
}

const scalars = new Map<string, { key: string; setting: ScalarSetting }>()
const memberSettings = new Map<string, MemberSetting>()
for (const [key, setting] of Object.entries(settingTable)) {
  if (!isScalar(setting)) {
    memberSettings.set(key, setting)
    continue
  }
  for (const spelling of [key, ...(setting.aliases ?? [])]) scalars.set(spelling, { key, setting })
}

/** The setting that a key of a file or of `--set` means. */
export function resolveKey(written: string): Target | undefined {
  const scalar = scalars.get(written)
  if (scalar !== undefined) return { ...scalar, member: '' }
  for (const [key, setting] of memberSettings) {
    if (written === key) return { key, setting, member: '' }
    if (written.startsWith(`${key}.`))
      return { key, setting, member: written.slice(key.length + 1).replaceAll('\\.', '.') }
  }
  return undefined
}

/** The name of the environment variable for a key. */
export function envName(key: string): string {
  return `WARREN_${key.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`
}

/**
 * The key that a `WARREN_...` variable means. Member names come out in lower case, since
 * variables are written in upper case: WARREN_LOOPBACK_USERS_GUEST is loopback_users.guest.
 */
export function keyOfEnv(name: string): string | undefined {
  for (const spelling of scalars.keys()) if (envName(spelling) === name) return spelling
  for (const [key, setting] of memberSettings) {
    const prefix = envName(key)
    if (name === prefix) return key
    if (!name.startsWith(`${prefix}_`)) continue
    const member = name.slice(prefix.length + 1).toLowerCase()
    if (setting.type !== 'records') return `${key}.${member}`
    const field = Object.keys(setting.fields).find((each) => member.endsWith(`_${each}`))
    if (field !== undefined) return `${key}.${member.slice(0, -field.length - 1)}.${field}`
  }
  return undefined
}

/** The known key that looks most like an unknown one. */
export function suggestKey(written: string): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(written.length / 4)) + 1
  for (const candidate of candidates(written)) {
    const distance = editDistance(written, candidate)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function* candidates(written: string): Generator<string> {
  yield* scalars.keys()
  const words = written.split('.')
  for (const [key, setting] of memberSettings) {
    if (setting.type === 'records') {
      for (const field of Object.keys(setting.fields)) yield `${key}.${words.at(-2)}.${field}`
    } else {
      yield `${key}.${words.at(-1)}`
      yield key
    }
  }
}

/** Insertions, deletions and replacements between two words (Levenshtein), one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
