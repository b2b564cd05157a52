// Password hashes as RabbitMQ stores them, so that definitions can be exchanged:
// base64(4 bytes of salt, then hash of salt and password).

import { Buffer } from 'node:buffer'
import { createHash, timingSafeEqual } from 'node:crypto'

const SALT_BYTES = 4

// By RabbitMQ's name; md5 only for users imported from old definitions.
const algorithms: Readonly<Record<string, string>> = {
  rabbit_password_hashing_sha256: 'sha256',
  rabbit_password_hashing_sha512: 'sha512',
  rabbit_password_hashing_md5: 'md5',
}

/** Whether there is a hashing algorithm of that name. */
export function isHashingAlgorithm(name: string): boolean {
  return Object.hasOwn(algorithms, name)
}

/** The hash to store for a password. */
export function hashPassword(
  password: string,
  algorithm: string,
  randomBytes: (size: number) => Uint8Array,
): string {
  const salt = randomBytes(SALT_BYTES)
  return Buffer.concat([salt, digest(salt, password, algorithm)]).toString('base64')
}

/** Whether a password is the one behind a stored hash. Blank passwords and blank hashes never are. */
export function verifyPassword(password: string, hash: string, algorithm: string): boolean {
  if (password === '' || hash === '' || !isHashingAlgorithm(algorithm)) return false
  const stored = Buffer.from(hash, 'base64')
  const expected = stored.subarray(SALT_BYTES)
  const actual = digest(stored.subarray(0, SALT_BYTES), password, algorithm)
  return expected.length === actual.length && timingSafeEqual(expected, actual)
}

function digest(salt: Uint8Array, password: string, algorithm: string): Buffer {
  const hash = createHash(algorithms[algorithm] ?? 'sha256')
  return hash.update(salt).update(password, 'utf8').digest()
}
