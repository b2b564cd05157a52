// Brokers of one test that follow each other on one data directory.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import type { Broker, StartOptions } from './broker.ts'
import { startWarren } from './broker.ts'

export class KeptData {
  /** The directory; '' before the first start of a test. */
  path: string
  private readonly running: Broker[]

  constructor() {
    this.path = ''
    this.running = []
  }

  async start(options: Omit<StartOptions, 'dataDir'> = {}): Promise<Broker> {
    if (this.path === '') this.path = mkdtempSync(join(tmpdir(), 'warren-kept-'))
    const broker = await startWarren({ ...options, dataDir: this.path })
    this.running.push(broker)
    return broker
  }

  /** kill -9 of those that still run, and the directory goes. */
  async end(): Promise<void> {
    for (const broker of this.running.splice(0)) await killed(broker)
    if (this.path !== '') rmSync(this.path, { recursive: true, force: true })
    this.path = ''
  }
}

/** Data that is removed after each test of the file, with the brokers that use it. */
export function keptData(): KeptData {
  const data = new KeptData()
  afterEach(() => data.end())
  return data
}

/** kill -9. */
export async function killed(broker: Broker): Promise<void> {
  broker.process?.kill('SIGKILL')
  await broker.process?.exited
}
