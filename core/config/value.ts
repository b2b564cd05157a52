// Text of one setting -> its value, by kind and bounds.

import type {
  BytesSetting,
  DurationSetting,
  IntegerSetting,
  ListenerAddress,
  RatioSetting,
  ScalarSetting,
} from '../../shared/config/setting.ts'

/** The value, or what was expected instead (to follow `expected `). */
export type Parsed<T> =
  | { readonly value: T; readonly expected?: undefined }
  | { readonly expected: string }

/** Reads the value of a setting that has exactly one. */
export function parseScalar(
  setting: ScalarSetting,
  text: string,
): Parsed<number | boolean | string> {
  switch (setting.type) {
    case 'integer':
      return parseInteger(setting, text)
    case 'bytes':
      return parseBytes(setting, text)
    case 'duration':
      return parseDuration(setting, text)
    case 'ratio':
      return inBounds(setting, /^\d*\.?\d+$/.test(text) ? Number(text) : undefined)
    case 'boolean':
      return parseBoolean(text)
    case 'string':
      if (setting.secret === true && text.startsWith('encrypted:'))
        return { expected: 'a plain value (encrypted ones are not supported)' }
      return { value: text }
    case 'enum':
      return parseWord(setting.values, text)
  }
}

/** `true`, `false`, `on` or `off`. */
export function parseBoolean(text: string): Parsed<boolean> {
  if (text === 'true' || text === 'on') return { value: true }
  if (text === 'false' || text === 'off') return { value: false }
  return { expected: 'true or false' }
}

/** One word of a few. */
export function parseWord(words: readonly string[], text: string): Parsed<string> {
  return words.includes(text) ? { value: text } : { expected: `one of ${words.join(', ')}` }
}

/** `5672`, `127.0.0.1:5672`, `[::1]:5672`, `::1:5672` or `name:5672`. */
export function parseAddress(name: string, text: string): Parsed<ListenerAddress> {
  const parts = /^(?:(?:\[([0-9a-fA-F:.%\w]+)\]|([\w.:%-]+)):)?(\d{1,5})$/.exec(text)
  const port = Number(parts?.[3] ?? Number.NaN)
  if (parts === null || port > 65535) return { expected: 'PORT or HOST:PORT, PORT up to 65535' }
  return { value: { name, host: parts[1] ?? parts[2] ?? '', port } }
}

/** What a setting takes, in words: for error messages and the documentation. */
export function describeKind(setting: ScalarSetting): string {
  switch (setting.type) {
    case 'boolean':
      return 'true or false'
    case 'enum':
      return setting.values.join(', ')
    case 'string':
      return 'text'
    case 'ratio':
      return `a number from ${setting.min} to ${setting.max}`
    default:
      return describeRange(setting)
  }
}

function describeRange(setting: IntegerSetting | BytesSetting | DurationSetting): string {
  const range = `${setting.min} to ${setting.max}`
  if (setting.type === 'bytes') return `a number of bytes (64MiB, 2GB) from ${range}`
  if (setting.type === 'duration') return `milliseconds (500ms, 10s, 5m) from ${range}`
  const unit = setting.unit === undefined ? '' : ` ${setting.unit}`
  const orInfinity = setting.default === 'infinity' ? ', or infinity' : ''
  return `a whole number from ${range}${unit}${orInfinity}`
}

function parseInteger(setting: IntegerSetting, text: string): Parsed<number> {
  if (text === 'infinity' && setting.default === 'infinity')
    return { value: Number.POSITIVE_INFINITY }
  return inBounds(setting, /^-?\d+$/.test(text) ? Number(text) : undefined)
}

// As RabbitMQ reads them: `k`, `KiB` are 1024, `kB` is 1000, in any case.
const byteUnits: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  kib: 2 ** 10,
  kb: 1e3,
  m: 2 ** 20,
  mib: 2 ** 20,
  mb: 1e6,
  g: 2 ** 30,
  gib: 2 ** 30,
  gb: 1e9,
  t: 2 ** 40,
  tib: 2 ** 40,
  tb: 1e12,
}

function parseBytes(setting: BytesSetting, text: string): Parsed<number> {
  return inBounds(setting, withUnit(text, byteUnits))
}

const timeUnits: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

function parseDuration(setting: DurationSetting, text: string): Parsed<number> {
  return inBounds(setting, withUnit(text, timeUnits))
}

function withUnit(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const parts = /^(\d+)\s*([a-zA-Z]*)$/.exec(text)
  if (parts === null) return undefined
  const factor = units[(parts[2] ?? '').toLowerCase()]
  return factor === undefined ? undefined : Number(parts[1]) * factor
}

function inBounds(
  setting: IntegerSetting | BytesSetting | DurationSetting | RatioSetting,
  value: number | undefined,
): Parsed<number> {
  if (value === undefined || value < setting.min || value > setting.max)
    return { expected: describeKind(setting) }
  return { value }
}
