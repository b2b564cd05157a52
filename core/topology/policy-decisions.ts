// Policies, runtime parameters and limits as operators set them. Refusals have the texts of
// RabbitMQ's runtime parameters.

import type { PeerError } from '../../shared/errors.ts'
import type { Decision, RegistryContext } from './decision.ts'
import { decided, refused, unchanged } from './decision.ts'
import { erlangPairs, erlangTerm } from './erlang-term.ts'
import { userLimitNames, vhostLimitNames } from './limits.ts'
import { compilePattern } from './name-matcher.ts'
import type { Policy } from './policies.ts'
import { effectiveDefinition } from './policy-assignment.ts'
import type { PolicyDefinition } from './policy-keys.ts'
import { checkPolicyValues, unknownKeys } from './policy-keys.ts'
import type { Limits, VhostRecord } from './records.ts'
import { badRequest, noExchange, noQueue, noSuch } from './refusals.ts'
import type { PolicyOp } from './registry-op.ts'

type Op<K extends PolicyOp['op']> = Extract<PolicyOp, { readonly op: K }>

const applyToNames = ['all', 'queues', 'classic_queues', 'quorum_queues', 'streams', 'exchanges']

export function setPolicy(context: RegistryContext, op: Op<'setPolicy'>): Decision {
  const vhost = context.topology.vhosts.get(op.vhost)
  if (vhost === undefined) return refused(noSuch('vhost', op.vhost))
  const { name, pattern, definition, priority = 0, applyTo = 'all' } = op
  const operator = op.operator === true
  const problems = [
    checkPriority(priority),
    checkPattern(pattern),
    checkApplyTo(applyTo),
    checkDefinition(definition, operator),
  ].filter((problem) => problem !== undefined)
  if (problems.length > 0) return refused(validationFailed(problems))
  const policy: Policy = {
    name,
    pattern: String(pattern),
    applyTo,
    priority: Number(priority),
    definition: definition as PolicyDefinition,
  }
  return decided([{ change: 'policySet', vhost: vhost.id, operator, policy }])
}

export function clearPolicy(context: RegistryContext, op: Op<'clearPolicy'>): Decision {
  const vhost = context.topology.vhosts.get(op.vhost)
  if (vhost === undefined) return refused(noSuch('vhost', op.vhost))
  const operator = op.operator === true
  const { name } = op
  if (policiesOf(vhost, operator).get(name) === undefined) return refused(noParameter())
  return decided([{ change: 'policyCleared', vhost: vhost.id, operator, name }])
}

export function listPolicies(context: RegistryContext, op: Op<'listPolicies'>): Decision {
  const items: object[] = []
  for (const vhost of vhostsOf(context, op.vhost)) {
    const policies = policiesOf(vhost, op.operator === true).list()
    policies.sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1))
    for (const { name, pattern, applyTo, definition, priority } of policies) {
      items.push({ vhost: vhost.name, name, pattern, 'apply-to': applyTo, definition, priority })
    }
  }
  return unchanged({ items })
}

export function effectivePolicy(context: RegistryContext, op: Op<'effectivePolicy'>): Decision {
  const vhost = context.topology.vhosts.get(op.vhost)
  if (vhost === undefined) return refused(noSuch('vhost', op.vhost))
  const of = 'queue' in op ? vhost.queues.get(op.queue) : vhost.exchanges.get(op.exchange)
  if (of === undefined) {
    return refused(
      'queue' in op ? noQueue(op.queue, vhost.name) : noExchange(op.exchange, vhost.name),
    )
  }
  return unchanged({
    policy: of.policy?.name,
    operatorPolicy: of.operatorPolicy?.name,
    definition: effectiveDefinition(of),
  })
}

const components = ['federation-upstream', 'federation-upstream-set', 'shovel']

export function setParameter(context: RegistryContext, op: Op<'setParameter'>): Decision {
  const { component, name, value } = op
  const vhost = context.topology.vhosts.get(op.vhost)
  if (vhost === undefined) return refused(noSuch('vhost', op.vhost))
  if (component === 'policy') {
    return refused(badRequest('policies may not be set using this method'))
  }
  if (component === 'vhost-limits') {
    return setVhostLimits(context, {
      op: 'setVhostLimits',
      vhost: op.vhost,
      limits: value as Readonly<Record<string, unknown>>,
    })
  }
  if (!components.includes(component)) {
    return refused(validationFailed([`component ${component} not found`]))
  }
  return decided([{ change: 'parameterSet', vhost: vhost.id, component, name, value }])
}

export function clearParameter(context: RegistryContext, op: Op<'clearParameter'>): Decision {
  const vhost = context.topology.vhosts.get(op.vhost)
  if (vhost === undefined) return refused(noSuch('vhost', op.vhost))
  const { component, name } = op
  if (vhost.parameters.get(component)?.has(name) !== true) return refused(noParameter())
  return decided([{ change: 'parameterCleared', vhost: vhost.id, component, name }])
}

export function listParameters(context: RegistryContext, op: Op<'listParameters'>): Decision {
  const items: object[] = []
  for (const vhost of vhostsOf(context, op.vhost)) {
    for (const [component, parameters] of vhost.parameters) {
      if (op.component !== undefined && component !== op.component) continue
      for (const [name, value] of parameters) {
        items.push({ vhost: vhost.name, component, name, value })
      }
    }
  }
  return unchanged({ items })
}

export function setGlobalParameter(op: Op<'setGlobalParameter'>): Decision {
  const { name, value } = op
  return decided([{ change: 'parameterSet', vhost: undefined, component: '', name, value }])
}

