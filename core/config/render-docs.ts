// The configuration as text: the table of README.md, and what is in effect.

import { settingTable } from '../../shared/config/schema.ts'
import type { MemberSetting, Setting } from '../../shared/config/setting.ts'
import { isScalar } from './key.ts'
import type { EffectiveLine } from './resolution.ts'
import { formatWritten } from './syntax.ts'
import { describeKind } from './value.ts'

/** The lines of README.md between which `renderDocs` stands. */
export const docsMarkers = {
  start: '<!-- config:start -->',
  end: '<!-- config:end -->',
} as const

/** Every setting as one markdown table. */
export function renderDocs(): string {
  const rows = Object.entries(settingTable).map(([key, setting]) =>
    [writtenKey(key, setting), describeValue(setting), describeDefault(setting), describe(setting)]
      .map((cell) => cell.replaceAll('|', '\\|'))
      .join(' | '),
  )
  return ['Key | Value | Default | Meaning', '--- | --- | --- | ---', ...rows]
    .map((row) => `| ${row} |`)
    .join('\n')
}

/** `readme` with the table between its markers; undefined when it has no markers. */
export function insertDocs(readme: string): string | undefined {
  const start = readme.indexOf(docsMarkers.start) + docsMarkers.start.length
  const end = readme.indexOf(docsMarkers.end)
  if (start < docsMarkers.start.length || end < start) return undefined
  return `${readme.slice(0, start)}\n\n${renderDocs()}\n\n${readme.slice(end)}`
}

/** The configuration in effect, in the syntax of the file, each line with its origin; secrets masked. */
export function renderEffective(lines: readonly EffectiveLine[]): string {
  const written = lines.map(({ key, text, secret, origin }) => {
    if (text === '') return { setting: `# ${key} is not set`, origin: '' }
    return { setting: `${key} = ${secret ? '********' : formatWritten(text)}`, origin }
  })
  const width = Math.max(...written.map(({ setting }) => setting.length))
  return written
    .map(({ setting, origin }) =>
      origin === '' ? setting : `${setting.padEnd(Math.min(width, 60))}  # ${origin}`,
    )
    .join('\n')
}

function writtenKey(key: string, setting: Setting): string {
  return code(isScalar(setting) ? key : `${key}${memberForms[setting.type]}`)
}

const memberForms = {
  listeners: '.NAME',
  list: '.N',
  flags: '.NAME',
  records: '.NAME.FIELD',
} as const satisfies Record<MemberSetting['type'], string>

function describeValue(setting: Setting): string {
  return isScalar(setting) ? describeKind(setting) : describeMember(setting)
}

function describeMember(setting: MemberSetting): string {
  switch (setting.type) {
    case 'listeners':
      return 'PORT or HOST:PORT (port 0: any free one); `none` for the whole key'
    case 'list':
      return setting.values === undefined ? 'text' : setting.values.join(', ')
    case 'flags':
      return 'true or false; `none` for the whole key'
    case 'records':
      return 'text'
  }
}

function describeDefault(setting: Setting): string {
  switch (setting.type) {
    case 'listeners':
      return setting.default.length === 0
        ? 'none'
        : setting.default.map(({ name, port }) => code(`.${name} = ${port}`)).join(', ')
    case 'list':
      return setting.default.length === 0 ? 'none' : setting.default.map(code).join(', ')
    case 'flags':
      return setting.default.map((name) => code(`.${name} = true`)).join(', ')
    case 'records':
      return 'none'
    case 'string':
    case 'integer':
    case 'bytes':
      if (setting.derived !== undefined) return setting.derived
      return setting.default === '' ? 'not set' : code(String(setting.default))
    default:
      return code(String(setting.default))
  }
}

function describe(setting: Setting): string {
  const parts: string[] = [setting.doc]
  if (setting.type === 'records') {
    const fields = Object.entries(setting.fields).map(([name, { doc, default: initial }]) =>
      initial === '' ? `${code(name)} (${doc})` : `${code(name)} (${doc}; ${code(initial)})`,
    )
    parts.push(`Fields: ${fields.join(', ')}.`)
  }
  if (setting.aliases !== undefined) parts.push(`Also ${setting.aliases.map(code).join(', ')}.`)
  if (setting.env !== undefined) parts.push(`Also ${code(setting.env)} in the environment.`)
  return parts.join(' ')
}

function code(text: string): string {
  return `\`${text}\``
}
