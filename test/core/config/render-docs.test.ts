import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig } from '../../../core/config/load.ts'
import {
  docsMarkers,
  insertDocs,
  renderDocs,
  renderEffective,
} from '../../../core/config/render-docs.ts'
import { settingTable } from '../../../shared/config/schema.ts'

test('the documentation has one row per setting, each with four cells', () => {
  const rows = renderDocs().split('\n')
  expect(rows).toHaveLength(Object.keys(settingTable).length + 2)
  for (const row of rows) expect(row.split(/(?<!\\)\|/)).toHaveLength(6)
})

test('the documentation replaces what stands between its markers, and nothing else', () => {
  const { start, end } = docsMarkers
  const written = insertDocs(`a\n${start}\nold\n${end}\nb\n`)
  expect(written).toBe(`a\n${start}\n\n${renderDocs()}\n\n${end}\nb\n`)
  expect(insertDocs(String(written))).toBe(written)
  expect(insertDocs('no markers')).toBeUndefined()
})

test('passwords are masked wherever they are shown', () => {
  const set = ['default_pass=hidden1', 'default_users.app.password=hidden2']
  const shown = renderEffective(loadConfig({ env: {}, set }).lines)
  expect(shown).not.toContain('hidden')
  expect(shown).toContain('default_pass = ********')
  expect(shown).toContain('default_users.app.password = ********')
})

test('what is shown is a configuration file with the same effect', () => {
  const folder = mkdtempSync(join(tmpdir(), 'warren-show-'))
  const file = join(folder, 'shown.conf')
  const set = [
    'listeners.tcp.a=127.0.0.1:1',
    'cluster_name=a # b',
    'loopback_users=none',
    'shards=2',
  ]
  const loaded = loadConfig({ env: {}, set })
  const shown = renderEffective(loaded.lines.filter(({ secret }) => !secret))
  writeFileSync(file, shown)
  expect(loadConfig({ file, env: {}, set: [] }).config).toEqual(loaded.config)
  rmSync(folder, { recursive: true })
})
