import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigSources, LoadedConfig } from '../../../core/config/load.ts'
import { loadConfig } from '../../../core/config/load.ts'
import { ConfigError } from '../../../core/config/resolution.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'warren-config-'))
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

function load(text: string | undefined, rest: Partial<ConfigSources> = {}): LoadedConfig {
  const file = text === undefined ? undefined : join(folder, 'warren.conf')
  if (file !== undefined) writeFileSync(file, text ?? '')
  return loadConfig({ file, env: {}, set: [], ...rest })
}

function problemsOf(text: string | undefined, rest: Partial<ConfigSources> = {}): string[] {
  try {
    load(text, rest)
  } catch (error) {
    if (error instanceof ConfigError)
      return error.problems.map((problem) => problem.replace(`${folder}/`, ''))
    throw error
  }
  return []
}

describe('precedence', () => {
  test('without any source every setting has its default', () => {
    const { config, file, warnings } = load(undefined)
    expect(file).toBeUndefined()
    expect(warnings).toEqual([])
    expect(config.heartbeat).toBe(60)
    expect(config.frame_max).toBe(131072)
    expect(config.max_connections).toBe(Number.POSITIVE_INFINITY)
    expect(config['listeners.tcp']).toEqual([{ name: 'default', host: '', port: 5672 }])
    expect(config['listeners.ssl']).toEqual([])
    expect(config.auth_mechanisms).toEqual(['PLAIN', 'AMQPLAIN', 'ANONYMOUS'])
    expect(config.loopback_users).toEqual(['guest'])
    expect(config.default_users).toEqual([])
    expect(config.shards).toBeGreaterThanOrEqual(1)
    expect(config.cluster_name).toMatch(/^warren@./)
  })

  test('the file beats defaults, the environment the file, and flags beat all', () => {
    const text = 'heartbeat = 1\nchannel_max = 1\nshards = 1'
    const env = { WARREN_CHANNEL_MAX: '2', WARREN_SHARDS: '2' }
    const { config, lines } = load(text, { env, set: ['shards=3'] })
    expect([config.heartbeat, config.channel_max, config.shards]).toEqual([1, 2, 3])
    const origins = new Map(lines.map(({ key, origin }) => [key, origin]))
    expect(origins.get('heartbeat')).toBe(`${folder}/warren.conf:1`)
    expect(origins.get('channel_max')).toBe('environment WARREN_CHANNEL_MAX')
    expect(origins.get('shards')).toBe('--set shards')
    expect(origins.get('frame_max')).toBe('default')
  })

  test('the last of several lines for one key wins', () => {
    expect(load('heartbeat = 1\nheartbeat = 2').config.heartbeat).toBe(2)
  })

  test('--data-dir is the setting data_dir', () => {
    expect(load(undefined, { dataDir: '/somewhere' }).config.data_dir).toBe('/somewhere')
  })

  test('the values are plain data that a thread can be sent', () => {
    const { config } = load(undefined)
    expect(structuredClone(config)).toEqual(config)
  })
})

describe('environment', () => {
  test("RabbitMQ's variables are read, and WARREN_ ones win over them", () => {
    const env = {
      RABBITMQ_DEFAULT_USER: 'anna',
      RABBITMQ_DEFAULT_PASS: 'secret',
      RABBITMQ_DEFAULT_VHOST: 'shop',
      RABBITMQ_NODE_PORT: '5673',
      WARREN_DEFAULT_PASS: 'better',
    }
    const { config } = load(undefined, { env })
    expect(config.default_user).toBe('anna')
    expect(config.default_pass).toBe('better')
    expect(config.default_vhost).toBe('shop')
    expect(config['listeners.tcp']).toEqual([{ name: 'default', host: '', port: 5673 }])
  })

  test('settings with members are set by variables too, names in lower case', () => {
    const env = {
      WARREN_LISTENERS_TCP_LOCAL: '127.0.0.1:5680',
      WARREN_AUTH_MECHANISMS_1: 'PLAIN',
      WARREN_LOOPBACK_USERS_GUEST: 'false',
      WARREN_DEFAULT_USERS_SHOP_APP_VHOST_PATTERN: '^shop$',
    }
    const { config } = load(undefined, { env })
    expect(config['listeners.tcp']).toEqual([{ name: 'local', host: '127.0.0.1', port: 5680 }])
    expect(config.auth_mechanisms).toEqual(['PLAIN'])
    expect(config.loopback_users).toEqual([])
    expect(config.default_users).toMatchObject([{ id: 'shop_app', vhost_pattern: '^shop$' }])
  })

  test('an empty variable counts as not set', () => {
    expect(load(undefined, { env: { RABBITMQ_DEFAULT_USER: '' } }).config.default_user).toBe(
      'guest',
    )
  })

  test('an unknown WARREN_ variable is a warning, and what Kubernetes adds is not even that', () => {
    const env = { WARREN_HEARTBAET: '5', WARREN_PORT_5672_TCP: 'tcp://1.2.3.4:5672' }
    expect(load(undefined, { env }).warnings).toEqual([
      'environment WARREN_HEARTBAET: no such setting, ignored',
    ])
  })

  test('the file may be named by a variable, for RabbitMQ without its ending', () => {
    writeFileSync(join(folder, 'named.conf'), 'heartbeat = 7')
    const named = { WARREN_CONFIG_FILE: join(folder, 'named.conf') }
    const short = { RABBITMQ_CONFIG_FILE: join(folder, 'named') }
    expect(load(undefined, { env: named }).config.heartbeat).toBe(7)
    expect(load(undefined, { env: short }).config.heartbeat).toBe(7)
  })
})

