// Listening sockets: plain, TLS, and either with HTTP on top for WebSockets.

import { lookup } from 'node:dns/promises'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, ListenOptions, Server, Socket } from 'node:net'
import { createServer, isIP } from 'node:net'
import type { TLSSocket, TlsOptions, Server as TlsServer } from 'node:tls'
import { createServer as createTlsServer } from 'node:tls'
import type { Log } from '../../shared/log.ts'
import { alternativeName, certificateUser, distinguishedName } from './certificate.ts'
import type { ListenerPlan, TlsPlan, WebPlan } from './listener-plan.ts'
import { endpoint, isLoopback, plainAddress } from './peer-address.ts'
import type { Peer, WebFacts } from './protocol.ts'
import type { ProxyFacts } from './proxy-header.ts'
import { readProxyHeader } from './proxy-header.ts'
import { TlsFiles } from './tls-files.ts'
import type { Transport } from './transport.ts'
import { SocketTransport } from './transport.ts'

/** A listening socket. */
export interface Listener {
  readonly plan: ListenerPlan
  readonly address: string
  readonly port: number
  /** Accepts no more; connections go on. */
  close(): void
}

/** Takes a new connection; for TLS after its handshake, for a WebSocket after its upgrade. */
export type OnTransport = (transport: Transport, peer: Peer) => void

/** Who connects through a proxy, by the address and port of the proxy's end. */
type ProxiedPeers = Map<string, ProxyFacts>

/**
 * Opens what `plan` says: one listener, or one per address of a host name. Throws an Error whose
 * message names the address and the reason.
 */
