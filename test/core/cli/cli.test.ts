import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { warrenVersion } from '../../../shared/version.ts'

const main = fileURLToPath(new URL('../../../dist/core/main.js', import.meta.url))

interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
}

function warren(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err })
    })
  })
}

describe('warren', () => {
  test('--version prints the version', async () => {
    expect(await warren('--version')).toEqual({ code: 0, out: `${warrenVersion}\n`, err: '' })
  })

  test('--help names the commands, and start --help its flags', async () => {
    const help = await warren('--help')
    expect(help.code).toBe(0)
    expect(help.out).toMatch(/start.*config/s)
    const start = await warren('start', '--help')
    expect(start.out).toMatch(/--config <file>.*--data-dir <dir>.*--set <key=value>/s)
  })

  test('an unknown command or flag is a usage error', async () => {
    expect(await warren('begin')).toMatchObject({ code: 2, out: '' })
    expect(await warren('start', '--fast')).toMatchObject({ code: 2, out: '' })
  })

  test('config check tells mistakes with file and line and exits with 2', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'warren-cli-'))
    const file = join(folder, 'warren.conf')
    writeFileSync(file, 'heartbeat = 30\nfoo_bar = 1\n')
    const bad = await warren('config', 'check', '--config', file)
    expect(bad).toEqual({ code: 2, out: '', err: `${file}:2: unknown key 'foo_bar'\n` })
    writeFileSync(file, 'heartbeat = 30\n')
    const good = await warren('config', 'check', '--config', file)
    expect(good).toEqual({ code: 0, out: `${file}: configuration is valid\n`, err: '' })
    rmSync(folder, { recursive: true })
  })

  test('start refuses a bad configuration with 2 as well', async () => {
    const { code, err } = await warren('start', '--set', 'shards=none')
    expect(code).toBe(2)
    expect(err).toBe(
      "--set shards: bad value 'none' for shards: expected a whole number from 1 to 64\n",
    )
  })

  test('config show prints the values in effect', async () => {
    const { code, out } = await warren('config', 'show', '--set', 'shards=3')
    expect(code).toBe(0)
    expect(out).toMatch(/^shards = 3 +# --set shards$/m)
    expect(out).toMatch(/^heartbeat = 60 +# default$/m)
  })

  test('config docs prints the table of settings', async () => {
    const { code, out } = await warren('config', 'docs')
    expect(code).toBe(0)
    expect(out).toContain('| `heartbeat` |')
  })
})
