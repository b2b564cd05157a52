import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { LockOutcome } from '../../../core/store/directory-lock.ts'
import { lockDirectory } from '../../../core/store/directory-lock.ts'

const folders: string[] = []

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'warren-lock-'))
  folders.push(folder)
  return folder
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function release(outcome: LockOutcome): void {
  if (outcome.kind !== 'locked') throw new Error(`not locked: ${JSON.stringify(outcome)}`)
  outcome.release()
}

describe('the lock of a directory', () => {
  test('has one owner, whose process is told, until it is released', async () => {
    const folder = newFolder()
    const first = await lockDirectory(folder)
    expect(await lockDirectory(folder)).toEqual({ kind: 'busy', pid: process.pid })
    release(first)
    expect(readdirSync(folder)).toEqual([])
    release(await lockDirectory(folder))
  })

  test('goes to one of many that start at once', async () => {
    const folder = newFolder()
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => lockDirectory(folder)))
    const winners = outcomes.filter(({ kind }) => kind === 'locked')
    expect(winners).toHaveLength(1)
    expect(readdirSync(folder)).toEqual(['lock'])
    for (const winner of winners) release(winner)
  })

  test('of a process that is gone is taken over by one of many', async () => {
    const folder = newFolder()
    const dead = createServer()
    await new Promise<void>((resolve) => {
      dead.listen(join(folder, 'lock-dead'), resolve)
    })
    const { linkSync } = await import('node:fs')
    linkSync(join(folder, 'lock-dead'), join(folder, 'lock'))
    await new Promise((resolve) => {
      dead.close(resolve)
    })
    expect(readdirSync(folder)).toEqual(['lock'])
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => lockDirectory(folder)))
    const winners = outcomes.filter(({ kind }) => kind === 'locked')
    expect(winners).toHaveLength(1)
    for (const winner of winners) release(winner)
  })

  test('is held at paths longer than a socket may have', async () => {
    const folder = join(newFolder(), 'x'.repeat(120), 'y'.repeat(120))
    mkdirSync(folder, { recursive: true })
    const lock = await lockDirectory(folder)
    expect(await lockDirectory(folder)).toMatchObject({ kind: 'busy' })
    release(lock)
  })
})
