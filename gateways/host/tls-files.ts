// Certificate files, read again when they have changed, so that a renewal needs no restart.

import { readFileSync, statSync } from 'node:fs'
import type { SecureContextOptions } from 'node:tls'
import type { TlsPlan } from './listener-plan.ts'

// A stat per file and second is the most that a storm of connections costs.
const checkMs = 1000

/** The files of one listener. */
export class TlsFiles {
  private readonly plan: TlsPlan
  private stamp: string
  private checkedAt: number

  constructor(plan: TlsPlan) {
    this.plan = plan
    this.stamp = ''
    this.checkedAt = Number.NEGATIVE_INFINITY
  }

  /** What the files hold now. Throws when one is missing. */
  read(): SecureContextOptions {
    const { plan } = this
    this.stamp = this.stampNow()
    return {
      cert: readFileSync(plan.certFile),
      key: readFileSync(plan.keyFile),
      ...(plan.caFile === '' ? {} : { ca: readFileSync(plan.caFile) }),
      ...(plan.passphrase === '' ? {} : { passphrase: plan.passphrase }),
      minVersion: plan.minVersion,
      maxVersion: plan.maxVersion,
    }
  }

  /** The new contents if the files have changed since the last read; looks at most once a second. */
  readIfChanged(now: number): SecureContextOptions | undefined {
    if (now - this.checkedAt < checkMs) return undefined
    this.checkedAt = now
    return this.stampNow() === this.stamp ? undefined : this.read()
  }

  private stampNow(): string {
    const { certFile, keyFile, caFile } = this.plan
    return [certFile, keyFile, caFile]
      .filter((file) => file !== '')
      .map((file) => {
        const { mtimeMs, size, ino } = statSync(file)
        return `${mtimeMs}/${size}/${ino}`
      })
      .join(' ')
  }
}
