import { expect, test } from 'vitest'
import { loadConfig } from '../../../core/config/load.ts'
import { formatPlain } from '../../../core/supervisor/console-log.ts'
import { unmetRequirements } from '../../../core/supervisor/requirements.ts'

test('a certificate that is not there is told with its key and path', () => {
  const set = [
    'listeners.ssl.default=5671',
    'ssl_options.certfile=/nowhere/cert.pem',
    'ssl_options.keyfile=/nowhere/key.pem',
  ]
  expect(unmetRequirements(loadConfig({ env: {}, set }).config, '20.19.0')).toEqual([
    'ssl_options.certfile: /nowhere/cert.pem: no such file',
    'ssl_options.keyfile: /nowhere/key.pem: no such file',
  ])
})

test('several gateway threads on one port need a newer Node', () => {
  const { config } = loadConfig({ env: {}, set: ['gateways.amqp.workers=2'] })
  expect(unmetRequirements(config, '22.11.0')).toHaveLength(1)
  expect(unmetRequirements(config, '22.12.0')).toEqual([])
  expect(unmetRequirements(config, '24.1.0')).toEqual([])
})

test('plain log lines show time, level, message and fields', () => {
  const line = '{"level":"warn","time":"2026-01-02T03:04:05.006Z","a":"x y","n":5,"msg":"it is so"}'
  expect(formatPlain(line)).toBe('2026-01-02 03:04:05.006 [warn] it is so a="x y" n=5\n')
})
