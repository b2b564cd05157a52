// The entry of a gateway thread: core starts it by URL with a `GatewayStart` as `workerData`.

import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../shared/assert.ts'
import type { GatewayMail, GatewayStart, ThreadReport } from '../shared/bus/mail.ts'
import type { Config } from '../shared/config/schema.ts'
import { Gateway } from './host/gateway.ts'
import { planServices } from './services.ts'

assert(parentPort !== null, 'a gateway runs as a worker thread')
const main = parentPort
const start = workerData as GatewayStart

function post(report: ThreadReport): void {
  main.postMessage(report)
  // With nothing left to listen to, the thread ends by itself.
  if (report.report === 'stopped') main.close()
}

const services = planServices(start.protocols, start.settings as Config)
const gateway = new Gateway(start, services, post)
main.on('message', (mail: GatewayMail) => gateway.onMail(mail))
// While the shards are still at their start there is time to load what the first client needs.
if (start.name.startsWith('amqp')) for (const service of services) void service.load()