export async function openListeners(
  plan: ListenerPlan,
  log: Log,
  onTransport: OnTransport,
): Promise<Listener[]> {
  const opened: Listener[] = []
  try {
    for (const host of await resolve(plan.host)) {
      opened.push(await listen(await createPlanned(plan, log, onTransport), plan, host))
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

async function createPlanned(
  plan: ListenerPlan,
  log: Log,
  onTransport: OnTransport,
): Promise<Server> {
  const proxied: ProxiedPeers = new Map()
  const server =
    plan.web !== undefined
      ? await webServer(plan, plan.web, log, proxied, onTransport)
      : plan.tls !== undefined
        ? tlsServer(plan, plan.tls, log, proxied, onTransport)
        : plainServer(plan, proxied, onTransport)
  return plan.proxyMs === undefined ? server : behindProxy(plan, plan.proxyMs, server, log, proxied)
}

function plainServer(plan: ListenerPlan, proxied: ProxiedPeers, onTransport: OnTransport): Server {
  const options = { ...socketOptions(plan), pauseOnConnect: true }
  return createServer(options, (socket) => {
    const peer = peerOf(socket, proxied, undefined)
    // A socket that has been read from can't be taken over any more.
    const fresh = plan.proxyMs === undefined
    if (peer !== undefined) onTransport(new SocketTransport(socket, fresh), peer)
  })
}

function tlsServer(
  plan: ListenerPlan,
  tls: TlsPlan,
  log: Log,
  proxied: ProxiedPeers,
  onTransport: OnTransport,
): Server {
  const files = new TlsFiles(tls)
  const server = createTlsServer(tlsOptions(plan, tls, files), (socket) => {
    const user = verifiedUser(socket, tls, log)
    if (user === false) return
    const peer = peerOf(socket, proxied, user)
    if (peer !== undefined) onTransport(new SocketTransport(socket, false), peer)
  })
  watchTls(server, files, log)
  return server
}

// HTTP and `ws` are loaded only where there is such a listener.
async function webServer(
  plan: ListenerPlan,
  web: WebPlan,
  log: Log,
  proxied: ProxiedPeers,
  onTransport: OnTransport,
): Promise<Server> {
  const { serveWebSockets } = await import('./web-server.ts')
  const { tls } = plan
  const files = tls === undefined ? undefined : new TlsFiles(tls)
  const server =
    tls === undefined || files === undefined
      ? createHttpServer({ noDelay: plan.noDelay, keepAlive: plan.keepAlive })
      : createHttpsServer(tlsOptions(plan, tls, files))
  if (files !== undefined) watchTls(server as unknown as TlsServer, files, log)
  serveWebSockets(server, web, (transport, socket, facts) => {
    const user = tls === undefined ? undefined : verifiedUser(socket as TLSSocket, tls, log)
    const peer = user === false ? undefined : peerOf(socket, proxied, user, facts)
    if (peer !== undefined) onTransport(transport, peer)
  })
  return server
}

// In front of `inner`, which never listens itself: takes the PROXY header off each connection.
function behindProxy(
  plan: ListenerPlan,
  limitMs: number,
  inner: Server,
  log: Log,
  proxied: ProxiedPeers,
): Server {
  return createServer({ ...socketOptions(plan), pauseOnConnect: true }, (socket) => {
    const key = proxyKey(socket)
    readProxyHeader(
      socket,
      limitMs,
      (facts) => {
        if (facts !== undefined) {
          proxied.set(key, facts)
          socket.once('close', () => proxied.delete(key))
        }
        inner.emit('connection', socket)
        // TLS reads below the stream, and a plain transport resumes when it starts.
        if (plan.web !== undefined && plan.tls === undefined) socket.resume()
      },
      (text) => log.warn('connection refused', { peer: key, reason: text }),
    )
  })
}

function tlsOptions(plan: ListenerPlan, tls: TlsPlan, files: TlsFiles): TlsOptions {
  if (tls.certFile === '' || tls.keyFile === '') {
    throw new Error('ssl_options.certfile and ssl_options.keyfile must be set')
  }
  return {
    ...socketOptions(plan),
    ...files.read(),
    requestCert: tls.verifyPeer,
    // Without a certificate a client may still log in by password, so the check is ours, below.
    rejectUnauthorized: tls.verifyPeer && tls.requirePeer,
    handshakeTimeout: tls.handshakeMs,
  }
}

function watchTls(server: TlsServer, files: TlsFiles, log: Log): void {
  // Before the server's own listener, which starts the handshake with the context of that moment.
  server.prependListener('connection', () => reload(server, files, log))
  server.on('tlsClientError', (error, socket) => {
    const address = socket.remoteAddress ?? ''
    log.warn('TLS handshake failed', { peer: plainAddress(address), reason: reason(error) })
    socket.destroy()
  })
}

/** The user that the client's certificate proves; false when it has one that is not accepted. */
function verifiedUser(socket: TLSSocket, tls: TlsPlan, log: Log): string | undefined | false {
  const certificate = tls.verifyPeer ? socket.getPeerX509Certificate() : undefined
  if (certificate === undefined) return undefined
  if (socket.authorized) return certificateUser(certificate, tls.loginFrom)
  log.warn('client certificate refused', { reason: reason(socket.authorizationError) })
  socket.destroy()
  return false
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

function peerOf(
  socket: Socket,
  proxied: ProxiedPeers,
  user: string | undefined,
  web?: WebFacts,
): Peer | undefined {
  const { remoteAddress, localAddress } = socket
  if (remoteAddress === undefined || localAddress === undefined) {
    // Gone before we looked.
    socket.on('error', () => {})
    socket.destroy()
    return undefined
  }
  const { address, port, ...local } = proxied.get(proxyKey(socket)) ?? {
    address: plainAddress(remoteAddress),
    port: socket.remotePort ?? 0,
    localAddress: plainAddress(localAddress),
    localPort: socket.localPort ?? 0,
  }
  return {
    name: `${endpoint(address, port)} -> ${endpoint(local.localAddress, local.localPort)}`,
    address,
    port,
    ...local,
    loopback: isLoopback(address),
    tls: 'encrypted' in socket,
    certificateUser: user,
    ...(user === undefined ? {} : namesOf(socket as TLSSocket)),
    ...(web === undefined ? {} : { web }),
  }
}

function namesOf(socket: TLSSocket): Pick<Peer, 'certificateNames'> {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return {}
  return {
    certificateNames: {
      distinguishedName: distinguishedName(certificate.subject),
      alternativeName: alternativeName(certificate.subjectAltName),
    },
  }
}

function proxyKey(socket: Socket): string {
  return endpoint(plainAddress(socket.remoteAddress ?? ''), socket.remotePort ?? 0)
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
