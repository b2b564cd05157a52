// What a codec throws: a DecodeError whose code is the reason code of MQTT 5.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Reason } from './constants.ts'

/** The bytes are no packet of this protocol. */
export function malformed(text: string): never {
  throw new DecodeError(Reason.malformedPacket, text)
}

/** The packet is well-formed, but not allowed so. */
export function protocolError(text: string): never {
  throw new DecodeError(Reason.protocolError, text)
}

/** A fault with a reason code of its own. */
export function fault(reason: number, text: string): never {
  throw new DecodeError(reason, text)
}
