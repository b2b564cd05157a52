// The HTTP side of a WebSocket listener: who may open one, where, and for which sub-protocol.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer } from 'ws'
import type { WebPlan } from './listener-plan.ts'
import type { WebFacts } from './protocol.ts'
import type { MessageKind } from './websocket.ts'
import { WebSocketTransport } from './websocket.ts'

/** Takes an open WebSocket. */
export type OnWebSocket = (transport: WebSocketTransport, socket: Socket, facts: WebFacts) => void

/** Makes `server` open WebSockets as `plan` says, and refuse everything else. */
export function serveWebSockets(server: Server, plan: WebPlan, onWebSocket: OnWebSocket): void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: plan.payloadBytesMax,
    perMessageDeflate: false,
    clientTracking: false,
    // The protocols check the text that they decode.
    skipUTF8Validation: true,
    handleProtocols: (offered) => chooseSubprotocol(offered, plan.subprotocols),
  })
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const known = isPath(request, plan)
    response.writeHead(known ? 426 : 404, known ? { upgrade: 'websocket' } : {})
    response.end(known ? 'This is a WebSocket endpoint.\n' : 'Not found.\n')
  })
  server.on('upgrade', (request: IncomingMessage, raw, head: Buffer) => {
    const socket = raw as Socket
    socket.on('error', () => {})
    const refusal = refuse(request, plan)
    if (refusal !== undefined) {
      socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    sockets.handleUpgrade(request, socket, head, (web) => {
      const { protocol: subprotocol } = web
      const kind = plan.binary ? 'binary' : messageKind(subprotocol)
      const transport = new WebSocketTransport(web, socket, { kind, idleMs: plan.idleMs })
      const login = plan.httpAuth ? basicLogin(request.headers.authorization) : undefined
      onWebSocket(transport, socket, { subprotocol, login })
    })
  })
}

// STOMP is text; who names no protocol is answered in kind.
function messageKind(subprotocol: string): MessageKind {
  if (subprotocol === '') return 'as received'
  return subprotocol.endsWith('stomp') ? 'text' : 'binary'
}

/** The first of what the client offers that is served; false for none of them. */
export function chooseSubprotocol(
  offered: Iterable<string>,
  served: readonly string[],
): string | false {
  for (const name of offered) if (served.includes(name)) return name
  return false
}

/** User and password of an `Authorization: Basic` header. */
export function basicLogin(header: string | undefined): WebFacts['login'] {
  const encoded = /^Basic +([A-Za-z0-9+/=]+) *$/i.exec(header ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const at = text.indexOf(':')
  return at < 0 ? undefined : { user: text.slice(0, at), password: text.slice(at + 1) }
}

// Status line of a refusal, undefined when the request is fine.
function refuse(request: IncomingMessage, plan: WebPlan): string | undefined {
  if (!isPath(request, plan)) return '404 Not Found'
  const { origin } = request.headers
  const { origins } = plan
  const open = origins.length === 0 || origins.includes('*')
  // Clients that are no browsers send no origin.
  if (!open && (origin === undefined || !origins.includes(origin))) return '403 Forbidden'
  return undefined
}

// AMQP clients are told to use various paths (`/ws/amqp` among them), so what lies below is fine too.
function isPath({ url = '/' }: IncomingMessage, { path }: WebPlan): boolean {
  const asked = url.split('?', 1)[0] ?? ''
  return asked === path || asked.startsWith(path.endsWith('/') ? path : `${path}/`)
}
