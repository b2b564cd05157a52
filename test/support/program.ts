// Example programs run as users run them, judged by what they print.

import { spawn } from 'node:child_process'
import { eventually, within } from './wait.ts'

export interface Program {
  /** Complete lines that it has printed so far. */
  lines(): string[]
  /** Waits until it has printed this line. */
  prints(line: string): Promise<void>
  /** Waits until it has ended; fails when it did so with an error. */
  done(): Promise<string[]>
  stop(): Promise<void>
}

export function runProgram(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Program {
  const child = spawn(command, [...args], { env: { ...process.env, ...env } })
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('utf8')
  })
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString('utf8')
  })
  const closed = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code))
  })
  const title = args.join(' ')
  const lines = (): string[] => output.split('\n').slice(0, -1)
  return {
    lines,
    prints: async (line) => {
      await eventually(`${title} prints "${line}" (so far: ${output}${errors})`, () =>
        lines().includes(line),
      )
    },
    done: async () => {
      const code = await within(title, closed)
      if (code !== 0) throw new Error(`${title} ended with ${code}: ${errors}`)
      return lines()
    },
    stop: async () => {
      child.kill('SIGTERM')
      await within(`${title} stops`, closed)
    },
  }
}
