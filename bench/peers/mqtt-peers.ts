/** Other MQTT brokers: mosquitto where it is installed, and aedes, which npm installs for us. */

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from './broker.ts'

export type MqttPeerName = 'mosquitto' | 'aedes'

/** A running broker. */
export type MqttPeer = { readonly port: number; stop(): void }

const READY_TIMEOUT_MS = 15_000
const mosquittoPaths = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/usr/bin/mosquitto']

/** Starts it on a free port; undefined where it is not installed. */
export async function startMqttPeer(name: MqttPeerName): Promise<MqttPeer | undefined> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'warren-bench-'))
  const child = name === 'mosquitto' ? startMosquitto(folder, port) : startAedes(port)
  const stop = (): void => {
    child?.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  if (child === undefined) {
    stop()
    return undefined
  }
  process.once('exit', stop)
  const deadline = performance.now() + READY_TIMEOUT_MS
  while (!(await accepts(port))) {
    if (performance.now() > deadline || child.exitCode !== null) {
      stop()
      throw new Error(`${name} did not start`)
    }
    await sleep(20)
  }
  return { port, stop }
}

// Its defaults, but that nothing is dropped and that a client may have as much unacknowledged as
// with Warren.
function startMosquitto(folder: string, port: number): ChildProcess | undefined {
  const command = mosquittoPaths.find((path) => existsSync(path))
  if (command === undefined) return undefined
  const file = join(folder, 'mosquitto.conf')
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence false',
    'log_dest none',
    'max_queued_messages 0',
    'max_inflight_messages 1000',
    'set_tcp_nodelay true',
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return spawn(command, ['-c', file], { stdio: 'ignore' })
}

function startAedes(port: number): ChildProcess {
  const main = fileURLToPath(new URL(`./aedes-server${extname(import.meta.url)}`, import.meta.url))
  return spawn(process.execPath, [main, String(port)], { stdio: 'ignore' })
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
