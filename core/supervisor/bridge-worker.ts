// The entry of the thread that stands in for a gateway which runs in a process of its own: it starts
// that process, is its bridge to the shards, and passes mail and reports on. To the supervisor it
// looks like the gateway itself.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../shared/assert.ts'
import { Bridge } from '../../shared/bus/bridge.ts'
import { encodeBridgeStart } from '../../shared/bus/bridge-wire.ts'
import type { GatewayMail, GatewayStart, ThreadReport } from '../../shared/bus/mail.ts'

assert(parentPort !== null, 'a bridge runs as a worker thread')
const main = parentPort
const start = workerData as GatewayStart
const child = startChild()
const socket = child.stdio[3]
assert(socket instanceof Socket, 'the fourth descriptor is a socket pair')

let stopped = false
const bridge = Bridge.forCore(socket, start, (meta) => {
  if (meta.meta !== 'report') return
  // The child says it first and then closes the socket; whoever hears it finds everything done.
  if (meta.report.report === 'stopped') stopped = true
  else post(meta.report)
})

socket.on('data', (chunk: Buffer) => bridge.onBytes(chunk))
socket.on('error', () => {})
socket.on('close', () => onSocketClosed())
main.on('message', (mail: GatewayMail) => bridge.send({ meta: 'mail', mail }))
socket.write(
  encodeBridgeStart({
    gateway: start.gateway,
    name: start.name,
    protocols: start.protocols,
    shards: start.links.length,
    arenaBytes: start.arena.data.byteLength,
    settings: start.settings,
  }),
)
bridge.start()

function startChild(): ChildProcess {
  const entry = new URL(`../../gateways/process${extname(import.meta.url)}`, import.meta.url)
  // 'pipe' is a pair of Unix sockets: no path that others could find, and it ends with either process.
  return spawn(process.execPath, [fileURLToPath(entry)], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  })
}

function post(report: ThreadReport): void {
  main.postMessage(report)
}

function onSocketClosed(): void {
  bridge.close()
  if (stopped) {
    post({ report: 'stopped' })
    main.close()
    return
  }
  child.kill('SIGKILL')
  if (child.exitCode !== null || child.signalCode !== null) onChildEnd()
  else child.once('exit', () => onChildEnd())
}

function onChildEnd(): void {
  const how = child.signalCode ?? `code ${child.exitCode}`
  post({ report: 'failed', text: `the process of gateway ${start.name} ended (${how})` })
  main.close()
}
