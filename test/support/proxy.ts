// A TCP relay in front of a broker whose connections a test can cut.

import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import type { Broker } from './broker.ts'

export interface Proxy {
  readonly port: number
  /** Resets every connection; new ones are accepted at once. */
  cut(): void
  stop(): Promise<void>
}

export async function startProxy(broker: Broker): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  }
  const server = createServer((inner) => {
    const outer = connect({ port: broker.port, host: broker.host })
    keep(inner)
    keep(outer)
    inner.pipe(outer)
    outer.pipe(inner)
    inner.on('close', () => outer.destroy())
    outer.on('close', () => inner.destroy())
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const stop = async (): Promise<void> => {
    cut()
    await new Promise((resolve) => {
      server.close(resolve)
    })
  }
  return { port, cut, stop }
}
