// One worker thread as the supervisor sees it: mail in, reports out, and why it ended.

import type { MessagePort } from 'node:worker_threads'
import { Worker } from 'node:worker_threads'
import type { ThreadReport } from '../../shared/bus/mail.ts'

/** What the supervisor hears from a thread. */
export interface ThreadEvents {
  onReport(report: ThreadReport): void
  /** Called once. `cause` is a stack or a sentence; undefined when the thread ended with code 0. */
  onEnd(cause: string | undefined): void
}

/** A running thread. */
export interface Thread {
  post(mail: unknown): void
  /** Ends it without asking. */
  terminate(): void
}

/** Starts the thread whose entry is at `url`; `ports` are those inside of `workerData`. */
export function startThread(
  url: URL,
  name: string,
  workerData: unknown,
  events: ThreadEvents,
  ports: readonly MessagePort[] = [],
): Thread {
  const worker = new Worker(url, { name, workerData, transferList: [...ports] })
  let ended = false
  const end = (cause: string | undefined): void => {
    if (ended) return
    ended = true
    events.onEnd(cause)
  }
  worker.on('message', (report: ThreadReport) => events.onReport(report))
  worker.on('messageerror', (error) => end(describeError(error)))
  worker.on('error', (error) => end(describeError(error)))
  worker.on('exit', (code) => end(code === 0 ? undefined : `exited with code ${code}`))
  return {
    post: (mail) => worker.postMessage(mail),
    terminate: () => void worker.terminate(),
  }
}

function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
