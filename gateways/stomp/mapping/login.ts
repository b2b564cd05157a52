// What a CONNECT asks for, as plain values.

import type { Frame } from '../codec/frame.ts'
import { Header } from '../codec/header-name.ts'
import type { StompSettings } from './settings.ts'

export type StompVersion = '1.0' | '1.1' | '1.2'

const supported: readonly StompVersion[] = ['1.2', '1.1', '1.0']

/** The versions of an ERROR frame's header, and of the one that says they don't match. */
export const supportedVersions = '1.0,1.1,1.2'

/** The highest version both know; a client that names none speaks 1.0. */
export function negotiateVersion(offered: string | undefined): StompVersion | undefined {
  if (offered === undefined) return '1.0'
  const words = offered.split(',').map((word) => word.trim())
  return supported.find((version) => words.includes(version))
}

/** Heart-beats of both sides in milliseconds, 0 for none. */
export interface HeartBeat {
  /** How often we send at least. */
  readonly sendMs: number
  /** How often the client promises to send. */
  readonly receiveMs: number
}

/** A heart-beat header, `cx,cy`, each rounded to whole seconds; undefined when it is malformed. */
export function readHeartBeat(text: string | undefined): HeartBeat | undefined {
  if (text === undefined) return { sendMs: 0, receiveMs: 0 }
  const parts = /^\s*(\d{1,9})\s*,\s*(\d{1,9})\s*$/.exec(text)
  if (parts === null) return undefined
  return { sendMs: wholeSeconds(Number(parts[2])), receiveMs: wholeSeconds(Number(parts[1])) }
}

function wholeSeconds(ms: number): number {
  if (ms === 0) return 0
  return Math.max(1, Math.floor(ms / 1000)) * 1000
}

/** Who logs in, and how that is proved. */
export interface Credentials {
  readonly mechanism: 'PLAIN' | 'EXTERNAL'
  readonly user: string
  readonly password: string | undefined
}

/** What the transport knows: the login of HTTP, the user of a client certificate. */
export interface TransportLogin {
  readonly web: { readonly user: string; readonly password: string } | undefined
  readonly certificate: string | undefined
}

/** Undefined where nobody is named. `frame` is undefined for a login without CONNECT. */
export function readCredentials(
  frame: Frame | undefined,
  settings: StompSettings,
  { web, certificate }: TransportLogin,
): Credentials | undefined {
  if (web !== undefined) return { mechanism: 'PLAIN', ...web }
  const login = frame?.text(Header.login)
  if (login === undefined && settings.certificateLogin && certificate !== undefined) {
    return { mechanism: 'EXTERNAL', user: certificate, password: undefined }
  }
  const user = login ?? settings.defaultUser
  const password = frame?.text(Header.passcode) ?? settings.defaultPassword
  if (user === '' || password === '') return undefined
  return { mechanism: 'PLAIN', user, password }
}
