// One doorbell per thread, rung by everybody who writes to one of its rings.
//   [0] count of rings   [1] 1 while the owner sleeps   [2] 1 when main has posted mail

const count = 0
const sleeping = 1
const mail = 2

/** Shared memory of one doorbell. */
export function createDoorbell(): SharedArrayBuffer {
  return new SharedArrayBuffer(16)
}

/** Wakes the thread that owns the bell, and lets it sleep without missing a ring. */
export class Doorbell {
  private readonly words: Int32Array

  constructor(memory: SharedArrayBuffer) {
    this.words = new Int32Array(memory)
  }

  /** Called after publishing to a ring of the owner. */
  ring(): void {
    Atomics.add(this.words, count, 1)
    if (Atomics.load(this.words, sleeping) === 1) Atomics.notify(this.words, count)
  }

  /** Called by main after posting a message to the owner's mail port. */
  ringMail(): void {
    Atomics.store(this.words, mail, 1)
    this.ring()
  }

  /** True once per mail. */
  takeMail(): boolean {
    return Atomics.load(this.words, mail) === 1 && Atomics.exchange(this.words, mail, 0) === 1
  }

  /** What to pass to `sleep`; read it before looking into the rings. */
  seen(): number {
    return Atomics.load(this.words, count)
  }

  /** Blocks the thread until a ring after `seen`, at most `timeoutMs`. */
  sleep(seen: number, timeoutMs: number): void {
    Atomics.store(this.words, sleeping, 1)
    Atomics.wait(this.words, count, seen, timeoutMs)
    Atomics.store(this.words, sleeping, 0)
  }

  /** As `sleep`, for a thread with an event loop: true when there was a ring already. */
  sleepAsync(seen: number, onRing: () => void): boolean {
    Atomics.store(this.words, sleeping, 1)
    const outcome = Atomics.waitAsync(this.words, count, seen)
    if (!outcome.async) {
      Atomics.store(this.words, sleeping, 0)
      return true
    }
    void outcome.value.then(() => {
      Atomics.store(this.words, sleeping, 0)
      onRing()
    })
    return false
  }
}
