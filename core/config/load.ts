// Defaults, then the file, the environment and the flags: each later source wins. Every mistake is
// collected, so that one run shows them all.

import { readFileSync } from 'node:fs'
import { availableParallelism, hostname } from 'node:os'
import type { Config } from '../../shared/config/schema.ts'
import { readEnvironment } from './environment.ts'
import type { EffectiveLine } from './resolution.ts'
import { ConfigError, Resolution } from './resolution.ts'
import type { Assignment } from './syntax.ts'
import { parseConfigText } from './syntax.ts'

/** Where the configuration comes from. */
export interface ConfigSources {
  /** Path given by `--config`; without it WARREN_CONFIG_FILE, then RABBITMQ_CONFIG_FILE, else none. */
  readonly file?: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** Values of `--set`, as `key=value`. */
  readonly set: readonly string[]
  /** Value of `--data-dir`. */
  readonly dataDir?: string | undefined
}

/** The configuration in effect. */
export interface LoadedConfig {
  readonly config: Config
  readonly lines: readonly EffectiveLine[]
  /** The file that was read. */
  readonly file: string | undefined
  /** What is odd but no error, one line each. */
  readonly warnings: readonly string[]
}

/** Reads and checks all sources. Throws `ConfigError` with every problem found. */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const problems: string[] = []
  const environment = readEnvironment(sources.env)
  const file = sources.file ?? environment.configFile
  const assignments: Assignment[] = []
  const read = file === undefined ? undefined : readFile(file, sources.file === undefined)
  if (read?.problem !== undefined) problems.push(read.problem)
  if (read?.text !== undefined) {
    const parsed = parseConfigText(read.text, read.path)
    assignments.push(...parsed.assignments)
    problems.push(...parsed.problems)
  }
  assignments.push(...environment.assignments)
  assignments.push(...readFlags(sources, problems))

  const cores = availableParallelism()
  const workers = cores > 4 ? '1' : '0'
  const resolution = new Resolution({
    shards: String(Math.max(1, cores - 1)),
    'gateways.mqtt.workers': workers,
    'gateways.stomp.workers': workers,
    'gateways.stream.workers': workers,
    cluster_name: `warren@${hostname()}`,
  })
  for (const assignment of assignments) {
    const problem = resolution.assign(assignment)
    if (problem !== undefined) problems.push(problem)
  }
  if (problems.length === 0) problems.push(...resolution.contradictions())
  if (problems.length > 0) throw new ConfigError(problems)
  return {
    config: resolution.config(),
    lines: resolution.lines(),
    file: read?.path,
    warnings: environment.warnings,
  }
}

interface ReadFile {
  readonly path: string
  readonly text?: string
  readonly problem?: string
}

/** RABBITMQ_CONFIG_FILE may leave out the `.conf`, which `--config` may not. */
function readFile(path: string, mayLackEnding: boolean): ReadFile {
  try {
    return { path, text: readFileSync(path, 'utf8') }
  } catch (error) {
    if (mayLackEnding && !path.endsWith('.conf')) return readFile(`${path}.conf`, false)
    const code = (error as NodeJS.ErrnoException).code
    const reason = code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'is a folder' : code
    return { path, problem: `${path}: cannot be read: ${reason}` }
  }
}

function* readFlags(sources: ConfigSources, problems: string[]): Generator<Assignment> {
  for (const written of sources.set) {
    const at = written.indexOf('=')
    const key = written.slice(0, at).trim()
    const value = written.slice(at + 1).trim()
    if (at < 1 || key === '' || value === '')
      problems.push(`--set ${written}: expected --set key=value`)
    else yield { key, value, layer: 'flags', origin: `--set ${key}` }
  }
  if (sources.dataDir !== undefined)
    yield { key: 'data_dir', value: sources.dataDir, layer: 'flags', origin: '--data-dir' }
}