describe('settings with members', () => {
  test('listeners take a port, or an address and a port, and replace the default', () => {
    const text = `
      listeners.tcp.local = 127.0.0.1:5680
      listeners.tcp.six = ::1:5681
      listeners.tcp.brackets = [::1]:5682
      listeners.tcp.any = 0`
    expect(load(text).config['listeners.tcp']).toEqual([
      { name: 'local', host: '127.0.0.1', port: 5680 },
      { name: 'six', host: '::1', port: 5681 },
      { name: 'brackets', host: '::1', port: 5682 },
      { name: 'any', host: '', port: 0 },
    ])
  })

  test('listeners.tcp = none turns them off, also from a stronger source', () => {
    expect(load('listeners.tcp = none').config['listeners.tcp']).toEqual([])
    const off = load('listeners.tcp.a = 5680', { set: ['listeners.tcp=none'] })
    expect(off.config['listeners.tcp']).toEqual([])
  })

  test('a stronger source changes one listener and keeps the others', () => {
    const text = 'listeners.tcp.a = 5680\nlisteners.tcp.b = 5681'
    const { config } = load(text, { set: ['listeners.tcp.a=5690'] })
    expect(config['listeners.tcp'].map(({ port }) => port)).toEqual([5690, 5681])
  })

  test('a list goes by its numbers, and a stronger source replaces it as a whole', () => {
    const text = 'auth_mechanisms.10 = PLAIN\nauth_mechanisms.2 = EXTERNAL'
    expect(load(text).config.auth_mechanisms).toEqual(['EXTERNAL', 'PLAIN'])
    const replaced = load(text, { set: ['auth_mechanisms.1=AMQPLAIN'] })
    expect(replaced.config.auth_mechanisms).toEqual(['AMQPLAIN'])
  })

  test('flags are the names that are true', () => {
    expect(load('loopback_users.guest = false').config.loopback_users).toEqual([])
    expect(load('loopback_users = none').config.loopback_users).toEqual([])
    const two = 'default_user_tags.monitoring = true\ndefault_user_tags.management = true'
    expect(load(two).config.default_user_tags).toEqual(['monitoring', 'management'])
  })

  test('default_users are records by name, dots and all', () => {
    const text = `
      default_users.app.password = secret
      default_users.app.tags = monitoring, policymaker
      default_users.app.write = ^orders
      default_users.a.b.password = x
      default_users.1.name = the real one`
    expect(load(text).config.default_users).toEqual([
      {
        id: 'app',
        name: 'app',
        password: 'secret',
        tags: ['monitoring', 'policymaker'],
        configure: '.*',
        write: '^orders',
        read: '.*',
        vhost_pattern: '.*',
      },
      expect.objectContaining({ name: 'a.b', password: 'x' }),
      expect.objectContaining({ name: 'the real one' }),
    ])
  })
})

