// What the configuration puts into a node: the registry's settings, vhosts and users.

import type { Config } from '../../shared/config/schema.ts'
import type { RegistrySettings } from '../topology/decision.ts'
import { compilePattern } from '../topology/name-matcher.ts'
import type { AdminOp } from '../topology/registry-op.ts'
import type { Topology } from '../topology/topology.ts'
import { vhostDefaults } from './configured-defaults.ts'
import type { RegistryDesk } from './registry-desk.ts'

type DefaultUser = Config['default_users'][number]

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
    defaultQueueType: config.default_queue_type,
    connectionCountMax: finite(config.max_connections),
    queueCountMax: finite(config.cluster_queue_limit),
    exchangeCountMax: finite(config.cluster_exchange_limit),
    vhostCountMax: finite(config.vhost_max),
    vhostDefaults: vhostDefaults(config),
    // Such names are answered by their own shard, before the registry is asked (see ControlDesk).
    replyQueueExists: () => false,
  }
}

/**
 * Gives a blank node its first vhosts and users, and a later start those of `default_vhosts` and
 * `default_users` that are missing; `done` when they are on disk and every shard has them. Throws
 * where the configuration asks for what cannot be.
 */
export function provision(
  desk: RegistryDesk,
  config: Config,
  provisioned: boolean,
  done: () => void,
): void {
  const ops = provisioned ? missingOps(config, desk.topology) : initialOps(config)
  // All at once, so that they reach the disk together.
  for (const op of [...ops]) {
    desk.insist(op, (reply) => {
      if (reply.error !== undefined) throw new Error(`configuration: ${reply.error.text}`)
    })
  }
  if (provisioned) done()
  else desk.markProvisioned(done)
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
    yield addDefaultUser(user)
    yield* defaultPermissions(user, vhosts)
  }
}

/** What is there stays as operators have made it since. */
function* missingOps(config: Config, topology: Topology): Generator<AdminOp> {
  const missing = config.default_vhosts.filter((name) => !topology.vhosts.has(name))
  for (const name of missing) yield { op: 'addVhost', name }
  const vhosts = [...new Set([...topology.vhosts.keys(), ...missing])]
  for (const user of config.default_users) {
    const known = topology.users.has(nameOf(user))
    if (!known) yield addDefaultUser(user)
    yield* defaultPermissions(user, known ? missing : vhosts)
  }
}

function finite(limit: number): number | undefined {
  return Number.isFinite(limit) ? limit : undefined
}

function nameOf(user: DefaultUser): string {
  return user.name === '' ? user.id : user.name
}

function addDefaultUser(user: DefaultUser): AdminOp {
  const { password, tags } = user
  return {
    op: 'addUser',
    name: nameOf(user),
    password: password === '' ? undefined : password,
    tags,
  }
}

function* defaultPermissions(user: DefaultUser, vhosts: readonly string[]): Generator<AdminOp> {
  const { configure, write, read } = user
  const pattern = compilePattern(user.vhost_pattern)
  if ('problem' in pattern) {
    throw new Error(`default_users.${user.id}.vhost_pattern: ${pattern.problem}`)
  }
  for (const vhost of vhosts) {
    if (pattern.test(vhost)) {
      yield { op: 'setPermissions', user: nameOf(user), vhost, configure, write, read }
    }
  }
}
