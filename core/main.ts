#!/usr/bin/env node
// The `warren` command. It stays tiny, so that an old Node gets a clear answer before newer syntax
// is loaded, and so that `start` loads nothing it does not need.

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`warren: needs Node.js 20.19 or newer, this is ${process.versions.node}\n`)
  process.exitCode = 1
} else {
  const { runCli } = await import('./cli/cli.ts')
  await runCli(process.argv.slice(2))
}
