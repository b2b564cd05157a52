// Last step of `npm run build`: joins the modules in dist/ that a thread loads into one file per thread,
// in CommonJS. Node takes a millisecond or so of a core to find, read and link an ES module, and a node
// loads some 250 of them over its threads. Beside each file lies what V8 made of it, for the version of
// V8 that builds; any other compiles it anew. Without rolldown (which vitest brings along) dist/ stays
// as it is, which works as well.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
/** What `core/main.js` loads, and what is started as a thread or a process of its own. */
const cli = 'core/cli/cli'
const entries = [
  cli,
  'core/shard/worker',
  'core/store/log-worker',
  'core/store/metadata-worker',
  'core/store/stream-reader-worker',
  'core/supervisor/bridge-worker',
  'gateways/process',
  'gateways/worker',
]
/** Packages with native parts or files of their own, and what only some nodes load. */
const apart = ['lmdb', 'ws']

async function loadBundler() {
  try {
    return (await import('rolldown')).rolldown
  } catch {
    return undefined
  }
}

/** The licences of the packages that the modules `ids` belong to. */
function licences(ids) {
  const folders = new Set(
    ids.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []),
  )
  return [...folders].sort().map((folder) => {
    const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name))
    const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8')
    return `${basename(folder)}\n\n${text}\n`
  })
}

/** A module that looks for other files by its own path still finds them, and their joined forms. */
const keepPlaces = {
  name: 'keep-places',
  transform: (code, id) =>
    code.includes('import.meta.url')
      ? code.replaceAll(
          'import.meta.url',
          `placeOf(${JSON.stringify(relative(dist, id).replace(/\.js$/, '.cjs'))})`,
        )
      : undefined,
}

/**
 * The protocols of a gateway are imported when they are needed, which in one file only costs: each
 * module, and all that it imports, becomes a function with its constants as variables.
 */
const importAtOnce = {
  name: 'import-at-once',
  transform: (code, id) => {
    if (id !== join(dist, 'gateways/services.js')) return undefined
    const imports = []
    const body = code.replaceAll(/\bimport\(('[^']+')\)/g, (_, path) => {
      imports.push(`import * as at${imports.length} from ${path}\n`)
      return `Promise.resolve(at${imports.length - 1})`
    })
    return imports.join('') + body
  },
}

/** What is started: runs the joined file `name`, which lies beside it. */
const starter = (name) => `const { readFileSync } = require('node:fs')
const { Script } = require('node:vm')
const path = \`\${__dirname}/${name}.code.cjs\`
const run = (script) => script.runInThisContext()(exports, require, module, __filename, __dirname)
let cachedData
try {
  cachedData = readFileSync(\`\${__dirname}/${name}.\${process.versions.v8}.cache\`)
} catch {
  // Built with another version.
}
run(new Script(readFileSync(path, 'utf8'), { filename: path, cachedData }))
`

/** Joins what `entry` loads; returns the paths of the modules. */
async function joinModules(rolldown, entry) {
  const joined = await rolldown({
    input: join(dist, `${entry}.js`),
    platform: 'node',
    external: apart,
    logLevel: 'warn',
    plugins: [keepPlaces, importAtOnce],
  })
  const up = relative(dirname(entry), '.')
  const { output } = await joined.generate({
    format: 'cjs',
    codeSplitting: false,
    intro: `const placeOf = (path) => require('node:url').pathToFileURL(require('node:path').join(__dirname, '${up}', path)).href`,
  })
  const [{ code, moduleIds }] = output
  const path = join(dist, `${entry}.code.cjs`)
  const source = `(function (exports, require, module, __filename, __dirname) {${code}\n})`
  const cache = new Script(source, { filename: path }).createCachedData()
  writeFileSync(path, source)
  writeFileSync(join(dist, `${entry}.${process.versions.v8}.cache`), cache)
  writeFileSync(join(dist, `${entry}.cjs`), starter(basename(entry)))
  return moduleIds
}

async function bundle(rolldown) {
  const modules = await Promise.all(entries.map((entry) => joinModules(rolldown, entry)))
  writeFileSync(join(dist, 'core/LICENCES'), licences(modules.flat()).join('\n'))
  writeFileSync(
    join(dist, `${cli}.js`),
    "import { createRequire } from 'node:module'\n" +
      "export const { runCli } = createRequire(import.meta.url)('./cli.cjs')\n",
  )
}

const rolldown = await loadBundler()
if (rolldown === undefined) process.stdout.write('no rolldown: modules stay as they are\n')
else if (existsSync(join(dist, 'core/main.js'))) await bundle(rolldown)
