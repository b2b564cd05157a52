import { describe, expect, test } from 'vitest'
import { compilePattern } from '../../../core/topology/name-matcher.ts'
import { hashPassword, verifyPassword } from '../../../core/topology/passwords.ts'
import {
  checkAccess,
  checkTopicAccess,
  hasTopicPermissions,
} from '../../../core/topology/permissions.ts'
import type { Authenticate } from '../../../core/topology/registry-op.ts'
import type { Node } from './fixture.ts'
import { addUser, newNode } from './fixture.ts'

function login(user: string, password: string | undefined, fields: Partial<Authenticate> = {}) {
  return {
    op: 'authenticate',
    mechanism: 'PLAIN',
    user,
    password,
    loopback: true,
    ...fields,
  } as const
}

const refusedBy = (mechanism: string) =>
  `connection 403 ACCESS_REFUSED - Login was refused using authentication mechanism ${mechanism}. ` +
  'For details see the broker logfile.'

describe('password hashes', () => {
  test('are RabbitMQ\'s: salt 908DC60A, password "test12"', () => {
    const salt = () => Uint8Array.of(0x90, 0x8d, 0xc6, 0x0a)
    const hash = 'kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR'
    const algorithm = 'rabbit_password_hashing_sha256'
    expect(hashPassword('test12', algorithm, salt)).toBe(hash)
    expect(verifyPassword('test12', hash, algorithm)).toBe(true)
    expect(verifyPassword('test13', hash, algorithm)).toBe(false)
    expect(verifyPassword('test12', hash, 'rabbit_password_hashing_sha512')).toBe(false)
  })

  test('blank passwords, blank hashes and unknown algorithms never match', () => {
    const hash = hashPassword('', 'rabbit_password_hashing_sha256', (size) => new Uint8Array(size))
    expect(verifyPassword('', hash, 'rabbit_password_hashing_sha256')).toBe(false)
    expect(verifyPassword('x', '', 'rabbit_password_hashing_sha256')).toBe(false)
    expect(verifyPassword('x', hash, 'constructor')).toBe(false)
  })
})

describe('authenticate', () => {
  test.each(['PLAIN', 'AMQPLAIN'])('%s asks for the password', (mechanism) => {
    const node = newNode()
    expect(node.must(login('guest', 'guest', { mechanism }))).toEqual({
      user: 'guest',
      tags: ['administrator'],
    })
    expect(node.refusal(login('guest', 'wrong', { mechanism }))).toBe(refusedBy(mechanism))
    expect(node.refusal(login('guest', undefined, { mechanism }))).toBe(refusedBy(mechanism))
    expect(node.refusal(login('nobody', 'guest', { mechanism }))).toBe(refusedBy(mechanism))
  })

  test('EXTERNAL trusts the name that the transport proved', () => {
    const node = newNode()
    addUser(node, 'CN=client')
    const external = { mechanism: 'EXTERNAL', loopback: false } as const
    expect(node.must(login('CN=client', undefined, external))['user']).toBe('CN=client')
    expect(node.refusal(login('CN=other', undefined, external))).toBe(refusedBy('EXTERNAL'))
  })

  test('ANONYMOUS logs in as the configured user, if there is one', () => {
    const mechanism = 'ANONYMOUS'
    expect(newNode().refusal(login('', undefined, { mechanism }))).toBe(refusedBy(mechanism))
    const node = newNode({ anonymousUser: 'guest' })
    expect(node.must(login('', undefined, { mechanism }))['user']).toBe('guest')
    expect(node.refusal(login('', undefined, { mechanism, loopback: false }))).toBe(
      refusedBy(mechanism),
    )
  })

  test('guest comes from this machine only, others from anywhere', () => {
    const node = newNode()
    addUser(node, 'u')
    expect(node.refusal(login('guest', 'guest', { loopback: false }))).toBe(refusedBy('PLAIN'))
    node.must(login('u', 'u', { loopback: false }))
    newNode({ loopbackUsers: new Set() }).must(login('guest', 'guest', { loopback: false }))
  })

  test('a changed password counts at once, a deleted user is gone', () => {
    const node = newNode()
    node.must({ op: 'changePassword', name: 'guest', password: 'new' })
    expect(node.refusal(login('guest', 'guest'))).toBe(refusedBy('PLAIN'))
    node.must(login('guest', 'new'))
    node.must({ op: 'deleteUser', name: 'guest' })
    expect(node.effects).toEqual([{ effect: 'userDeleted', user: 'guest' }])
    expect(node.refusal(login('guest', 'new'))).toBe(refusedBy('PLAIN'))
  })

  test('a user without a password cannot log in by one', () => {
    const node = newNode()
    node.must({ op: 'addUser', name: 'u', tags: [] })
    expect(node.refusal(login('u', ''))).toBe(refusedBy('PLAIN'))
  })
})

describe('connection.open', () => {
  const open = (node: Node, user: string, vhost: string) =>
    node.refusal({ op: 'openConnection', user, vhost })

  test('needs the vhost and a permission for it', () => {
    const node = newNode()
    node.must({ op: 'addUser', name: 'u', password: 'u', tags: [] })
    expect(open(node, 'guest', 'v')).toBe('connection 530 NOT_ALLOWED - vhost v not found')
    expect(open(node, 'u', '/')).toBe(
      "connection 530 NOT_ALLOWED - access to vhost '/' refused for user 'u'",
    )
    addUser(node, 'u')
    const vhostId = node.vhost.id
    expect(node.must({ op: 'openConnection', user: 'u', vhost: '/' })).toEqual({ vhostId })
  })
})