export function clearGlobalParameter(
  context: RegistryContext,
  op: Op<'clearGlobalParameter'>,
): Decision {
  const { name } = op
  if (!context.topology.globalParameters.has(name)) return refused(noParameter())
  return decided([{ change: 'parameterCleared', vhost: undefined, component: '', name }])
}

export function listGlobalParameters(context: RegistryContext): Decision {
  const items = [...context.topology.globalParameters].map(([name, value]) => ({ name, value }))
  return unchanged({ items })
}

export function setVhostLimits(context: RegistryContext, op: Op<'setVhostLimits'>): Decision {
  const vhost = context.topology.vhosts.get(op.vhost)
  if (vhost === undefined) return refused(noSuch('vhost', op.vhost))
  const problem = checkLimits(op.limits, vhostLimitNames, 'limits')
  if (problem !== undefined) return refused(validationFailed([problem]))
  const limits = mergedLimits(vhost.limits, op.limits)
  return decided([{ change: 'vhostLimitsSet', vhost: vhost.id, limits }])
}

export function setUserLimits(context: RegistryContext, op: Op<'setUserLimits'>): Decision {
  const user = context.topology.users.get(op.user)
  if (user === undefined) return refused(noSuch('user', op.user))
  const problem = checkLimits(op.limits, userLimitNames, 'user-limits')
  if (problem !== undefined) return refused(badRequest(problem))
  const limits = mergedLimits(user.limits, op.limits)
  return decided([{ change: 'userLimitsSet', user: user.name, limits }])
}

export function listVhostLimits(context: RegistryContext, op: Op<'listVhostLimits'>): Decision {
  const items: object[] = []
  for (const { name, limits } of vhostsOf(context, op.vhost)) {
    if (Object.keys(limits).length > 0) items.push({ vhost: name, value: limits })
  }
  return unchanged({ items })
}

export function listUserLimits(context: RegistryContext, op: Op<'listUserLimits'>): Decision {
  const items: object[] = []
  for (const { name, limits } of context.topology.users.values()) {
    if (op.user !== undefined && op.user !== name) continue
    if (Object.keys(limits).length > 0) items.push({ user: name, value: limits })
  }
  return unchanged({ items })
}

function checkPriority(value: unknown): string | undefined {
  if (typeof value === 'number') return undefined
  return `priority should be a number, actually was ${erlangTerm(value)}`
}

function checkPattern(value: unknown): string | undefined {
  if (typeof value !== 'string') return `pattern should be a binary but was ${erlangTerm(value)}`
  const compiled = compilePattern(value)
  if (!('problem' in compiled)) return undefined
  return `pattern should be regular expression but is invalid: ${compiled.problem}`
}

function checkApplyTo(value: unknown): string | undefined {
  if (typeof value === 'string' && applyToNames.includes(value)) return undefined
  // The two spaces are RabbitMQ's.
  return (
    `apply-to '${String(value)}' unrecognised; should be one of: 'queues', 'classic_queues',  ` +
    "'quorum_queues', 'streams', 'exchanges', or 'all'"
  )
}

function checkDefinition(value: unknown, operator: boolean): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const validator = operator ? 'operator_policy_validator' : 'policy_validator'
    return (
      `parse error while reading policy definition: ${erlangTerm(value)}. ` +
      `Validator: ${validator}.`
    )
  }
  const definition = value as PolicyDefinition
  if (Object.keys(definition).length === 0) return 'no policy provided'
  const unknown = unknownKeys(definition, operator)
  const known = Object.entries(definition).filter(([name]) => !unknown.includes(name))
  const wrong = checkPolicyValues(Object.fromEntries(known))
  if (wrong !== undefined || unknown.length === 0) return wrong
  const pairs = unknown.map((name) => [name, definition[name]] as const)
  return `${erlangPairs(pairs)} are not recognised policy settings`
}

function checkLimits(
  limits: Readonly<Record<string, unknown>>,
  names: readonly string[],
  what: string,
): string | undefined {
  for (const name of names) {
    const value = limits[name]
    if (value === undefined) continue
    const fits = name === 'max-publish-rate' ? Number.isFinite(value) : Number.isSafeInteger(value)
    if (!fits) return `${name} should be a number, actually was ${erlangTerm(value)}`
  }
  const unknown = Object.entries(limits).filter(([name]) => !names.includes(name))
  return unknown.length === 0 ? undefined : `Unrecognised terms ${erlangPairs(unknown)} in ${what}`
}

/** What is set joins what is there, a negative value clears, and nothing at all clears everything. */
function mergedLimits(before: Limits, set: Readonly<Record<string, unknown>>): Limits {
  if (Object.keys(set).length === 0) return {}
  const merged = Object.entries({ ...before, ...set }).map(([name, value]) => [name, Number(value)])
  return Object.fromEntries(merged.filter(([, value]) => Number(value) >= 0))
}

function policiesOf(vhost: VhostRecord, operator: boolean): VhostRecord['policies'] {
  return operator ? vhost.operatorPolicies : vhost.policies
}

function* vhostsOf(context: RegistryContext, name: string | undefined): Generator<VhostRecord> {
  for (const vhost of context.topology.vhosts.values()) {
    if (name === undefined || vhost.name === name) yield vhost
  }
}

function validationFailed(problems: readonly string[]): PeerError {
  return badRequest(`Validation failed\n\n${problems.map((problem) => `${problem}\n`).join('')}`)
}

function noParameter(): PeerError {
  return { scope: 'channel', code: 404, text: 'Parameter does not exist' }
}
