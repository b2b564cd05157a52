// What must hold before any thread is started, checked early for the sake of a clear message.

import { accessSync, constants } from 'node:fs'
import type { Config } from '../../shared/config/schema.ts'
import { tlsListenerKeys } from '../../shared/config/services.ts'

/** One sentence per problem. */
export function unmetRequirements(config: Config, nodeVersion: string): string[] {
  const problems: string[] = []
  for (const service of ['amqp', 'mqtt', 'stomp', 'stream'] as const) {
    const key = `gateways.${service}.workers` as const
    if (config[key] > 1 && !hasReusePort(nodeVersion))
      problems.push(`${key} above 1 needs Node.js 22.12 or newer, this is ${nodeVersion}`)
  }
  if (tlsListenerKeys.some((key) => config[key].length > 0)) {
    for (const key of tlsFiles) {
      const reason = unreadable(config[key])
      if (reason !== undefined) problems.push(`${key}: ${config[key]}: ${reason}`)
    }
  }
  return problems
}

const tlsFiles = ['ssl_options.certfile', 'ssl_options.keyfile', 'ssl_options.cacertfile'] as const

function unreadable(path: string): string | undefined {
  if (path === '') return undefined
  try {
    accessSync(path, constants.R_OK)
    return undefined
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' ? 'no such file' : code === 'EACCES' ? 'not readable' : String(code)
  }
}

function hasReusePort(nodeVersion: string): boolean {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number)
  return major > 22 || (major === 22 && minor >= 12)
}
