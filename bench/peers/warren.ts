/** Warren itself, built beside this file. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serviceListeners } from '../../shared/config/services.ts'
import type { Broker } from './broker.ts'
import { freePort, launchBroker } from './broker.ts'

const READY_TIMEOUT_MS = 20_000

/** Starts Warren on a free port of the loopback with its defaults and `args`. */
export async function startWarren(label: string, args: readonly string[]): Promise<Broker> {
  const port = await freePort()
  const dataDir = mkdtempSync(join(tmpdir(), 'warren-bench-'))
  const suffix = extname(import.meta.url)
  const main = fileURLToPath(new URL(`../../core/main${suffix}`, import.meta.url))
  const [stompPort, webStompPort] = [await freePort(), await freePort()]
  const streamPort = await freePort()
  const mqttPort = await freePort()
  const listeners = [
    `listeners.tcp.default=127.0.0.1:${port}`,
    `stomp.listeners.tcp.default=127.0.0.1:${stompPort}`,
    `web_stomp.tcp.default=127.0.0.1:${webStompPort}`,
    `stream.listeners.tcp.default=127.0.0.1:${streamPort}`,
    `mqtt.listeners.tcp.default=127.0.0.1:${mqttPort}`,
  ].flatMap((listener) => ['--set', listener])
  return launchBroker({
    label,
    command: process.execPath,
    args: [main, 'start', '--data-dir', dataDir, ...listeners, ...args],
    env: { ...amqpOnly(), ...process.env },
    port,
    ports: { stompPort, webStompPort, streamPort, mqttPort },
    readyTimeoutMs: READY_TIMEOUT_MS,
    cleanUp: () => rmSync(dataDir, { recursive: true, force: true }),
  })
}

// Other protocols are served where a scenario says so: their usual ports may be taken.
function amqpOnly(): Record<string, string> {
  const off: Record<string, string> = {}
  for (const { key } of Object.values(serviceListeners).flat())
    if (key !== 'listeners.tcp') off[`WARREN_${key.toUpperCase().replaceAll('.', '_')}`] = 'none'
  return off
}
