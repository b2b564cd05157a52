// The line syntax of rabbitmq.conf: `key = value`, `#` comments, values in single quotes.

/** Which kind of source a setting came from; a later one of this list wins. */
export const layers = ['file', 'environment', 'flags'] as const
export type Layer = (typeof layers)[number]

/** One setting as somebody wrote it; `origin` says where, for people. */
export interface Assignment {
  readonly key: string
  readonly value: string
  readonly layer: Layer
  readonly origin: string
}

/** What a file says, and what is wrong with it (`file:line: text`). */
export interface ParsedFile {
  readonly assignments: readonly Assignment[]
  readonly problems: readonly string[]
}

/** Reads the text of a configuration file; `name` is how messages call it. */
export function parseConfigText(text: string, name: string): ParsedFile {
  const assignments: Assignment[] = []
  const problems: string[] = []
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  for (const [index, line] of lines.entries()) {
    const origin = `${name}:${index + 1}`
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const parts = /^([^\s=#]+)\s*=\s*(.*)$/.exec(trimmed)
    if (parts === null) {
      problems.push(`${origin}: expected 'key = value'`)
      continue
    }
    const [, key = '', written = ''] = parts
    const value = parseWritten(written)
    if (value.problem !== undefined) problems.push(`${origin}: ${key}: ${value.problem}`)
    else assignments.push({ key, value: value.text, layer: 'file', origin })
  }
  return { assignments, problems }
}

/** Writes a value so that `parseConfigText` reads it back. */
export function formatWritten(value: string): string {
  return /^['\s]|#|\s$/.test(value) ? `'${value}'` : value
}

type Written =
  | { readonly text: string; readonly problem?: undefined }
  | { readonly problem: string }

function parseWritten(written: string): Written {
  if (written.startsWith("'")) {
    const quoted = /^'([^']*)'\s*(?:#.*)?$/.exec(written)
    if (quoted === null) return { problem: 'expected one closing quote and nothing after it' }
    return { text: quoted[1] ?? '' }
  }
  // RabbitMQ takes any # for a comment, which cuts a password without a word; ask for quotes instead.
  const text = written.replace(/(?:^|\s+)#.*$/, '')
  if (text === '') return { problem: 'no value' }
  if (text.includes('#')) return { problem: "a value with '#' must stand in single quotes" }
  return { text }
}
