// Last step of `npm run build`: joins the modules in dist/ that a thread loads at start into few files.
// Node takes about a millisecond to find, read and link a module, and a node loads some 250 of them
// over its threads: this nearly halves what a start costs. Without rolldown (which vitest brings
// along) dist/ stays as it is, which works as well.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
const chunks = 'core/chunks'
/** Packages with native parts or files of their own, and what only some nodes load. */
const apart = ['lmdb', 'ws']

/** What is started by its path, and what finds other files by its own: it has to stay where it is. */
function isEntry(path) {
  const started = /(?:^|[/-])(?:main|worker|process)\.js$/.test(path)
  return started || readFileSync(join(dist, path), 'utf8').includes('import.meta.url')
}

async function loadBundler() {
  try {
    return (await import('rolldown')).rolldown
  } catch {
    return undefined
  }
}

/** The licences of the packages that the files of `output` contain. */
function licences(output) {
  const modules = output.flatMap(({ moduleIds = [] }) => moduleIds)
  const folders = new Set(
    modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []),
  )
  return [...folders].sort().map((folder) => {
    const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name))
    const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8')
    return `${basename(folder)}\n\n${text}\n`
  })
}

async function bundle(rolldown) {
  rmSync(join(dist, chunks), { recursive: true, force: true })
  const entries = ['core', 'gateways'].flatMap((folder) =>
    readdirSync(join(dist, folder), { recursive: true })
      .map((name) => join(folder, name))
      .filter((path) => path.endsWith('.js') && isEntry(path)),
  )
  const joined = await rolldown({
    input: Object.fromEntries(entries.map((path) => [path.slice(0, -3), join(dist, path)])),
    platform: 'node',
    external: apart,
    logLevel: 'warn',
  })
  const { output } = await joined.write({
    dir: dist,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: `${chunks}/[name]-[hash].js`,
  })
  writeFileSync(join(dist, chunks, 'LICENCES'), licences(output).join('\n'))
}

const rolldown = await loadBundler()
if (rolldown === undefined) process.stdout.write('no rolldown: modules stay as they are\n')
else if (existsSync(join(dist, 'core/main.js'))) await bundle(rolldown)
