// The example page in a real browser: two tabs chat, the chart moves, and a broker that was started
// again has them back. Needs a Chromium; WARREN_TEST_CHROMIUM names one that is elsewhere.

import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { freePort, startWarren } from '../support/broker.ts'
import { eventually } from '../support/wait.ts'
import { serveExamples } from './serve.js'

const executablePath = [
  process.env['WARREN_TEST_CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path !== '' && existsSync(path))

describe.skipIf(executablePath === undefined)('the example page', () => {
  let broker: Broker
  let browser: Browser
  let examples: Awaited<ReturnType<typeof serveExamples>>
  let dataDir: string
  let settings: string[]

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'warren-examples-'))
    const [webPort, amqpPort] = [await freePort(), await freePort()]
    settings = [
      'shards=1',
      `web_stomp.tcp.local=127.0.0.1:${webPort}`,
      `listeners.tcp.again=127.0.0.1:${amqpPort}`,
    ]
    broker = await startWarren({ settings, dataDir })
    const amqpUrl = `amqp://guest:guest@127.0.0.1:${amqpPort}`
    examples = await serveExamples({ port: 0, amqpUrl })
    browser = await chromium.launch({
      executablePath: executablePath ?? '',
      args: ['--no-sandbox', '--disable-dev-shm-usage'],
    })
  }, 60_000)

  afterAll(async () => {
    await browser?.close()
    await examples?.close()
    await broker?.stop()
    await rm(dataDir, { recursive: true, force: true })
  })

  async function open(name: string): Promise<Page> {
    const page = await browser.newPage()
    const url = `ws://127.0.0.1:${broker.portOf('http/web-stomp')}/ws`
    const at = `http://127.0.0.1:${examples.port}/examples/`
    await page.goto(`${at}?name=${name}&broker=${encodeURIComponent(url)}`)
    await connected(page)
    return page
  }

  function connected(page: Page): Promise<unknown> {
    return page.waitForSelector('#state[data-state="connected"]')
  }

  async function say(page: Page, text: string): Promise<void> {
    await page.fill('#text', text)
    await page.press('#text', 'Enter')
  }

  async function sees(page: Page, text: string): Promise<void> {
    await eventually(`the page shows '${text}'`, async () =>
      (await page.locator('#messages li').allTextContents()).includes(text),
    )
  }

  async function points(page: Page): Promise<number> {
    return Number(await page.getAttribute('#chart', 'data-count'))
  }

  it('lets two tabs chat, moves its chart, and comes back after a restart of the broker', async () => {
    const [one, two] = [await open('Ann'), await open('Bo')]
    await say(one, 'hello')
    await sees(one, 'Ann: hello')
    await sees(two, 'Ann: hello')
    await say(two, '<b>not markup</b>')
    await sees(one, 'Bo: <b>not markup</b>')
    await eventually('the chart moves', async () => (await points(two)) > 3)
    const line = await two.getAttribute('#line', 'points')
    expect(line?.split(' ').length).toBeGreaterThan(3)
    await broker.stop()
    await eventually('the page says so', async () =>
      (await one.textContent('#state'))?.includes('connecting'),
    )
    broker = await startWarren({ settings, dataDir })
    await connected(one)
    await connected(two)
    const before = await points(one)
    await say(two, 'back again')
    await sees(one, 'Bo: back again')
    await eventually('the chart moves on', async () => (await points(one)) > before + 2)
  }, 60_000)
})
