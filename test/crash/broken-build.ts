// A build of the program with a mistake in it, to see whether the harness finds it.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const dist = join(dirname(fileURLToPath(new URL('../../dist/core/main.js', import.meta.url))), '..')

/** Copies what was built and makes its log confirm what it has written, and sync then. */
export function brokenBuild(): { readonly main: string; readonly remove: () => void } {
  // Beside the right one, so that it finds the same packages.
  const folder = mkdtempSync(join(dist, 'broken-'))
  for (const part of ['core', 'gateways', 'shared']) {
    cpSync(join(dist, part), join(folder, part), { recursive: true })
  }
  const file = join(folder, 'core/store/log-worker.code.cjs')
  const right = readFileSync(file, 'utf8')
  const wrong = right.replace(
    /this\.wal\?\.sync\(\);(\s+this\.parts\.streams\.sync\(\))/,
    'this.ring.release(); this.parts.durable.advance(this.ring.releasedPosition());' +
      'this.parts.shardBell.ring(); this.wal?.sync();$1',
  )
  if (wrong === right) throw new Error(`${file} is not as this test knows it`)
  writeFileSync(file, wrong)
  return {
    main: join(folder, 'core/main.js'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
