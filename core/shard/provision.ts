// What the configuration puts into a node: the registry's settings, vhosts and users.

import type { Config } from '../../shared/config/schema.ts'
import type { RegistrySettings } from '../topology/decision.ts'
import { compilePattern } from '../topology/name-matcher.ts'
import type { AdminOp } from '../topology/registry-op.ts'
import type { Shard } from './shard.ts'

export function registrySettings(
  config: Config,
  randomBytes: (size: number) => Uint8Array,
): RegistrySettings {
  const anonymous = config.anonymous_login_user
  return {
    shards: config.shards,
    randomBytes,
    permitTransientNonexclusiveQueues:
      config['deprecated_features.permit.transient_nonexcl_queues'],
    loopbackUsers: new Set(config.loopback_users),
    anonymousUser:
      anonymous === 'none' || config.anonymous_login_pass === 'none' ? undefined : anonymous,
    hashingAlgorithm: 'rabbit_password_hashing_sha256',
    connectionCountMax: Number.isFinite(config.max_connections)
      ? config.max_connections
      : undefined,
    queueCountMax: undefined,
    exchangeCountMax: undefined,
    // Such names are answered by their own shard, before the registry is asked (see ControlDesk).
    replyQueueExists: () => false,
  }
}

/**
 * Gives a blank node its vhosts and users; `done` when every shard has them (at once on shards other
 * than the registry's). Throws where the configuration asks for what cannot be.
 */
export function provision(shard: Shard, config: Config, done: () => void): void {
  if (shard.control.registry === undefined) {
    done()
    return
  }
  const ops = [...initialOps(config)]
  const next = (): void => {
    const op = ops.shift()
    if (op === undefined) {
      done()
      return
    }
    shard.control.runOnRegistry(op, (reply) => {
      if (reply.error !== undefined) throw new Error(`configuration: ${reply.error.text}`)
      next()
    })
  }
  next()
}

function* initialOps(config: Config): Generator<AdminOp> {
  const vhosts = [...new Set([config.default_vhost, ...config.default_vhosts])]
  for (const name of vhosts) yield { op: 'addVhost', name }
  yield {
    op: 'addUser',
    name: config.default_user,
    password: config.default_pass,
    tags: config.default_user_tags,
  }
  yield {
    op: 'setPermissions',
    user: config.default_user,
    vhost: config.default_vhost,
    configure: config['default_permissions.configure'],
    write: config['default_permissions.write'],
    read: config['default_permissions.read'],
  }
  for (const user of config.default_users) {
    const { password, tags, configure, write, read } = user
    const name = user.name === '' ? user.id : user.name
    yield { op: 'addUser', name, password: password === '' ? undefined : password, tags }
    const pattern = compilePattern(user.vhost_pattern)
    if ('problem' in pattern) {
      throw new Error(`default_users.${user.id}.vhost_pattern: ${pattern.problem}`)
    }
    for (const vhost of vhosts) {
      if (pattern.test(vhost))
        yield { op: 'setPermissions', user: name, vhost, configure, write, read }
    }
  }
}
