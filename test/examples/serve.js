// The example page: `npm run examples`, then http://localhost:15670/examples/. It needs a broker
// with its usual ports, and publishes what the chart shows as an AMQP client of it.
//
// Options: --port 15670, --amqp amqp://guest:guest@127.0.0.1:5672.

import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import amqp from 'amqplib'

const files = {
  '': ['page/index.html', 'text/html'],
  'page.css': ['page/page.css', 'text/css'],
  'page.js': ['page/page.js', 'text/javascript'],
  'stomp.js': ['@stomp/stompjs', 'text/javascript'],
}

const packages = createRequire(import.meta.url)

/** Serves the page on `port` (0: any) and feeds its chart; `close` ends both. */
export async function serveExamples({ port, amqpUrl }) {
  const server = createServer((request, response) => {
    answer(request.url ?? '/', response).catch(() => response.destroy())
  })
  await new Promise((done, failed) => {
    server.once('error', failed)
    server.listen(port, '127.0.0.1', done)
  })
  const feed = startFeed(amqpUrl)
  return {
    port: server.address().port,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await feed.stop()
    },
  }
}

async function answer(url, response) {
  const path = url.split('?', 1)[0]
  if (path === '/' || path === '/examples') {
    response.writeHead(302, { location: '/examples/' }).end()
    return
  }
  const found = path.startsWith('/examples/') ? files[path.slice('/examples/'.length)] : undefined
  if (found === undefined) {
    response.writeHead(404).end('Not found.\n')
    return
  }
  const [name, type] = found
  const file = name.startsWith('@')
    ? packages.resolve(name)
    : fileURLToPath(new URL(name, import.meta.url))
  response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(await readFile(file))
}

/** Publishes a value five times a second, for as long as there is a broker, and when it is back. */
function startFeed(amqpUrl) {
  let connection
  let timer
  let stopped = false
  let value = 50
  const begin = async () => {
    try {
      connection = await amqp.connect(amqpUrl)
      connection.on('error', () => {})
      connection.on('close', () => again())
      const channel = await connection.createChannel()
      timer = setInterval(() => {
        value = Math.min(100, Math.max(0, value + (Math.random() - 0.5) * 10))
        const body = Buffer.from(JSON.stringify({ time: Date.now(), value }))
        channel.publish('amq.topic', 'metrics.load', body, { contentType: 'application/json' })
      }, 200)
    } catch {
      again()
    }
  }
  const again = () => {
    clearInterval(timer)
    if (!stopped) timer = setTimeout(() => void begin(), 500)
  }
  void begin()
  return {
    stop: async () => {
      stopped = true
      clearInterval(timer)
      await connection?.close().catch(() => {})
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '15670' },
      amqp: { type: 'string', default: 'amqp://guest:guest@127.0.0.1:5672' },
    },
  })
  const { port } = await serveExamples({ port: Number(values.port), amqpUrl: values.amqp })
  process.stdout.write(`http://localhost:${port}/examples/\n`)
}
