// What the linter cannot say about the house: who may import whom, and that nothing is left lying
// about. A finding names its file, so the message is the work order.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { describe, expect, test } from 'vitest'
import { insertDocs } from '../core/config/render-docs.ts'
import { warrenVersion } from '../shared/version.ts'
import type { Import, SourceFile } from './support/source-tree.ts'
import { filesBelow, root, sourcesBelow } from './support/source-tree.ts'

const product = [...sourcesBelow('core'), ...sourcesBelow('gateways'), ...sourcesBelow('shared')]
const everything = [...product, ...sourcesBelow('bench'), ...sourcesBelow('test')]
const byPath = new Map(everything.map((file) => [file.path, file]))

/** What every folder may use of Node; `host`, `shard` and the rest of core are not restricted. */
const pureBuiltins = ['node:buffer', 'node:assert', 'node:crypto']
const pureFolders = ['routing', 'queue', 'stream', 'time', 'delay', 'dedup', 'confirm', 'topology']

/** Entries of threads and processes: reached by URL or by name, not by import. */
const entries = ['core/main.ts', 'core/shard/worker.ts', 'gateways/worker.ts', 'bench/main.ts']

/** What sessions may use of the host beside its types. */
const hostForSessions = ['gateways/host/protocol.ts', 'gateways/host/entry-output.ts']

const generated = /^\/\/ GENERATED/

function textOf(path: string): string {
  return readFileSync(`${root}${path}`, 'utf8')
}

/** `core/queue/x.ts` -> `['core', 'queue']`. */
function foldersOf(path: string): string[] {
  return posix.dirname(path).split('/')
}

/** Why `from` may not have this import; undefined when it may. */
function fenceBroken(
  from: string,
  { specifier, file, typeOnly, byUrl }: Import,
): string | undefined {
  // The process is composed by URL, which is how core starts gateways without knowing them.
  if (byUrl) return undefined
  const [side = '', folder = ''] = foldersOf(from)
  if (file === undefined) return builtinBroken(side, folder, specifier)
  const [otherSide = '', otherFolder = ''] = foldersOf(file)
  if (otherSide === 'shared') return undefined
  if (side !== otherSide) return `${side}/ may not import ${otherSide}/`
  if (side === 'core') {
    const outer = ['shard', 'supervisor', 'config', 'cli', 'store', undefined]
    const broken = pureFolders.includes(folder) && outer.includes(otherFolder)
    return broken ? `core/${folder}/ is pure and may not import core/${otherFolder}/` : undefined
  }
  if (side !== 'gateways' || folder === '' || folder === otherFolder) {
    return side === 'gateways' && folder !== '' ? layerBroken(from, file) : undefined
  }
  if (otherFolder === 'host')
    return typeOnly || hostForSessions.includes(file)
      ? undefined
      : `gateways/${folder}/ may import types only from gateways/host/`
  return `gateways/${folder}/ may not import gateways/${otherFolder}/`
}

function builtinBroken(side: string, folder: string, specifier: string): string | undefined {
  const pure = side === 'shared' || (side === 'core' && pureFolders.includes(folder))
  if (!pure || !specifier.startsWith('node:') || pureBuiltins.includes(specifier)) return undefined
  if (side === 'shared' && folder === 'bus' && specifier === 'node:worker_threads') return undefined
  return `${side}/${folder} may not use ${specifier}`
}

/** Inside a gateway: codec <- mapping <- session <- index. */
function layerBroken(from: string, to: string): string | undefined {
  const layers = ['codec', 'mapping', 'session']
  const own = layers.indexOf(foldersOf(from)[2] ?? '')
  const other = layers.indexOf(foldersOf(to)[2] ?? '')
  return own >= 0 && (other < 0 || other > own) ? `${layers[own]} may not import ${to}` : undefined
}

