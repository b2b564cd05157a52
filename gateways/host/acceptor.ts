// Listening sockets, plain and TLS.

import { lookup } from 'node:dns/promises'
import type { AddressInfo, ListenOptions, Server } from 'node:net'
import { createServer, isIP } from 'node:net'
import type { Server as TlsServer } from 'node:tls'
import { createServer as createTlsServer } from 'node:tls'
import type { Log } from '../../shared/log.ts'
import { certificateUser } from './certificate.ts'
import type { ListenerPlan, TlsPlan } from './listener-plan.ts'
import { endpoint, isLoopback, plainAddress } from './peer-address.ts'
import type { Peer } from './protocol.ts'
import type { AcceptedSocket } from './read-buffer.ts'
import { adoptSocket } from './read-buffer.ts'
import { TlsFiles } from './tls-files.ts'

/** A listening socket. */
export interface Listener {
  readonly plan: ListenerPlan
  readonly address: string
  readonly port: number
  /** Accepts no more; connections go on. */
  close(): void
}

/** Takes a new connection; for TLS after its handshake. */
export type OnSocket = (accepted: AcceptedSocket, peer: Peer) => void

/**
 * Opens what `plan` says: one listener, or one per address of a host name. Throws an Error whose
 * message names the address and the reason.
 */
export async function openListeners(
  plan: ListenerPlan,
  log: Log,
  onSocket: OnSocket,
): Promise<Listener[]> {
  const opened: Listener[] = []
  try {
    for (const host of await resolve(plan.host)) {
      const server =
        plan.tls === undefined
          ? plainServer(plan, onSocket)
          : tlsServer(plan, plan.tls, log, onSocket)
      opened.push(await listen(server, plan, host))
    }
  } catch (error) {
    for (const listener of opened) listener.close()
    throw new Error(`cannot listen on ${plan.host || '*'}:${plan.port}: ${reason(error)}`)
  }
  return opened
}

async function resolve(host: string): Promise<readonly string[]> {
  if (host === '' || isIP(host) !== 0) return [host]
  const found = await lookup(host, { all: true })
  return [...new Set(found.map((item) => item.address))]
}

function plainServer(plan: ListenerPlan, onSocket: OnSocket): Server {
  const options = { ...socketOptions(plan), pauseOnConnect: true }
  return createServer(options, (socket) => accept(adoptSocket(socket), undefined, onSocket))
}

function tlsServer(plan: ListenerPlan, tls: TlsPlan, log: Log, onSocket: OnSocket): Server {
  if (tls.certFile === '' || tls.keyFile === '') {
    throw new Error('ssl_options.certfile and ssl_options.keyfile must be set')
  }
  const files = new TlsFiles(tls)
  const server = createTlsServer(
    {
      ...socketOptions(plan),
      ...files.read(),
      requestCert: tls.verifyPeer,
      // Without a certificate a client may still log in by password, so the check is ours, below.
      rejectUnauthorized: tls.verifyPeer && tls.requirePeer,
      handshakeTimeout: tls.handshakeMs,
    },
    (socket) => {
      const certificate = tls.verifyPeer ? socket.getPeerX509Certificate() : undefined
      if (certificate !== undefined && !socket.authorized) {
        log.warn('client certificate refused', { reason: reason(socket.authorizationError) })
        socket.destroy()
        return
      }
      const user =
        certificate === undefined ? undefined : certificateUser(certificate, tls.loginFrom)
      accept({ socket, onRead: undefined }, user, onSocket)
    },
  )
  // Before the server's own listener, which starts the handshake with the context of that moment.
  server.prependListener('connection', () => reload(server, files, log))
  server.on('tlsClientError', (error, socket) => {
    const address = socket.remoteAddress ?? ''
    log.warn('TLS handshake failed', { peer: plainAddress(address), reason: reason(error) })
    socket.destroy()
  })
  return server
}

function socketOptions(plan: ListenerPlan): {
  allowHalfOpen: boolean
  noDelay: boolean
  keepAlive: boolean
} {
  // Half open: what a peer sent before its end is still taken in, and answered (see connection.ts).
  return { allowHalfOpen: true, noDelay: plan.noDelay, keepAlive: plan.keepAlive }
}

function reload(server: TlsServer, files: TlsFiles, log: Log): void {
  try {
    const changed = files.readIfChanged(performance.now())
    if (changed === undefined) return
    server.setSecureContext(changed)
    log.info('TLS certificate files read again')
  } catch (error) {
    log.error('TLS certificate files are unusable; the old ones stay', { reason: reason(error) })
  }
}

function accept(accepted: AcceptedSocket, user: string | undefined, onSocket: OnSocket): void {
  const { socket } = accepted
  const { remoteAddress, remotePort, localAddress, localPort } = socket
  if (remoteAddress === undefined || localAddress === undefined) {
    // Gone before we looked.
    socket.on('error', () => {})
    socket.destroy()
    return
  }
  const address = plainAddress(remoteAddress)
  const local = plainAddress(localAddress)
  onSocket(accepted, {
    name: `${endpoint(address, remotePort ?? 0)} -> ${endpoint(local, localPort ?? 0)}`,
    address,
    port: remotePort ?? 0,
    localAddress: local,
    localPort: localPort ?? 0,
    loopback: isLoopback(address),
    tls: 'encrypted' in socket,
    certificateUser: user,
  })
}

function listen(server: Server, plan: ListenerPlan, host: string): Promise<Listener> {
  const options: ListenOptions & { reusePort?: boolean } = {
    port: plan.port,
    backlog: plan.backlog,
    ...(host === '' ? {} : { host }),
    ...(plan.shared ? { reusePort: true } : {}),
  }
  return new Promise((done, failed) => {
    server.once('error', failed)
    server.listen(options, () => {
      server.removeListener('error', failed)
      // After the start only accept() fails, for want of descriptors; the listener itself goes on.
      server.on('error', () => {})
      const { address, port } = server.address() as AddressInfo
      done({ plan, address, port, close: () => server.close() })
    })
  })
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
