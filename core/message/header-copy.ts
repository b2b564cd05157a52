// A kept message once more, with other headers.

import type { Arena } from '../../shared/bus/arena.ts'
import { EntryFlag, entryWords, extentsMax, extentWords } from '../../shared/bus/wire.ts'
import { withHeaders } from '../../shared/message/properties.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import type { EntryCopier } from './entry-copier.ts'
import type { MessageTable } from './message-table.ts'

interface HeaderCopyParts {
  readonly arena: Arena
  readonly messages: MessageTable
  readonly copier: EntryCopier
}

/** Copies the message in `row` with `headers` put in or replaced. Gives a row held once; -1: no room. */
export function copyWithHeaders(parts: HeaderCopyParts, row: number, headers: FieldTable): number {
  const { arena, messages, copier } = parts
  const source = arena.slab(messages.slab[row] as number)
  const at = messages.at[row] as number
  const exrkSize = messages.exrkSize[row] as number
  const extraSize = messages.extraSize[row] as number
  const propsAt = at + exrkSize + extraSize
  const props = withHeaders(source, propsAt, messages.propsSize[row] as number, headers)
  const bytes = Buffer.concat([source.subarray(at, propsAt), props])
  messages.writeEntry(row, words, 0)
  const head = { bytes, exrkSize, extraSize, propsSize: props.length }
  if (!copier.copyUnder(words, 0, head)) return -1
  const flags = (messages.flags[row] as number) | EntryFlag.headers
  const copy = messages.add(copier.words, 0, flags)
  copier.close()
  return copy
}

/** The entry words of the message at hand. */
const words = new Int32Array(entryWords + extentsMax * extentWords)
