// What connection.tune-ok may ask for.

import type { PeerError } from '../../../shared/bus/control.ts'
import { connectionError } from '../../../shared/errors.ts'
import { FRAME_MIN_SIZE } from '../codec/constants.ts'
import type { AmqpSettings } from './settings.ts'

/** The limits that a client chose; 0 is "no limit" and for the heartbeat "none". */
export interface Tuning {
  readonly channelMax: number
  readonly frameMax: number
  readonly heartbeat: number
}

/** The error for limits that the server does not allow; undefined when all is well. */
export function checkTuning(tuning: Tuning, settings: AmqpSettings): PeerError | undefined {
  return (
    check('frame_max', tuning.frameMax, FRAME_MIN_SIZE, settings.frameMax) ??
    check('channel_max', tuning.channelMax, 1, settings.channelMax)
  )
}

function check(
  name: 'frame_max' | 'channel_max',
  value: number,
  min: number,
  max: number,
): PeerError | undefined {
  if (value !== 0 && value < min) {
    return refusal(name, value, `lower than the minimum allowed value (${min})`)
  }
  if (max !== 0 && (value === 0 || value > max)) {
    return refusal(name, value, `higher than the maximum allowed value (${max})`)
  }
  return undefined
}

function refusal(name: 'frame_max' | 'channel_max', value: number, why: string): PeerError {
  const shown = name === 'channel_max' && value === 0 ? '0 (no limit)' : `${value}`
  return connectionError('NOT_ALLOWED', `negotiated ${name} = ${shown} is ${why}`)
}