describe('imports', () => {
  test('stay inside the fences between core, gateways and shared, types included', () => {
    const broken = product.flatMap(({ path, imports }) =>
      imports.flatMap((each) => {
        const reason = fenceBroken(path, each)
        return reason === undefined ? [] : [`${path}: ${each.specifier}: ${reason}`]
      }),
    )
    expect(broken).toEqual([])
  })

  test('the scan sees every way to import, and the fences hold them', () => {
    const fake = (path: string, specifier: string, typeOnly = false): string | undefined => {
      const file = specifier.startsWith('.')
        ? posix.join(posix.dirname(path), specifier)
        : undefined
      return fenceBroken(path, { specifier, file, typeOnly, byUrl: false })
    }
    expect(fake('gateways/amqp091/session/x.ts', '../../../core/queue/y.ts', true)).toBeDefined()
    expect(fake('core/shard/x.ts', '../../gateways/host/y.ts', true)).toBeDefined()
    expect(fake('shared/ids.ts', '../core/queue/y.ts', true)).toBeDefined()
    expect(fake('shared/ids.ts', 'node:fs')).toBeDefined()
    expect(fake('shared/bus/x.ts', 'node:worker_threads')).toBeUndefined()
    expect(fake('core/queue/x.ts', '../shard/y.ts')).toBeDefined()
    expect(fake('core/queue/x.ts', 'node:fs')).toBeDefined()
    expect(fake('gateways/amqp091/codec/x.ts', '../session/y.ts')).toBeDefined()
    expect(fake('gateways/amqp091/session/x.ts', '../../mqtt/index.ts')).toBeDefined()
    expect(fake('gateways/amqp091/session/x.ts', '../codec/y.ts')).toBeUndefined()
    const cli = byPath.get('core/cli/cli.ts')
    expect(cli?.imports.map(({ specifier }) => specifier)).toContain('../supervisor/node.ts')
    const node = byPath.get('core/supervisor/node.ts')
    const byUrl = node?.imports.filter((each) => each.byUrl).map(({ file }) => file)
    expect(byUrl).toContain('core/shard/worker.ts')
    expect(byUrl).toContain('gateways/worker.ts')
  })

  test('name files that are there', () => {
    const missing = everything.flatMap(({ path, imports }) =>
      imports
        .filter(({ file }) => file?.endsWith('.ts') === true && !existsSync(`${root}${file}`))
        .map(({ specifier }) => `${path}: ${specifier}`),
    )
    expect(missing).toEqual([])
  })

  test('have no cycles', () => {
    expect(cycles(everything)).toEqual([])
  })

  test('of packages are the run-time dependencies, each used', () => {
    const { dependencies } = JSON.parse(textOf('package.json')) as { dependencies: object }
    const used = product.flatMap(({ imports }) =>
      imports
        .filter(({ specifier, file }) => file === undefined && !specifier.startsWith('node:'))
        .map(({ specifier }) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0]),
    )
    expect([...new Set(used)].sort()).toEqual(Object.keys(dependencies).sort())
  })
})

function cycles(files: readonly SourceFile[]): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) found.push([...trail.slice(at), path].join(' -> '))
    if (at >= 0 || done.has(path)) return
    for (const { file, typeOnly, byUrl } of byPath.get(path)?.imports ?? [])
      if (file !== undefined && !typeOnly && !byUrl) visit(file, [...trail, path])
    done.add(path)
  }
  for (const { path } of files) visit(path, [])
  return found
}

