import { describe, expect, test } from 'vitest'
import { formatWritten, parseConfigText } from '../../../core/config/syntax.ts'

function pairs(text: string): [string, string][] {
  const { assignments, problems } = parseConfigText(text, 'warren.conf')
  expect(problems).toEqual([])
  return assignments.map(({ key, value }) => [key, value])
}

describe('the syntax of rabbitmq.conf', () => {
  test('reads keys and values, with or without blanks around the equals sign', () => {
    expect(pairs('heartbeat = 30\nchannel_max=5\n  shards   =   2  ')).toEqual([
      ['heartbeat', '30'],
      ['channel_max', '5'],
      ['shards', '2'],
    ])
  })

  test('skips comments and empty lines, and takes LF, CRLF and a byte order mark', () => {
    expect(
      pairs('\uFEFF# head\r\n\r\nheartbeat = 30   # seconds\r\n   # more\nshards = 2'),
    ).toEqual([
      ['heartbeat', '30'],
      ['shards', '2'],
    ])
  })

  test('takes a value in single quotes as it stands', () => {
    expect(pairs("default_pass = 'a # b '\ncluster_name = ''")).toEqual([
      ['default_pass', 'a # b '],
      ['cluster_name', ''],
    ])
  })

  test('keeps further equals signs in the value', () => {
    expect(pairs('default_pass = a=b==')).toEqual([['default_pass', 'a=b==']])
  })

  test('names file and line of everything it cannot read', () => {
    const { problems } = parseConfigText(
      "heartbeat 30\n\n= 5\nshards =\nshards = # none\ndefault_pass = a#b\ndefault_pass = 'a",
      'etc/warren.conf',
    )
    expect(problems).toEqual([
      "etc/warren.conf:1: expected 'key = value'",
      "etc/warren.conf:3: expected 'key = value'",
      'etc/warren.conf:4: shards: no value',
      'etc/warren.conf:5: shards: no value',
      "etc/warren.conf:6: default_pass: a value with '#' must stand in single quotes",
      'etc/warren.conf:7: default_pass: expected one closing quote and nothing after it',
    ])
  })

  test('writes values so that they read back', () => {
    for (const value of ['plain', 'a # b', ' edge ', '#', '.*']) {
      expect(pairs(`default_pass = ${formatWritten(value)}`)).toEqual([['default_pass', value]])
    }
  })
})
