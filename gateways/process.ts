// The entry of a gateway in a process of its own. Descriptor 3 is one end of a socket pair; a bridge
// at its other end, in the core, joins it to the shards. The process ends when that socket does.

import { Socket } from 'node:net'
import { Bridge } from '../shared/bus/bridge.ts'
import { createBridgedStart } from '../shared/bus/bridge-memory.ts'
import type { BridgeMeta, BridgeStart } from '../shared/bus/bridge-wire.ts'
import { decodeBridgeStart } from '../shared/bus/bridge-wire.ts'
import { Doorbell } from '../shared/bus/doorbell.ts'
import { NodeWord } from '../shared/bus/link.ts'
import type { GatewayMail, GatewayStart, ThreadReport } from '../shared/bus/mail.ts'
import type { Config } from '../shared/config/schema.ts'
import { Gateway } from './host/gateway.ts'
import { planServices } from './services.ts'

const bridgeDescriptor = 3

// A terminal's Ctrl-C reaches every process of the group; the core tells us when to stop.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => {})

const socket = new Socket({ fd: bridgeDescriptor, readable: true, writable: true })
socket.on('error', () => {})
socket.on('close', () => process.exit(0))
void run()

async function run(): Promise<void> {
  const { start, rest } = await readStart()
  const local = createBridgedStart(start)
  const services = planServices(local.protocols, local.settings as Config)
  const mailbox: GatewayMail[] = []
  let gateway: Gateway | undefined
  const onMeta = (meta: BridgeMeta): void => {
    if (meta.meta === 'alarms') setAlarms(local, meta)
    else if (meta.meta === 'mail') {
      if (gateway === undefined) mailbox.push(meta.mail)
      else gateway.onMail(meta.mail)
    }
  }
  const bell = new Doorbell(local.bell)
  const bridge = Bridge.forGateway(socket, local, onMeta, (stalled) => {
    gateway?.loop.port.hold(stalled)
    if (!stalled) bell.ring()
  })
  const report = (said: ThreadReport): void => {
    bridge.send({ meta: 'report', report: said })
    // What the sessions said last is in the rings; the socket takes it before its end.
    if (said.report !== 'stopped') return
    bridge.turn()
    socket.end()
  }
  socket.on('data', (chunk: Buffer) => {
    bridge.onBytes(chunk)
    // The doorbells would do this too, but each a round of the event loop later; windows are small,
    // so a delivery that waits for rounds is throughput lost.
    gateway?.loop.begin()
    gateway?.loop.end()
    bridge.turn()
  })
  socket.resume()
  bridge.onBytes(rest)
  bridge.start()
  gateway = new Gateway(local, services, report)
  for (const mail of mailbox) gateway.onMail(mail)
}

/** Reads the start; the socket is paused behind it. */
function readStart(): Promise<{ readonly start: BridgeStart; readonly rest: Buffer }> {
  return new Promise((done) => {
    let bytes: Buffer = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk])
      const found = decodeBridgeStart(bytes)
      if (found === undefined) return
      socket.pause()
      socket.removeListener('data', onData)
      done(found)
    }
    socket.on('data', onData)
  })
}

function setAlarms(local: GatewayStart, meta: Extract<BridgeMeta, { meta: 'alarms' }>): void {
  Atomics.store(new Int32Array(local.nodeWords), NodeWord.alarms, meta.alarms)
  new Doorbell(local.bell).ring()
}
