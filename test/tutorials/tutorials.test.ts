// The six programs that every newcomer to this protocol writes, and publisher confirms.

import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Clients } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import type { Program } from '../support/program.ts'
import { runProgram } from '../support/program.ts'
import { eventually } from '../support/wait.ts'

const QUEUES = ['hello', 'tasks', 'rpc']
const EXCHANGES = ['logs', 'direct-logs', 'topic-logs']

// The programs start some forty processes, so they run on one deployment only.
const profiles = PROFILES.filter((profile) => profile.name === '3 shards')

function tutorials(use: () => Clients): void {
  const running: Program[] = []

  async function forget(): Promise<void> {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    for (const queue of QUEUES) await channel.deleteQueue(queue)
    for (const exchange of EXCHANGES) await channel.deleteExchange(exchange)
    await connection.close()
  }

  beforeEach(forget)

  afterEach(async () => {
    for (const program of running.splice(0)) await program.stop()
    await forget()
  })

  function run(name: string, ...args: readonly string[]): Program {
    const file = fileURLToPath(new URL(`./javascript/${name}.js`, import.meta.url))
    return runProgram(process.execPath, [file, ...args], { AMQP_URL: use().url() })
  }

  /** Runs a program that goes on until it is stopped, and waits until it listens. */
  async function listen(name: string, ...args: readonly string[]): Promise<Program> {
    const program = run(name, ...args)
    running.push(program)
    await program.prints('waiting')
    return program
  }

  it('hello world: one sends, one receives', async () => {
    await run('hello-send').done()
    const receiver = await listen('hello-receive')
    await receiver.prints('received: Hello World!')
  })

  it('work queues: workers share the tasks, and a lost task is done by another', async () => {
    const crashing = run('work-worker')
    await crashing.prints('waiting')
    await run('work-new-task', 'crash').done()
    await expect(crashing.done()).rejects.toThrow('ended with 1')
    const worker = run('work-worker')
    await worker.prints('working: crash')
    await expect(worker.done()).rejects.toThrow('ended with 1')
    await forget()
    const workers = [await listen('work-worker'), await listen('work-worker')]
    const tasks = ['first..', 'second..', 'third..', 'fourth..']
    for (const task of tasks) await run('work-new-task', task).done()
    const done = (program: Program | undefined): string[] =>
      program?.lines().filter((line) => line.startsWith('done: ')) ?? []
    await eventually('all tasks', () => done(workers[0]).length + done(workers[1]).length === 4)
    expect([...done(workers[0]), ...done(workers[1])].sort()).toEqual(
      tasks.map((task) => `done: ${task}`).sort(),
    )
    for (const each of workers) expect(done(each).length).toBeGreaterThan(0)
  })

  it('publish/subscribe: everybody who listens gets everything', async () => {
    const listeners = [await listen('logs-receive'), await listen('logs-receive')]
    await run('logs-emit', 'to all').done()
    for (const each of listeners) await each.prints('received: to all')
  })

  it('routing: each gets the severities it asked for', async () => {
    const errors = await listen('routing-receive', 'error')
    const all = await listen('routing-receive', 'info', 'warning', 'error')
    await run('routing-emit', 'info', 'fine').done()
    await run('routing-emit', 'error', 'broken').done()
    await all.prints('received: error: broken')
    await errors.prints('received: error: broken')
    expect(all.lines()).toEqual(['waiting', 'received: info: fine', 'received: error: broken'])
    expect(errors.lines()).toEqual(['waiting', 'received: error: broken'])
  })

  it('topics: each gets the keys that match its patterns', async () => {
    const kernel = await listen('topics-receive', 'kern.*')
    const critical = await listen('topics-receive', '*.critical', 'cron.#')
    const everything = await listen('topics-receive', '#')
    await run('topics-emit', 'kern.info', 'a').done()
    await run('topics-emit', 'kern.critical', 'b').done()
    await run('topics-emit', 'cron.daily.late', 'c').done()
    await everything.prints('received: cron.daily.late: c')
    await critical.prints('received: cron.daily.late: c')
    expect(kernel.lines().slice(1)).toEqual([
      'received: kern.info: a',
      'received: kern.critical: b',
    ])
    expect(critical.lines().slice(1)).toEqual([
      'received: kern.critical: b',
      'received: cron.daily.late: c',
    ])
  })

  it('RPC: a question gets its answer', async () => {
    await listen('rpc-server')
    const answers = await Promise.all([
      run('rpc-client', '30').done(),
      run('rpc-client', '7').done(),
    ])
    expect(answers).toEqual([['answer: 832040'], ['answer: 13']])
  })

  it('publisher confirms: one by one, in batches and as they come', async () => {
    expect(await run('publisher-confirms').done()).toEqual([
      'oneByOne: 500 confirmed',
      'inBatches: 500 confirmed',
      'asTheyCome: 500 confirmed',
    ])
  })
}

describeBrokers('tutorials', tutorials, { profiles })
