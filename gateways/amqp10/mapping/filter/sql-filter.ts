// SQL filter expressions on messages: true, false or unknown, as the logic of three values has it. A
// message passes where the expression is true.

import type { FilterValue } from './filter-value.ts'
import { equal } from './filter-value.ts'
import { isLike } from './like-pattern.ts'
import type { FilteredMessage, MessageFilter } from './message-filter.ts'
import { readSql } from './sql-lexer.ts'
import type { SqlNode } from './sql-parser.ts'
import { parseSql } from './sql-parser.ts'

/** The filter of an expression. Throws a FilterFault where it is none. */
export function parseSqlFilter(expression: string): MessageFilter {
  const node = parseSql(readSql(expression))
  return { matches: (message) => evaluate(node, message) === true }
}

// As deep as there are tokens.
function evaluate(node: SqlNode, message: FilteredMessage): FilterValue {
  switch (node.kind) {
    case 'literal':
      return node.value
    case 'priority':
      return BigInt(message.priority)
    case 'property':
      return message.property(node.place)
    case 'application':
      return message.application(node.name)
    case 'utc':
      return BigInt(message.wall())
    case 'and':
      return both(node.left, node.right, message, false)
    case 'or':
      return both(node.left, node.right, message, true)
    case 'not': {
      const value = evaluate(node.of, message)
      return typeof value === 'boolean' ? !value : undefined
    }
    case 'isNull':
      return evaluate(node.of, message) === undefined
    case 'plus':
      return signed(evaluate(node.of, message), false)
    case 'minus':
      return signed(evaluate(node.of, message), true)
    case 'compare':
      return compare(node.operator, evaluate(node.left, message), evaluate(node.right, message))
    case 'arithmetic':
      return calculate(node.operator, evaluate(node.left, message), evaluate(node.right, message))
    case 'in': {
      const value = evaluate(node.of, message)
      if (value === undefined) return undefined
      return node.list.some((each) => equal(value, evaluate(each, message)))
    }
    case 'like': {
      const value = evaluate(node.of, message)
      return typeof value === 'string' ? isLike(value, node.pattern) : undefined
    }
  }
}

/** AND (`decides` false: one false is enough) and OR (`decides` true). */
function both(
  left: SqlNode,
  right: SqlNode,
  message: FilteredMessage,
  decides: boolean,
): FilterValue {
  const first = evaluate(left, message)
  if (first === decides) return decides
  const second = evaluate(right, message)
  if (second === decides) return decides
  return first === !decides && second === !decides ? !decides : undefined
}

function signed(value: FilterValue, negative: boolean): FilterValue {
  if (typeof value !== 'bigint' && typeof value !== 'number') return undefined
  return negative ? -value : value
}

/** Values of unlike types are neither equal nor in any order. */
function compare(operator: string, left: FilterValue, right: FilterValue): FilterValue {
  if (left === undefined || right === undefined) return undefined
  if (operator === '=') return equal(left, right)
  if (operator === '<>') return !equal(left, right)
  const alike = isNumber(left) ? isNumber(right) : typeof left === typeof right
  if (!alike || typeof left === 'boolean') return false
  switch (operator) {
    case '<':
      return left < right
    case '<=':
      return left <= right
    case '>':
      return left > right
    default:
      return left >= right
  }
}

function calculate(operator: string, left: FilterValue, right: FilterValue): FilterValue {
  if (!isNumber(left) || !isNumber(right)) return undefined
  if (operator === '%') {
    if (typeof left !== 'bigint' || typeof right !== 'bigint' || right === 0n) return undefined
    return left % right
  }
  if (operator !== '/' && typeof left === 'bigint' && typeof right === 'bigint') {
    if (operator === '+') return left + right
    return operator === '-' ? left - right : left * right
  }
  const value = approximate(operator, Number(left), Number(right))
  return Number.isFinite(value) ? value : undefined
}

function approximate(operator: string, left: number, right: number): number {
  switch (operator) {
    case '+':
      return left + right
    case '-':
      return left - right
    case '*':
      return left * right
    default:
      return left / right
  }
}

function isNumber(value: FilterValue): value is bigint | number {
  return typeof value === 'bigint' || typeof value === 'number'
}
