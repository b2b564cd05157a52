import { describe, expect, test } from 'vitest'
import type { Session, SessionHost } from '../../../gateways/host/protocol.ts'
import { chooseByHead } from '../../../gateways/host/protocol-choice.ts'
import { EchoProtocol } from './echo-session.ts'

function rig(): {
  readonly session: Session
  readonly first: EchoProtocol
  readonly second: EchoProtocol
  readonly ended: string[]
} {
  const first = new EchoProtocol()
  const second = new EchoProtocol()
  for (const protocol of [first, second])
    protocol.onSession = (session) => {
      session.echoes = false
    }
  const ended: string[] = []
  const host = {
    now: () => 1000,
    end: () => ended.push('end'),
    destroy: () => ended.push('destroy'),
  } as unknown as SessionHost
  const choose = (head: Uint8Array): EchoProtocol | undefined =>
    head.length < 5 ? undefined : head[4] === 1 ? first : second
  const protocol = chooseByHead('either', choose, () => 300)
  return { session: protocol.createSession(host, {}), first, second, ended }
}

describe('a choice by the first bytes', () => {
  test.each([1, 2, 3, 4, 5, 6])('is made when they are there, however split (%i)', (size) => {
    const { session, first, second } = rig()
    const bytes = Buffer.from('abcd\x01the rest', 'latin1')
    for (let at = 0; at < bytes.length; at += size)
      session.onBytes(Buffer.from(bytes.subarray(at, at + size)))
    expect(first.sessions[0]?.bytes.toString('latin1')).toBe('abcd\x01the rest')
    expect(second.sessions).toEqual([])
  })

  test('leaves everything to the one that was chosen', () => {
    const { session, second } = rig()
    session.onBytes(Buffer.from('abcd\x02'))
    const chosen = second.sessions[0]
    if (chosen === undefined) throw new Error('nobody was chosen')
    chosen.blocked = true
    expect(session.blocked).toBe(true)
    session.resume()
    expect(session.blocked).toBe(false)
    session.onFlushed()
    expect(chosen.flushes).toBe(1)
    chosen.deadlineAt = 77
    expect(session.deadline()).toBe(77)
    session.onClosed(undefined)
    expect(chosen.closes).toEqual([undefined])
  })

  test('drops a client that says too little, and ends before one is made', () => {
    const { session, ended } = rig()
    session.onBytes(Buffer.from('abc'))
    expect(session.deadline()).toBe(1300)
    session.onDeadline(1300)
    session.onShutdown('stop')
    expect(ended).toEqual(['destroy', 'end'])
  })
})
