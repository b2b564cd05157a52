// The project's own files and what they import, by a scan of lines: TypeScript 7 has no stable
// compiler API to ask.

import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's folder, with a slash at its end. */
export const root: string = fileURLToPath(new URL('../../', import.meta.url))

export interface Import {
  /** As written. */
  readonly specifier: string
  /** Path from the root for relative imports; undefined for packages and `node:` modules. */
  readonly file: string | undefined
  /** `import type`, gone at run time. */
  readonly typeOnly: boolean
  /** A worker's entry, named by `new URL(..., import.meta.url)`. */
  readonly byUrl: boolean
}

export interface SourceFile {
  /** Path from the root, with slashes. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
  readonly imports: readonly Import[]
}

/** Paths from the root of all files below `folder` that end in one of `endings`. */
export function filesBelow(folder: string, ...endings: string[]): string[] {
  const found: string[] = []
  for (const entry of readdirSync(`${root}${folder}`, { withFileTypes: true })) {
    const path = posix.join(folder, entry.name)
    if (entry.isDirectory()) found.push(...filesBelow(path, ...endings))
    else if (endings.some((ending) => entry.name.endsWith(ending))) found.push(path)
  }
  return found.sort()
}

/** Every TypeScript file below `folder`. */
export function sourcesBelow(folder: string): SourceFile[] {
  return filesBelow(folder, '.ts').map((path) => {
    const text = readFileSync(`${root}${path}`, 'utf8')
    return { path, text, lines: text.split('\n'), imports: importsOf(path, text) }
  })
}

const fromPattern = /^(import|export)\s+(type\s)?[^'"`;()]*?from\s+'([^']+)'/gm
const sideEffectPattern = /^import\s+'([^']+)'/gm
const dynamicPattern = /\bimport\('([^']+)'\)/g
const urlPattern = /new URL\(\s*[`']([^`']+)[`']\s*(?:\+\s*\w+\s*)?,\s*import\.meta\.url/g

function importsOf(path: string, text: string): Import[] {
  const found: Import[] = []
  const add = (specifier: string, typeOnly: boolean, byUrl: boolean): void => {
    const relative = specifier.startsWith('.')
    const file = relative ? posix.join(posix.dirname(path), specifier) : undefined
    found.push({ specifier, file, typeOnly, byUrl })
  }
  for (const [, , type, specifier = ''] of text.matchAll(fromPattern))
    add(specifier, type !== undefined, false)
  for (const [, specifier = ''] of text.matchAll(sideEffectPattern)) add(specifier, false, false)
  for (const [, specifier = ''] of text.matchAll(dynamicPattern)) add(specifier, false, false)
  for (const [, written = ''] of text.matchAll(urlPattern)) {
    // A worker takes the ending of the file that starts it: `worker${ending}`, or nothing written.
    const entry = /^(.*\/[\w-]+)(?:\.ts|\$\{[^}]+\})?$/.exec(written)?.[1]
    if (entry !== undefined) add(`${entry}.ts`, false, true)
  }
  return found
}