describe('values', () => {
  test.each([
    ['max_message_size = 1024', 1024],
    ['max_message_size = 2MiB', 2 * 1024 * 1024],
    ['max_message_size = 2MB', 2_000_000],
    ['max_message_size = 64k', 65536],
    ['max_message_size = 64 kB', 64_000],
  ])('%s is %d bytes', (text, bytes) => {
    expect(load(text).config.max_message_size).toBe(bytes)
  })

  test.each([
    ['handshake_timeout = 2500', 2500],
    ['handshake_timeout = 500ms', 500],
    ['handshake_timeout = 10s', 10_000],
    ['handshake_timeout = 2m', 120_000],
  ])('%s is %d ms', (text, ms) => {
    expect(load(text).config.handshake_timeout).toBe(ms)
  })

  test('a limit may be infinity where the default is', () => {
    const { config } = load('max_connections = infinity\nconsumer_max_per_channel = 5')
    expect(config.max_connections).toBe(Number.POSITIVE_INFINITY)
    expect(config.consumer_max_per_channel).toBe(5)
  })

  test("RabbitMQ's other spellings mean the same setting", () => {
    const { config } = load('connection_max = 5\nlog.level = debug')
    expect(config.max_connections).toBe(5)
    expect(config['log.console.level']).toBe('debug')
  })

  test('bad values are told with file, line and what was expected', () => {
    const text = `heartbeat = soon
heartbeat = -1
frame_max = 10
tcp_listen_options.nodelay = perhaps
ssl_options.verify = maybe
vm_memory_high_watermark.relative = 1.5
handshake_timeout = 5 days
listeners.tcp.a = 70000
auth_mechanisms = PLAIN
auth_mechanisms.first = PLAIN
auth_mechanisms.1 = plain
default_users.app.colour = red
default_pass = encrypted:abc
shards = infinity`
    expect(problemsOf(text)).toEqual([
      "warren.conf:1: bad value 'soon' for heartbeat: expected a whole number from 0 to 65535 s",
      "warren.conf:2: bad value '-1' for heartbeat: expected a whole number from 0 to 65535 s",
      "warren.conf:3: bad value '10' for frame_max: expected a number of bytes (64MiB, 2GB) from 8192 to 2147483647",
      "warren.conf:4: bad value 'perhaps' for tcp_listen_options.nodelay: expected true or false",
      "warren.conf:5: bad value 'maybe' for ssl_options.verify: expected one of verify_none, verify_peer",
      "warren.conf:6: bad value '1.5' for vm_memory_high_watermark.relative: expected a number from 0 to 1",
      "warren.conf:7: bad value '5 days' for handshake_timeout: expected milliseconds (500ms, 10s, 5m) from 1 to 3600000",
      "warren.conf:8: bad value '70000' for listeners.tcp.a: expected PORT or HOST:PORT, PORT up to 65535",
      "warren.conf:9: bad value 'PLAIN' for auth_mechanisms: expected none here, or auth_mechanisms.1 = ...",
      "warren.conf:10: bad value 'PLAIN' for auth_mechanisms.first: expected a number as the last part of the key",
      "warren.conf:11: bad value 'plain' for auth_mechanisms.1: expected one of PLAIN, AMQPLAIN, ANONYMOUS, EXTERNAL",
      "warren.conf:12: bad value 'red' for default_users.app.colour: expected a key that ends in one of name, password, tags, configure, write, read, vhost_pattern",
      'warren.conf:13: bad value for default_pass: expected a plain value (encrypted ones are not supported)',
      "warren.conf:14: bad value 'infinity' for shards: expected a whole number from 1 to 64",
    ])
  })
})

describe('mistakes', () => {
  test('an unknown key is told with the key that was probably meant', () => {
    expect(problemsOf('\nhartbeat = 5\nlistener.tcp.default = 1\nsomething.else = 5')).toEqual([
      "warren.conf:2: unknown key 'hartbeat' (did you mean 'heartbeat'?)",
      "warren.conf:3: unknown key 'listener.tcp.default' (did you mean 'listeners.tcp.default'?)",
      "warren.conf:4: unknown key 'something.else'",
    ])
  })

  test('mistakes of all sources are told at once', () => {
    const rest = { env: { WARREN_SHARDS: 'many' }, set: ['heartbeat', 'nonsense=1'] }
    expect(problemsOf('frame_max = x', rest)).toHaveLength(4)
  })

  test('a file that is not there is a problem', () => {
    const file = join(folder, 'missing.conf')
    expect(problemsOf(undefined, { file })).toEqual(['missing.conf: cannot be read: no such file'])
  })

  test('TLS listeners need a certificate and its key', () => {
    expect(problemsOf('heartbeat = 5\nlisteners.ssl.default = 5671')).toEqual([
      'warren.conf:2: listeners.ssl needs ssl_options.certfile and ssl_options.keyfile',
    ])
  })

  test('the first frames cannot be larger than the later ones', () => {
    expect(problemsOf('frame_max = 8192\ninitial_frame_max = 9000')).toEqual([
      'warren.conf:2: initial_frame_max must not be larger than frame_max',
    ])
  })
})
