// Crowds of connections that say nothing. WARREN_IDLE_CONNECTIONS=10000 makes the crowd larger.

import { expect, it } from 'vitest'
import type { Clients } from '../support/clients.ts'
import { canInspectProcesses, residentBytes } from '../support/process-tree.ts'
import { describeBrokers, GATEWAY_PROFILES } from '../support/profiles.ts'
import { RawClient } from '../support/raw-client.ts'
import { eventually, within } from '../support/wait.ts'

const CROWD = Number(process.env['WARREN_IDLE_CONNECTIONS'] ?? 1000)
const AT_ONCE = 100
const MIB = 1024 * 1024

async function crowd(port: number, host: string, count: number): Promise<RawClient[]> {
  const all: RawClient[] = []
  while (all.length < count) {
    const wave = Math.min(AT_ONCE, count - all.length)
    all.push(
      ...(await Promise.all(Array.from({ length: wave }, () => RawClient.connect(port, host)))),
    )
  }
  return all
}

// The crowd must still be there when it is complete.
const PATIENT = { settings: ['handshake_timeout=120000'], profiles: GATEWAY_PROFILES }

function crowds(use: () => Clients): void {
  it(`serves others while ${CROWD} say nothing`, async () => {
    const { port, host, process } = use().broker
    const before = process === undefined ? 0 : residentBytes(process.pid)
    const silent = await crowd(port, host, CROWD)
    try {
      await use().roundTrip()
      if (process !== undefined) expect(silent.filter((raw) => raw.isEnded)).toHaveLength(0)
      if (process !== undefined && canInspectProcesses) {
        // 16 KiB each is generous for a socket that has received nothing.
        const grownBy = residentBytes(process.pid) - before
        expect(grownBy / MIB).toBeLessThan(40 + (CROWD * 16) / 1024)
      }
    } finally {
      for (const raw of silent) raw.destroy()
    }
    await use().roundTrip()
  }, 60_000)

  it('serves others while many stop in the middle of the handshake', async () => {
    const { port, host } = use().broker
    const stuck = await crowd(port, host, 200)
    try {
      for (const [at, raw] of stuck.entries()) {
        raw.write(Buffer.from('AMQP\x00\x00\x09\x01', 'latin1').subarray(0, at % 9))
      }
      await use().roundTrip()
    } finally {
      for (const raw of stuck) raw.destroy()
    }
  })
}

describeBrokers('idle connections', crowds, PATIENT)

describeBrokers(
  'handshake timeout',
  (use) => {
    it('ends connections that do not get through the handshake in time', async () => {
      const stages: [string, (raw: RawClient) => void][] = [
        ['nothing', () => {}],
        ['half a header', (raw) => raw.write(Buffer.from('AMQP'))],
        ['a header', (raw) => raw.write(Buffer.from('AMQP\x00\x00\x09\x01', 'latin1'))],
        [
          'a login',
          (raw) => {
            raw.write(Buffer.from('AMQP\x00\x00\x09\x01', 'latin1'))
            raw.startOk()
          },
        ],
      ]
      const started = Date.now()
      const ends = stages.map(async ([title, act]) => {
        const raw = await use().socket()
        act(raw)
        await within(title, raw.waitForEnd(), 5000)
      })
      await Promise.all(ends)
      expect(Date.now() - started).toBeGreaterThan(700)
    })

    it('lets a connection that is open live on', async () => {
      const raw = await use().raw()
      const started = Date.now()
      await eventually('the timeout has passed', () => Date.now() - started > 1500)
      expect((await raw.call(1, 'queue.declare', { exclusive: true })).name).toBe(
        'queue.declare-ok',
      )
    })
  },
  { warrenOnly: true, settings: ['handshake_timeout=1000'], profiles: GATEWAY_PROFILES },
)
