import { fileURLToPath } from 'node:url'
import type { ViteUserConfig } from 'vitest/config'

// The top level of the repository is fixed, so the configuration lives beside the tests.
const config: ViteUserConfig = {
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/broker-pool.ts'],
    // Brokers and clients of a conformance test share the machine with the other test files.
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Most of the slow files wait for a broker's timers: three at a time even on two cores.
    maxWorkers: 3,
    reporters: ['default'],
  },
}

export default config
