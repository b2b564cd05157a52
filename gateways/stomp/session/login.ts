// CONNECT and STOMP: version, credentials, virtual host, then CONNECTED.

import { randomBytes, randomUUID } from 'node:crypto'
import { connectionWindow } from '../../../shared/bus/wire.ts'
import type { PeerError } from '../../../shared/errors.ts'
import type { Frame } from '../codec/frame.ts'
import type { HeaderLine } from '../codec/frame-writer.ts'
import { Header } from '../codec/header-name.ts'
import type { Failure } from '../mapping/failure.ts'
import { badConnect, versionMismatch } from '../mapping/failure.ts'
import type { Credentials, HeartBeat, StompVersion } from '../mapping/login.ts'
import { negotiateVersion, readCredentials, readHeartBeat } from '../mapping/login.ts'
import { escapeHeader } from '../mapping/message-headers.ts'
import type { StompContext } from './context.ts'
import { registryShard } from './context.ts'

interface Asked {
  readonly version: StompVersion
  readonly vhost: string
  readonly heartBeat: HeartBeat
  readonly credentials: Credentials
}

/** Who waits for the login. */
export interface LoginOwner {
  onLoggedIn(heartBeat: HeartBeat): void
  /** The client may try again. */
  onRefused(failure: Failure): void
  /** An operator closes the connection, or its vhost went. */
  onForced(error: PeerError): void
}

/** Logs in with `frame`, or without one as the default user. The context knows the rest afterwards. */
export function logIn(context: StompContext, frame: Frame | undefined, owner: LoginOwner): void {
  const asked = read(context, frame)
  if ('message' in asked) {
    owner.onRefused(asked)
    return
  }
  const { user, password, mechanism } = asked.credentials
  const { loopback } = context.host.peer
  const op = { op: 'authenticate', mechanism, user, password, loopback } as const
  context.ask(registryShard, op, (reply) => {
    if (reply.error !== undefined) {
      owner.onRefused(refuse(context, user))
      return
    }
    const tags: unknown = reply['tags']
    context.user = typeof reply['user'] === 'string' ? reply['user'] : user
    context.impersonator = Array.isArray(tags) && tags.includes('impersonator')
    open(context, asked, owner)
  })
}

/** The header lines of CONNECTED. */
export function connectedHeaders(context: StompContext, heartBeat: HeartBeat): HeaderLine[] {
  const { server } = context.settings
  const lines: HeaderLine[] = server === '' ? [] : [['server', escapeHeader(server)]]
  lines.push(
    ['session', context.session],
    ['heart-beat', `${heartBeat.sendMs},${heartBeat.receiveMs}`],
    ['version', context.version],
  )
  return lines
}

function read(context: StompContext, frame: Frame | undefined): Asked | Failure {
  const { settings } = context
  const { peer } = context.host
  const version = negotiateVersion(frame?.text(Header.acceptVersion))
  if (version === undefined) return versionMismatch()
  const heartBeat = readHeartBeat(frame?.text(Header.heartBeat))
  if (heartBeat === undefined) return badConnect('Invalid heart-beat header')
  const login = { web: peer.web?.login, certificate: peer.certificateUser }
  const credentials = readCredentials(frame, settings, login)
  if (credentials === undefined) return badConnect('Missing login or passcode header(s)')
  const vhost = frame?.text(Header.host) ?? settings.defaultVhost
  return { version, vhost, heartBeat, credentials }
}

function open(context: StompContext, asked: Asked, owner: LoginOwner): void {
  const { port, host } = context
  const slot = port.connections.add({
    onClosed: (event) => owner.onForced(event.error),
    onHeld: (ms) => context.holdFor(ms),
  })
  const op = {
    op: 'openConnection',
    connection: slot,
    owner: `${host.peer.name} ${randomUUID()}`,
    user: context.user,
    vhost: asked.vhost,
    window: connectionWindow,
  } as const
  context.ask(registryShard, op, (reply) => {
    if (reply.error !== undefined) {
      port.connections.remove(slot)
      host.log.error(`STOMP login refused: ${reply.error.text}`, { peer: host.peer.name })
      owner.onRefused(badConnect(openRefusal(asked.vhost, reply.error.text)))
      return
    }
    for (let shard = 1; shard < port.shardCount; shard++) port.notify(shard, op)
    context.slot = slot
    context.vhost = asked.vhost
    context.version = asked.version
    // 16 random bytes are 22 characters of base64url.
    context.session = `session-${randomBytes(16).toString('base64url')}`
    owner.onLoggedIn(asked.heartBeat)
  })
}

function refuse(context: StompContext, user: string): Failure {
  const { host, settings } = context
  host.log.error(`STOMP login refused: user '${user}'`, { peer: host.peer.name })
  if (!host.peer.loopback && settings.loopbackUsers.includes(user)) {
    return badConnect('non-loopback access denied')
  }
  return badConnect(`Access refused for user '${user}'`)
}

function openRefusal(vhost: string, text: string): string {
  // A limit says so itself; a vhost that is not there looks like one that is not allowed.
  if (/limit/.test(text)) return text.replace(/^[A-Z_]+ - /, '')
  return `Virtual host '${vhost}' access denied`
}
