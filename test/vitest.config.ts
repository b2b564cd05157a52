import { fileURLToPath } from 'node:url'
import type { ViteUserConfig } from 'vitest/config'

const measured = ['test/bench/micro/**/*.test.ts']

// The top level of the repository is fixed, so the configuration lives beside the tests.
const config: ViteUserConfig = {
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    // These end what hangs: brokers and clients share the machine with other tests, and more.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Many files wait for a broker's timers: four at a time even on two cores.
    maxWorkers: 4,
    reporters: ['default'],
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['test/**/*.test.ts'],
          exclude: measured,
          globalSetup: ['test/support/broker-pool.ts'],
          // A process for each file costs 0.3 s of CPU, and no file changes anything of the process.
          isolate: false,
        },
      },
      // What code allocates depends on what the process has run before.
      { extends: true, test: { name: 'measured', include: measured } },
    ],
  },
}

export default config
