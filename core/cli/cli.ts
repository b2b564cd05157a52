// Commands and flags. Exit codes: 0 done, 1 the broker could not start or run, 2 a mistake in the
// command line or the configuration, 70 a shard crashed. `check-data` has its own (see its help).

import { readFileSync, writeFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { warrenVersion } from '../../shared/version.ts'
import type { ConfigSources, LoadedConfig } from '../config/load.ts'

/** Exit code for a mistake in the command line or in the configuration. */
const usageExitCode = 2

interface ConfigOptions {
  readonly config?: string
  readonly dataDir?: string
  readonly set?: readonly string[]
}

/** Runs one `warren` command line; sets the process's exit code. `start` returns once it is ready. */
export async function runCli(args: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    process.exitCode = error.exitCode === 0 ? 0 : usageExitCode
  }
}

function program(): Command {
  const root = new Command('warren')
    .description("A message broker that speaks RabbitMQ's protocols.")
    .version(warrenVersion, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .showHelpAfterError('(warren --help shows the commands)')
    .exitOverride()
  withConfigOptions(root.command('start').description('run the broker'))
    .addHelpText('after', startExample)
    .action(start)
  root
    .command('check-data')
    .description('read a whole data directory that no broker uses, and say what it finds')
    .argument('<dir>', 'the data directory; nothing in it is changed')
    .addHelpText('after', checkDataExitCodes)
    .exitOverride()
    .action(checkData)
  const config = root.command('config').description('look at the configuration').exitOverride()
  withConfigOptions(config.command('check').description('check it, change nothing')).action(check)
  withConfigOptions(
    config.command('show').description('print every value in effect and where it comes from'),
  ).action(show)
  config
    .command('docs')
    .description('print the table of all settings as markdown')
    .option('-w, --write <file>', 'put it between the markers of this file instead')
    .action(docs)
  return root
}

function withConfigOptions(command: Command): Command {
  const collect = (value: string, before: readonly string[] = []): string[] => [...before, value]
  return command
    .option('-c, --config <file>', 'configuration file in the syntax of rabbitmq.conf')
    .option('-d, --data-dir <dir>', 'folder for everything kept on disk (setting data_dir)')
    .option('-s, --set <key=value>', 'any setting; may be given many times', collect)
}

async function start(options: ConfigOptions): Promise<void> {
  const loaded = await load(options)
  if (loaded === undefined) return
  const { runNode } = await import('../supervisor/node.ts')
  await runNode(loaded)
}

const startExample = `
Without options: AMQP on 5672, MQTT, STOMP and streams on their usual ports, user guest with password
guest. Another port: warren start --set listeners.tcp.default=5673
All settings: warren config show`

const checkDataExitCodes = `
Exit codes:
  0  everything can be read
  1  something is damaged or missing; each finding is a line that begins with PROBLEM
  2  a mistake in the command line
  3  nothing to check: no data directory, in use by a broker, or of a newer format`

async function checkData(dir: string): Promise<void> {
  const { checkData: run } = await import('../store/directory-check.ts')
  const { checkShard } = await import('../store/shard-check.ts')
  process.exitCode = await run(dir, checkShard, (line) => process.stdout.write(`${line}\n`))
}

async function check(options: ConfigOptions): Promise<void> {
  const loaded = await load(options)
  if (loaded === undefined) return
  for (const warning of loaded.warnings) process.stderr.write(`warren: ${warning}\n`)
  process.stdout.write(`${loaded.file ?? 'no configuration file'}: configuration is valid\n`)
}

async function show(options: ConfigOptions): Promise<void> {
  const loaded = await load(options)
  if (loaded === undefined) return
  const { renderEffective } = await import('../config/render-docs.ts')
  process.stdout.write(`${renderEffective(loaded.lines)}\n`)
}

async function docs({ write: file }: { readonly write?: string }): Promise<void> {
  const { docsMarkers, insertDocs, renderDocs } = await import('../config/render-docs.ts')
  if (file === undefined) {
    process.stdout.write(`${renderDocs()}\n`)
    return
  }
  const text = insertDocs(readFileSync(file, 'utf8'))
  if (text !== undefined) writeFileSync(file, text)
  else program().error(`${file}: no ${docsMarkers.start} and ${docsMarkers.end}`)
}

/** The configuration, or undefined after its problems were printed. */
async function load(options: ConfigOptions): Promise<LoadedConfig | undefined> {
  const { loadConfig } = await import('../config/load.ts')
  const { ConfigError } = await import('../config/resolution.ts')
  const { config: file, dataDir, set = [] } = options
  const sources: ConfigSources = { file, dataDir, set, env: process.env }
  try {
    return loadConfig(sources)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const problem of error.problems) process.stderr.write(`${problem}\n`)
    process.exitCode = usageExitCode
    return undefined
  }
}
