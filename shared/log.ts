// The log as core and gateways see it. Threads send their lines to main, which writes them.

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Facts that belong to a line, by name. Never a password. */
export interface LogFields {
  readonly [name: string]: unknown
}

/** One line per event that an operator acts on; nothing per message. */
export interface Log {
  debug(msg: string, fields?: LogFields): void
  info(msg: string, fields?: LogFields): void
  warn(msg: string, fields?: LogFields): void
  error(msg: string, fields?: LogFields): void
}

/** A log whose lines go, level first, to one function. */
export function createLog(
  write: (level: LogLevel, msg: string, fields: LogFields | undefined) => void,
): Log {
  return {
    debug: (msg, fields) => write('debug', msg, fields),
    info: (msg, fields) => write('info', msg, fields),
    warn: (msg, fields) => write('warn', msg, fields),
    error: (msg, fields) => write('error', msg, fields),
  }
}
