// SQL filter expressions (AMQP Filter Expressions 1.0, section 6): from tokens to a tree, by recursive
// descent. What is loosest comes first: OR, AND, NOT, comparison, + and -, * / %, sign.

import { FilterFault } from './filter-fault.ts'
import type { FilterValue } from './filter-value.ts'
import { textBytes } from './filter-value.ts'
import type { LikePattern } from './like-pattern.ts'
import { parseLike } from './like-pattern.ts'
import type { SqlToken, SqlTokens } from './sql-lexer.ts'

export type SqlNode =
  | { readonly kind: 'literal'; readonly value: FilterValue }
  | { readonly kind: 'priority' | 'utc' }
  | { readonly kind: 'property'; readonly place: number }
  | { readonly kind: 'application'; readonly name: string }
  | { readonly kind: 'not' | 'isNull' | 'plus' | 'minus'; readonly of: SqlNode }
  | {
      readonly kind: 'and' | 'or' | 'compare' | 'arithmetic'
      readonly operator: string
      readonly left: SqlNode
      readonly right: SqlNode
    }
  | { readonly kind: 'in'; readonly of: SqlNode; readonly list: readonly SqlNode[] }
  | { readonly kind: 'like'; readonly of: SqlNode; readonly pattern: LikePattern }

/** The tree of an expression. Throws a FilterFault where the tokens are none. */
export function parseSql(read: SqlTokens): SqlNode {
  const parser = new Parser(read)
  const node = parser.disjunction()
  parser.end()
  return node
}

class Parser {
  private readonly tokens: readonly SqlToken[]
  private readonly places: readonly number[]
  private at: number

  constructor({ tokens, places }: SqlTokens) {
    this.tokens = tokens
    this.places = places
    this.at = 0
  }

  end(): void {
    if (this.at < this.tokens.length) this.fail('an operator or the end')
  }

  disjunction(): SqlNode {
    let left = this.conjunction()
    while (this.took('OR')) {
      left = { kind: 'or', operator: 'OR', left, right: this.conjunction() }
    }
    return left
  }

  private conjunction(): SqlNode {
    let left = this.negation()
    while (this.took('AND')) {
      left = { kind: 'and', operator: 'AND', left, right: this.negation() }
    }
    return left
  }

  private negation(): SqlNode {
    return this.took('NOT') ? { kind: 'not', of: this.negation() } : this.comparison()
  }

  private comparison(): SqlNode {
    const from = this.at
    const left = this.sum()
    const operator = this.tookOneOf(COMPARISONS)
    if (operator !== undefined) return { kind: 'compare', operator, left, right: this.sum() }
    if (this.took('IS')) {
      // Of a field, not of an expression.
      if (this.at !== from + 2 || !isField(left)) this.fail('a field alone before IS', from)
      const not = this.took('NOT')
      this.expect('NULL')
      return negated(not, { kind: 'isNull', of: left })
    }
    const not = this.took('NOT')
    if (this.took('LIKE')) return negated(not, this.like(left))
    if (this.took('IN')) return negated(not, this.in(left))
    if (not) this.fail('LIKE or IN')
    return left
  }

  private like(of: SqlNode): SqlNode {
    const text = this.string()
    const sign = this.took('ESCAPE') ? this.string() : undefined
    if (sign !== undefined && [...sign].length !== 1) this.fail('one character', this.at - 1)
    const pattern = parseLike(text, sign)
    if (pattern === undefined)
      this.fail('a pattern without control characters or a sign at its end')
    return { kind: 'like', of, pattern }
  }

  private in(of: SqlNode): SqlNode {
    this.expect('(')
    const list = [this.sum()]
    while (this.took(',')) list.push(this.sum())
    this.expect(')')
    return { kind: 'in', of, list }
  }

  private sum(): SqlNode {
    let left = this.product()
    for (let operator = this.tookOneOf(SUMS); operator; operator = this.tookOneOf(SUMS)) {
      left = { kind: 'arithmetic', operator, left, right: this.product() }
    }
    return left
  }

  private product(): SqlNode {
    let left = this.signed()
    for (let operator = this.tookOneOf(PRODUCTS); operator; operator = this.tookOneOf(PRODUCTS)) {
      left = { kind: 'arithmetic', operator, left, right: this.signed() }
    }
    return left
  }

  private signed(): SqlNode {
    if (this.took('+')) return { kind: 'plus', of: this.primary() }
    if (this.took('-')) return { kind: 'minus', of: this.primary() }
    return this.primary()
  }

  private primary(): SqlNode {
    if (this.took('(')) {
      const inner = this.disjunction()
      this.expect(')')
      return inner
    }
    if (this.took('UTC')) {
      this.expect('(')
      this.expect(')')
      return { kind: 'utc' }
    }
    const token = this.tokens[this.at++]
    switch (token?.type) {
      case 'literal':
        return { kind: 'literal', value: token.value }
      case 'string':
        return { kind: 'literal', value: textBytes(token.text) }
      case 'priority':
        return { kind: 'priority' }
      case 'property':
        return { kind: 'property', place: token.place }
      case 'application':
        return { kind: 'application', name: token.name }
      default:
        return this.fail('a value', this.at - 1)
    }
  }

  private string(): string {
    const token = this.tokens[this.at++]
    if (token?.type !== 'string') return this.fail('a string', this.at - 1)
    return token.text
  }

  private took(word: string): boolean {
    const token = this.tokens[this.at]
    if (token?.type !== 'word' || token.text !== word) return false
    this.at++
    return true
  }

  private tookOneOf(words: readonly string[]): string | undefined {
    return words.find((word) => this.took(word))
  }

  private expect(word: string): void {
    if (!this.took(word)) this.fail(word)
  }

  private fail(what: string, at = this.at): never {
    const place = this.places[at]
    const where = place === undefined ? 'at the end' : `at character ${place + 1}`
    throw new FilterFault(`${what} expected ${where}`)
  }
}

function negated(not: boolean, node: SqlNode): SqlNode {
  return not ? { kind: 'not', of: node } : node
}

function isField({ kind }: SqlNode): boolean {
  return kind === 'priority' || kind === 'property' || kind === 'application'
}

const COMPARISONS: readonly string[] = ['=', '<>', '<=', '>=', '<', '>']
const SUMS: readonly string[] = ['+', '-']
const PRODUCTS: readonly string[] = ['*', '/', '%']
