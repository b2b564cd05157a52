// The table filled with what was assigned: the effective values, and where each came from.

import type { Config } from '../../shared/config/schema.ts'
import { settingTable } from '../../shared/config/schema.ts'
import { tlsListenerKeys } from '../../shared/config/services.ts'
import type {
  ListenerAddress,
  MemberSetting,
  RecordsSetting,
  ScalarSetting,
} from '../../shared/config/setting.ts'
import { isScalar, resolveKey, suggestKey } from './key.ts'
import type { Assignment } from './syntax.ts'
import type { Parsed } from './value.ts'
import { parseAddress, parseBoolean, parseScalar, parseWord } from './value.ts'

/** Everything that is wrong with a configuration, one line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/** One line of `warren config show`. */
export interface EffectiveLine {
  readonly key: string
  readonly text: string
  readonly origin: string
  readonly secret: boolean
}

interface Assigned {
  readonly value: unknown
  readonly text: string
  readonly origin: string
}

interface Members {
  layer: Assignment['layer']
  origin: string
  readonly byName: Map<string, Assigned>
}

/** Takes assignments in order of precedence, weakest first. */
export class Resolution {
  private readonly derived: Readonly<Record<string, string>>
  private readonly scalars = new Map<string, Assigned>()
  private readonly members = new Map<string, Members>()

  /** `derived`: texts for the settings whose default depends on the machine. */
  constructor(derived: Readonly<Record<string, string>>) {
    this.derived = derived
  }

  /** Applies one assignment; returns what is wrong with it. */
  assign(assignment: Assignment): string | undefined {
    const { key, value, origin } = assignment
    const target = resolveKey(key)
    if (target === undefined) {
      const near = suggestKey(key)
      const hint = near === undefined ? '' : ` (did you mean '${near}'?)`
      return `${origin}: unknown key '${key}'${hint}`
    }
    const expected = isScalar(target.setting)
      ? this.assignScalar(target.key, target.setting, assignment)
      : this.assignMember(target.key, target.setting, target.member, assignment)
    if (expected === undefined) return undefined
    const shown = isSecret(target.setting, target.member) ? '' : ` '${value}'`
    return `${origin}: bad value${shown} for ${key}: expected ${expected}`
  }

  /** What cannot be together. */
  contradictions(): string[] {
    const config = this.config()
    const found: string[] = []
    const complain = (key: string, text: string): void => {
      const origin =
        this.scalars.get(key)?.origin ?? this.members.get(key)?.origin ?? 'configuration'
      found.push(`${origin}: ${text}`)
    }
    const { 'ssl_options.certfile': certfile, 'ssl_options.keyfile': keyfile } = config
    if (certfile === '' || keyfile === '') {
      for (const key of tlsListenerKeys) {
        if (config[key].length === 0) continue
        complain(key, `${key} needs ssl_options.certfile and ssl_options.keyfile`)
      }
    }
    if (config.initial_frame_max > config.frame_max)
      complain('initial_frame_max', 'initial_frame_max must not be larger than frame_max')
    return found
  }

  /** The effective values. */
  config(): Config {
    const values = Object.entries(settingTable).map(([key, setting]) => [
      key,
      isScalar(setting) ? this.scalar(key, setting).value : this.memberValue(key, setting),
    ])
    // The table's type says what each row yields; a walk over its rows cannot be typed any closer.
    return Object.fromEntries(values) as Config
  }

  /** The effective values as text, in the order of the table. */
  lines(): EffectiveLine[] {
    return Object.entries(settingTable).flatMap(([key, setting]) => {
      if (!isScalar(setting)) return this.memberLines(key, setting)
      const { text, origin } = this.scalar(key, setting)
      return [{ key, text, origin, secret: isSecret(setting, '') }]
    })
  }

  private assignScalar(key: string, setting: ScalarSetting, from: Assignment): string | undefined {
    const parsed = parseScalar(setting, from.value)
    if (parsed.expected !== undefined) return parsed.expected
    this.scalars.set(key, { value: parsed.value, text: from.value, origin: from.origin })
    return undefined
  }

  private assignMember(
    key: string,
    setting: MemberSetting,
    member: string,
    from: Assignment,
  ): string | undefined {
    if (member === '' && from.value !== 'none')
      return `none here, or ${key}${memberForm(setting)} = ...`
    const parsed = member === '' ? undefined : parseMember(setting, member, from.value)
    if (parsed?.expected !== undefined) return parsed.expected
    let members = this.members.get(key)
    // A list is replaced as a whole: its second half from a file would make no sense.
    const replaced = setting.type === 'list' && members?.layer !== from.layer
    if (members === undefined || replaced || member === '') {
      members = { layer: from.layer, origin: from.origin, byName: new Map() }
      this.members.set(key, members)
    }
    members.layer = from.layer
    members.origin = from.origin
    if (parsed !== undefined)
      members.byName.set(member, { value: parsed.value, text: from.value, origin: from.origin })
    return undefined
  }