describe('patterns', () => {
  const rows: readonly (readonly [pattern: string, name: string, hit: boolean])[] = [
    ['.*', 'anything', true],
    ['^.*$', '', true],
    ['', 'q', false],
    ['', '', true],
    ['^$', 'q', false],
    ['^app-1$', 'app-1', true],
    ['^app-1$', 'app-12', false],
    ['^app', 'application', true],
    ['^app.*', 'application', true],
    ['^app.*$', 'my-app', false],
    ['app', 'my-app-1', true],
    ['^(amq\\.gen.*|amq\\.default)$', 'amq.default', true],
    ['^(amq\\.gen.*|amq\\.default)$', 'amq.gen-abc', true],
    ['^(amq\\.gen.*|amq\\.default)$', 'amq.topic', false],
    ['[0-9]{2}', 'a12', true],
    ['(?i)APP', 'app', true],
    ['^a.c$', 'abc', true],
  ]
  test.each(rows)('%j on %j: %j', (pattern, name, hit) => {
    const matcher = compilePattern(pattern)
    if ('problem' in matcher) throw new Error(matcher.problem)
    expect(matcher.test(name)).toBe(hit)
    expect(matcher.test(name)).toBe(hit)
  })

  test('none hangs: the classic catastrophes take no time', () => {
    for (const pattern of ['^(a+)+$', '^(a|aa)+$', '(a*)*b', '(.*)(.*)(.*)(.*)(.*)[^a]$']) {
      const matcher = compilePattern(pattern)
      if ('problem' in matcher) throw new Error(matcher.problem)
      matcher.test(`${'a'.repeat(254)}!`)
    }
  }, 1000)

  test('a bad one is refused with its place and reason', () => {
    const node = newNode()
    const set = { user: 'guest', vhost: '/', configure: '.*', write: '(a', read: '.*' }
    expect(node.refusal({ op: 'setPermissions', ...set })).toBe(
      "channel 406 PRECONDITION_FAILED - invalid write pattern '(a': " +
        'error parsing regexp: missing closing ): `(a`',
    )
    const topic = { user: 'guest', vhost: '/', exchange: 't', write: '', read: '(?=x)' }
    expect(node.refusal({ op: 'setTopicPermissions', ...topic })).toMatch(
      /^channel 406 PRECONDITION_FAILED - invalid read pattern '\(\?=x\)': /,
    )
  })
})

describe('checks', () => {
  test('the default exchange goes by the name amq.default', () => {
    const node = newNode()
    addUser(node, 'u', '', '^amq\\.default$', '')
    const users = node.topology.users
    expect(checkAccess(users, 'u', '/', 'exchange', '', 'write')).toBeUndefined()
    expect(checkAccess(users, 'u', '/', 'exchange', '', 'read')?.text).toBe(
      "ACCESS_REFUSED - read access to exchange 'amq.default' in vhost '/' refused for user 'u'",
    )
  })

  test('an unknown user, or one without permissions, may nothing', () => {
    const users = newNode().topology.users
    expect(checkAccess(users, 'none', '/', 'queue', 'q', 'read')?.code).toBe(403)
    expect(checkAccess(users, 'guest', 'v', 'queue', 'q', 'read')?.code).toBe(403)
  })

  test('permissions that change count at once', () => {
    const node = newNode()
    const users = node.topology.users
    expect(checkAccess(users, 'guest', '/', 'queue', 'q', 'read')).toBeUndefined()
    node.must({ op: 'clearPermissions', user: 'guest', vhost: '/' })
    expect(node.effects).toEqual([{ effect: 'accessChanged', user: 'guest' }])
    expect(checkAccess(users, 'guest', '/', 'queue', 'q', 'read')?.code).toBe(403)
  })

  test('topic permissions: per exchange, with variables that are taken literally', () => {
    const node = newNode()
    addUser(node, 'a.b', '.*', '.*', '.*')
    const users = node.topology.users
    const check = (key: string, access: 'write' | 'read') =>
      checkTopicAccess(users, 'a.b', '/', 't', key, access) === undefined
    expect(check('anything', 'write')).toBe(true)
    expect(hasTopicPermissions(users, 'a.b', '/', 't')).toBe(false)
    const patterns = { write: '^{username}\\.{vhost}$', read: '^r' }
    node.must({ op: 'setTopicPermissions', user: 'a.b', vhost: '/', exchange: 't', ...patterns })
    expect(hasTopicPermissions(users, 'a.b', '/', 't')).toBe(true)
    expect(check('a.b./', 'write')).toBe(true)
    expect(check('axb./', 'write')).toBe(false)
    expect(check('r', 'read')).toBe(true)
    expect(checkTopicAccess(users, 'a.b', '/', 'other', 'x', 'write')).toBeUndefined()
    node.must({ op: 'clearTopicPermissions', user: 'a.b', vhost: '/', exchange: 't' })
    expect(check('anything', 'write')).toBe(true)
  })

  test('what operators ask of things that are not there', () => {
    const node = newNode()
    const missing = 'channel 404 NOT_FOUND - no'
    const all = { configure: '', write: '', read: '' }
    expect(node.refusal({ op: 'deleteUser', name: 'u' })).toBe(`${missing} user 'u'`)
    expect(node.refusal({ op: 'deleteVhost', name: 'v' })).toBe(`${missing} vhost 'v'`)
    expect(node.refusal({ op: 'setPermissions', user: 'u', vhost: '/', ...all })).toBe(
      `${missing} user 'u'`,
    )
    expect(node.refusal({ op: 'setPermissions', user: 'guest', vhost: 'v', ...all })).toBe(
      `${missing} vhost 'v'`,
    )
  })
})