describe('files', () => {
  test('keep to their size: source 700 lines, test 900, README 120', () => {
    const large = everything
      .filter(({ path, lines }) => {
        const limit = path.startsWith('test/') ? 900 : 700
        return lines.length > limit && !generated.test(lines[0] ?? '')
      })
      .map(({ path, lines }) => `${path}: ${lines.length}`)
    for (const folder of ['core', 'gateways', 'shared'])
      for (const path of filesBelow(folder, 'README.md'))
        if (textOf(path).split('\n').length > 121) large.push(path)
    expect(large).toEqual([])
  })

  test('are reached from an entry of the program', () => {
    const reached = new Set<string>()
    const visit = (path: string): void => {
      if (reached.has(path)) return
      reached.add(path)
      for (const { file } of byPath.get(path)?.imports ?? []) if (file !== undefined) visit(file)
    }
    for (const entry of entries) visit(entry)
    const dead = product.map(({ path }) => path).filter((path) => !reached.has(path))
    expect(dead).toEqual([])
  })

  test('have names that say what they are', () => {
    const empty = /^(utils?|helpers?|managers?|misc|common|data|info)$/
    const vague = everything
      .map(({ path }) => path)
      .filter((path) =>
        posix
          .basename(path, '.ts')
          .split(/[-.]/)
          .some((word) => empty.test(word)),
      )
    expect(vague).toEqual([])
  })

  test('open with their purpose', () => {
    const silent = product.filter(({ text }) => !/^(\/\/ |\/\*\*|#!)/.test(text))
    expect(silent.map(({ path }) => path)).toEqual([])
  })

  test('hold no leftover notes to ourselves', () => {
    const note = new RegExp(`\\b(${['FIX', 'TO', 'X', 'HA'].join('|')})(?:ME|DO|XX|CK)\\b`)
    const left = everything.flatMap(({ path, lines }) =>
      lines.flatMap((line, index) => (note.test(line) ? [`${path}:${index + 1}: ${line}`] : [])),
    )
    expect(left).toEqual([])
  })

  test('of the pure folders use no chance and no clock', () => {
    const impure = /\b(Math\.random|Date\.now|new Date|performance\.now|process\.hrtime)\b/
    const found = product.filter(
      ({ path, text }) => pureFolders.includes(foldersOf(path)[1] ?? '') && impure.test(text),
    )
    expect(found.map(({ path }) => path)).toEqual([])
  })

  test('at the top level are the ones agreed upon', () => {
    const fixed = ['bench', 'core', 'gateways', 'shared', 'test', 'README.md', 'tsconfig.json']
    const npm = ['package.json', 'package-lock.json', 'node_modules', 'dist']
    // What git ignores; a broker that was started here leaves its data.
    const ignored = /^warren-data$|\.(log|cpuprofile)$/
    const extra = readdirSync(root).filter(
      (name) =>
        !name.startsWith('.') &&
        !fixed.includes(name) &&
        !npm.includes(name) &&
        !ignored.test(name),
    )
    expect(extra).toEqual([])
  })
})

describe('documents', () => {
  test('README.md has the current table of settings (`npm run docs` writes it)', () => {
    const text = textOf('README.md')
    expect(text).toBe(insertDocs(text))
  })

  test.each(['core', 'gateways', 'shared'])('%s/README.md names files that are there', (folder) => {
    const text = textOf(`${folder}/README.md`)
    const named = [...text.matchAll(/`([\w.-]+(?:\/[\w.-]+)*(?:\.ts|\/))`/g)].map(
      ([, path]) => path,
    )
    expect(named.length).toBeGreaterThan(0)
    const missing = named.filter(
      (path) => !existsSync(`${root}${folder}/${path}`) && !existsSync(`${root}${path}`),
    )
    expect(missing).toEqual([])
  })
})

describe('packages', () => {
  interface LockedPackage {
    readonly resolved?: string
    readonly optionalDependencies?: Readonly<Record<string, string>>
  }

  const manifest = JSON.parse(textOf('package.json')) as { version: string; license: string }
  const { packages } = JSON.parse(textOf('package-lock.json')) as {
    packages: Readonly<Record<string, LockedPackage>>
  }

  test('the version in the code is the one of package.json', () => {
    expect(warrenVersion).toBe(manifest.version)
  })

  test('the lock file names no registry but the public one', () => {
    const foreign = Object.values(packages).filter(
      ({ resolved }) => resolved?.startsWith('https://registry.npmjs.org/') === false,
    )
    expect(foreign).toEqual([])
  })

  // npm leaves out what the registry it was written against lacks; `npm ci` then refuses the file.
  test('the lock file has every optional package of every platform', () => {
    const missing = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies).filter((name) => !(`node_modules/${name}` in packages)),
    )
    expect(missing).toEqual([])
  })
})
