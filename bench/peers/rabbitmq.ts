/**
 * RabbitMQ as the peer: installed on this machine, or in a folder made for it.
 *
 * A folder keeps the machine as it is, and fixes the version. On Debian or Ubuntu, as root:
 *
 *   apt-get install debootstrap
 *   debootstrap --variant=minbase --include=rabbitmq-server trixie /opt/trixie
 *   cp /etc/hosts /opt/trixie/etc/hosts     # each connection looks the host name up
 *   mount -t proc proc /opt/trixie/proc
 *   mount --rbind /dev /opt/trixie/dev
 *   WARREN_BENCH_RABBITMQ_ROOT=/opt/trixie npm run bench
 *
 * Either way it runs with a data folder, node name and name server (epmd) of its own, on the
 * loopback only, with RabbitMQ's defaults otherwise, and is stopped at the end.
 */

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Broker } from './broker.ts'
import { freePort, launchBroker } from './broker.ts'

/** Booting the Erlang machine and a fresh database takes 5 to 10 s on two cores. */
const READY_TIMEOUT_MS = 90_000

/** Where RabbitMQ is, or undefined: `root` is '/' when it is installed on the machine itself. */
export type RabbitmqInstallation = { readonly root: string; readonly server: string }

/** Looks into WARREN_BENCH_RABBITMQ_ROOT first, then at the PATH. */
export function findRabbitmq(env: NodeJS.ProcessEnv): RabbitmqInstallation | undefined {
  const root = env['WARREN_BENCH_RABBITMQ_ROOT']
  if (root !== undefined && root !== '') {
    const server = '/usr/lib/rabbitmq/bin/rabbitmq-server'
    if (!existsSync(join(root, server))) throw new Error(`no RabbitMQ in ${root}`)
    return { root, server }
  }
  // Debian's wrapper on the PATH changes user and ignores the environment; prefer what it calls.
  const folders = ['/usr/lib/rabbitmq/bin', ...(env['PATH'] ?? '').split(delimiter)]
  const server = folders.map((folder) => join(folder, 'rabbitmq-server')).find(existsSync)
  return server === undefined ? undefined : { root: '/', server }
}

/** Starts it on free ports with an empty data folder. */
export async function startRabbitmq(installation: RabbitmqInstallation): Promise<Broker> {
  const { root, server } = installation
  const [port, epmdPort, distPort] = [await freePort(), await freePort(), await freePort()]
  mkdirSync(join(root, 'tmp'), { recursive: true })
  const folder = mkdtempSync(join(root, 'tmp', 'warren-bench-rabbitmq-'))
  const inside = root === '/' ? folder : folder.slice(root.replace(/\/$/, '').length)
  mkdirSync(join(folder, 'home'))
  const [stompPort, webStompPort] = [await freePort(), await freePort()]
  const streamPort = await freePort()
  writeFileSync(
    join(folder, 'enabled_plugins'),
    '[rabbitmq_stomp,rabbitmq_web_stomp,rabbitmq_stream].\n',
  )
  const settings = [
    'log.console = true',
    'log.console.level = error',
    `stomp.listeners.tcp.1 = 127.0.0.1:${stompPort}`,
    'web_stomp.tcp.ip = 127.0.0.1',
    `web_stomp.tcp.port = ${webStompPort}`,
    `stream.listeners.tcp.1 = 127.0.0.1:${streamPort}`,
  ]
  writeFileSync(join(folder, 'rabbitmq.conf'), `${settings.join('\n')}\n`)
  const env = environment(inside, port, epmdPort, distPort)
  const names = startNames(root, epmdPort, env)
  const chroot = root === '/' ? [] : ['chroot', root]
  const [command = server, ...args] = [...chroot, server]
  return launchBroker({
    label: 'RabbitMQ',
    command,
    args,
    env,
    port,
    ports: { stompPort, webStompPort, streamPort },
    readyTimeoutMs: READY_TIMEOUT_MS,
    pid: () => erlangPid(join(folder, 'pid')),
    cleanUp: () => {
      names.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  })
}

/** epmd as our child: RabbitMQ would leave one running, and on all interfaces. */
function startNames(root: string, port: number, env: NodeJS.ProcessEnv): ChildProcess {
  const epmd = ['epmd', '-address', '127.0.0.1', '-port', String(port)]
  const [command = 'epmd', ...args] = root === '/' ? epmd : ['chroot', root, ...epmd]
  return spawn(command, args, { env, stdio: 'ignore' }).on('error', () => {})
}

function environment(
  folder: string,
  port: number,
  epmdPort: number,
  distPort: number,
): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    LANG: 'C.UTF-8',
    HOME: `${folder}/home`,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(epmdPort),
    RABBITMQ_NODENAME: `warren-bench-${port}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    RABBITMQ_MNESIA_BASE: `${folder}/mnesia`,
    RABBITMQ_LOG_BASE: `${folder}/log`,
    RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq.conf`,
    RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/enabled_plugins`,
    RABBITMQ_PID_FILE: `${folder}/pid`,
  }
}

function erlangPid(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8').trim()) || undefined
  } catch {
    return undefined
  }
}
