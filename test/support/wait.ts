// Waiting on conditions, so that no test has to guess how long something takes.

const PAUSE_MS = 5
/** A bound for what hangs, not for what is slow: other tests and programs may take most of the machine. */
export const PATIENCE_MS = 30_000

/** Waits until `condition` returns something true and returns it; fails after `timeoutMs`. */
export async function eventually<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs: number = PATIENCE_MS,
): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() >= deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await pause(PAUSE_MS)
  }
}

/** Fails when `promise` has not settled after `timeoutMs`. */
export function within<T>(
  what: string,
  promise: Promise<T>,
  timeoutMs: number = PATIENCE_MS,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const expire = (): void => reject(new Error(`not within ${timeoutMs} ms: ${what}`))
    const timer = setTimeout(expire, timeoutMs)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** For things that must not happen: gives them this long to happen. */
export function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs)
  })
}
