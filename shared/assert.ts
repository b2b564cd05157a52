// Programmer errors end the thread: going on with broken state could lose a confirmed message.

/** Thrown for a broken invariant of our own; never for a peer's mistake. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure'
}

/** Ends the calling thread (by a throw that nobody catches) unless `condition` holds. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFailure(what)
}

/** Closes an exhaustive `switch`. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable: ${String(value)}`)
}