  private scalar(key: string, setting: ScalarSetting): Assigned {
    const assigned = this.scalars.get(key)
    if (assigned !== undefined) return assigned
    const derived = this.derived[key]
    if (derived !== undefined) {
      const parsed = parseScalar(setting, derived)
      return {
        value: parsed.expected === undefined ? parsed.value : '',
        text: derived,
        origin: 'default',
      }
    }
    const value = setting.default === 'infinity' ? Number.POSITIVE_INFINITY : setting.default
    return { value, text: String(setting.default), origin: 'default' }
  }

  private memberValue(key: string, setting: MemberSetting): unknown {
    const members = this.members.get(key)
    if (members === undefined) return setting.default
    if (setting.type === 'records') return records(setting, members.byName)
    if (setting.type === 'flags')
      return [...members.byName].filter(([, each]) => each.value === true).map(([name]) => name)
    return inOrder(setting, members.byName).map(([, each]) => each.value)
  }

  private memberLines(key: string, setting: MemberSetting): EffectiveLine[] {
    const members = this.members.get(key)
    if (members === undefined) return defaultLines(key, setting)
    if (members.byName.size === 0)
      return [{ key, text: 'none', origin: members.origin, secret: false }]
    return inOrder(setting, members.byName).map(([name, { text, origin }]) => {
      const secret = isSecret(setting, name)
      return { key: `${key}.${name}`, text, origin, secret }
    })
  }
}

function parseMember(
  setting: MemberSetting,
  member: string,
  text: string,
): Parsed<ListenerAddress | string | boolean> {
  switch (setting.type) {
    case 'listeners':
      return parseAddress(member, text)
    case 'flags':
      return parseBoolean(text)
    case 'list':
      if (!/^\d+$/.test(member)) return { expected: 'a number as the last part of the key' }
      return setting.values === undefined ? { value: text } : parseWord(setting.values, text)
    case 'records': {
      const [id, field] = splitRecordMember(member)
      if (id === '' || setting.fields[field] === undefined)
        return { expected: `a key that ends in one of ${Object.keys(setting.fields).join(', ')}` }
      return { value: text }
    }
  }
}

function memberForm(setting: MemberSetting): string {
  if (setting.type === 'list') return '.1'
  return setting.type === 'records' ? '.NAME.FIELD' : '.NAME'
}

/** `a.b.password` -> `a.b`, `password`. */
function splitRecordMember(member: string): [id: string, field: string] {
  const at = member.lastIndexOf('.')
  return [member.slice(0, Math.max(0, at)), member.slice(at + 1)]
}

function inOrder(
  setting: MemberSetting,
  byName: ReadonlyMap<string, Assigned>,
): [string, Assigned][] {
  const entries = [...byName]
  return setting.type === 'list' ? entries.sort(([a], [b]) => Number(a) - Number(b)) : entries
}

function records(setting: RecordsSetting, byName: ReadonlyMap<string, Assigned>): object[] {
  const ids = new Set([...byName.keys()].map((member) => splitRecordMember(member)[0]))
  return [...ids].map((id) => {
    const record: Record<string, unknown> = { id }
    for (const [name, field] of Object.entries(setting.fields)) {
      const text = byName.get(`${id}.${name}`)?.text ?? (name === 'name' ? id : field.default)
      record[name] = field.type === 'words' ? text.split(/[\s,]+/).filter(Boolean) : text
    }
    return record
  })
}

function defaultLines(key: string, setting: MemberSetting): EffectiveLine[] {
  const line = (member: string, text: string): EffectiveLine => ({
    key: `${key}.${member}`,
    text,
    origin: 'default',
    secret: false,
  })
  switch (setting.type) {
    case 'listeners':
      return setting.default.map(({ name, port }) => line(name, String(port)))
    case 'list':
      return setting.default.map((word, index) => line(String(index + 1), word))
    case 'flags':
      return setting.default.map((name) => line(name, 'true'))
    case 'records':
      return []
  }
}

function isSecret(setting: ScalarSetting | MemberSetting, member: string): boolean {
  if (setting.type === 'string') return setting.secret === true
  if (setting.type !== 'records') return false
  return setting.fields[splitRecordMember(member)[1]]?.secret === true
}
