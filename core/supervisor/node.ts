// `warren start`: one node of Warren in this process, from its configuration to its exit code.

import { writeSync } from 'node:fs'
import { totalmem } from 'node:os'
import { extname } from 'node:path'
import type { ControlReply } from '../../shared/bus/control.ts'
import type { Log } from '../../shared/log.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { DataDirectory } from '../store/node-directory.ts'
import { DataDirectoryError, openDataDirectory } from '../store/node-directory.ts'
import { createConsoleLog } from './console-log.ts'
import { diskLimitBytes } from './disk-watch.ts'
import { arenaBytes, availableBytes, highWatermarkBytes, reserveArena } from './memory-plan.ts'
import { unmetRequirements } from './requirements.ts'
import { Supervisor } from './supervisor.ts'

/**
 * One stop often arrives as two signals: a terminal, a container or `timeout` signals the whole process
 * group, and npm passes its own signal on. So a second one this soon gives a quick drain its time.
 */
const graceMs = 400

/** A node that runs, or is about to, in this process. */
export interface RunningNode {
  /** Carries out an operator's command; what is refused has `error`. */
  admin(command: Readonly<Record<string, unknown>>): Promise<ControlReply>
}

/**
 * Starts the node; returns when its threads have been started, undefined after the reason why not was
 * printed. The process ends by `process.exit`.
 */
export async function runNode(loaded: LoadedConfig): Promise<RunningNode | undefined> {
  const { config: asked, warnings } = loaded
  const unmet = unmetRequirements(asked, process.versions.node)
  if (unmet.length > 0) {
    for (const problem of unmet) printError(problem)
    process.exitCode = 1
    return undefined
  }
  const log = createConsoleLog(asked)
  for (const warning of warnings) log.warn(warning)
  const directory = await openDirectory(loaded)
  if (directory === undefined) return undefined
  reportDirectory(log, directory)
  const config = { ...asked, data_dir: directory.path, shards: directory.facts.shards }
  const watermarkBytes = highWatermarkBytes(config, availableBytes())
  const ending = extname(import.meta.url)
  const supervisor = new Supervisor({
    config,
    log,
    watermarkBytes,
    disk: { salt: directory.facts.salt, stoppedCleanly: directory.stoppedCleanly },
    diskLimitBytes: diskLimitBytes(config, totalmem()),
    arena: reserveArena(arenaBytes(watermarkBytes, availableBytes())),
    logUrl: new URL(`../store/log-worker${ending}`, import.meta.url),
    readerUrl: new URL(`../store/stream-reader-worker${ending}`, import.meta.url),
    metadataUrl: new URL(`../store/metadata-worker${ending}`, import.meta.url),
    shardUrl: new URL(`../shard/worker${ending}`, import.meta.url),
    gatewayUrl: new URL(`../../gateways/worker${ending}`, import.meta.url),
    bridgeUrl: new URL(`./bridge-worker${ending}`, import.meta.url),
    onReady: () => log.info(`ready in ${Math.round(performance.now())} ms`),
    onCleanStop: () => directory.markCleanStop(),
    exit: (code, text) => {
      directory.release()
      if (text !== undefined) printError(text)
      process.exit(code)
    },
  })
  stopOnSignals(supervisor)
  supervisor.start()
  return { admin: (command) => supervisor.admin(command) }
}

/** The locked data directory, or undefined after the reason was printed. */
async function openDirectory(loaded: LoadedConfig): Promise<DataDirectory | undefined> {
  const { data_dir: path, shards } = loaded.config
  const shardsAsked = loaded.lines.some(
    ({ key, origin }) => key === 'shards' && origin !== 'default',
  )
  try {
    return await openDataDirectory(path, shards, shardsAsked)
  } catch (error) {
    if (!(error instanceof DataDirectoryError)) throw error
    printError(error.message)
    process.exitCode = 1
    return undefined
  }
}

function reportDirectory(log: Log, directory: DataDirectory): void {
  const { path, existed, stoppedCleanly, unlocked } = directory
  if (!existed) log.info(`data directory ${path}: new`)
  else if (stoppedCleanly) log.info(`data directory ${path}: stopped in order`)
  else log.warn(`data directory ${path}: not stopped in order, recovering`)
  if (unlocked !== undefined) {
    log.warn(`data directory ${path} cannot be locked: start no second broker on it`, {
      reason: unlocked,
    })
  }
}

/** The first signal stops in order, the second at once with exit code 1. */
function stopOnSignals(supervisor: Supervisor): void {
  let stoppingSince: number | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stoppingSince === undefined) {
      stoppingSince = performance.now()
      supervisor.stop(signal)
      return
    }
    setTimeout(() => process.exit(1), stoppingSince + graceMs - performance.now())
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}

/** Straight to the descriptor, since the process may end right after. */
function printError(text: string): void {
  try {
    writeSync(2, `warren: ${text}\n`)
  } catch {
    // Nobody reads our errors; the exit code still tells.
  }
}
