// Refusals of the bus as codes of the stream protocol.

import type { PeerError } from '../../../shared/errors.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import { Code } from '../codec/commands.ts'

/** The code for an op on a stream. */
export function codeOf(error: PeerError | undefined): number {
  if (error === undefined) return Code.ok
  if (error.code === ReplyCode.NOT_FOUND) return Code.noStream
  if (error.code === ReplyCode.ACCESS_REFUSED) return Code.accessRefused
  return Code.preconditionFailed
}

/** The code for one of `describeStreams`' numbers. */
export function codeOfState(state: number | undefined): number {
  if (state === 0) return Code.ok
  return state === ReplyCode.ACCESS_REFUSED ? Code.accessRefused : Code.noStream
}
