// The log of the node: structured lines by pino, on standard output.

import type { Config } from '../../shared/config/schema.ts'
import type { Log, LogFields, LogLevel } from '../../shared/log.ts'
import { createLog } from '../../shared/log.ts'

/** A log that can be used at once; lines are kept until `createConsoleLog` has loaded what writes them. */
export function createConsoleLog(config: Config): Log {
  const early: [LogLevel, string, LogFields | undefined][] = []
  let write = (level: LogLevel, msg: string, fields: LogFields | undefined): void => {
    early.push([level, msg, fields])
  }
  void openPino(config).then((opened) => {
    write = opened
    for (const line of early) write(...line)
  })
  return createLog((level, msg, fields) => write(level, msg, fields))
}

type Write = (level: LogLevel, msg: string, fields: LogFields | undefined) => void

/** Loading pino takes about as long as starting a thread, so it happens beside that. */
async function openPino(config: Config): Promise<Write> {
  const { destination, pino, stdTimeFunctions } = await import('pino')
  const level = config['log.console'] ? config['log.console.level'] : 'none'
  const options = {
    level: level === 'none' ? 'silent' : level === 'warning' ? 'warn' : level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const out = destination({ fd: 1, sync: true })
  // Whoever read our output may go away; that is no reason to stop serving.
  out.on('error', () => {})
  const plain = { write: (line: string) => void out.write(formatPlain(line)) }
  const logger = pino(options, config['log.console.formatter'] === 'json' ? out : plain)
  return (lineLevel, msg, fields) => logger[lineLevel](fields ?? {}, msg)
}

/** One JSON line of pino as text: time, level, message, then the fields as `name=value`. */
export function formatPlain(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
  const facts = Object.entries(fields).map(([name, value]) => ` ${name}=${formatField(value)}`)
  const day = String(time).replace('T', ' ').replace('Z', '')
  return `${day} [${level}] ${msg}${facts.join('')}\n`
}

function formatField(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"=]+$/.test(value)) return value
  return JSON.stringify(value)
}
