// A session as its parts see it: links, windows, what is outstanding.

import type { AmqpError } from '../mapping/conditions.ts'
import type { IncomingLink, IncomingLinkOwner } from './incoming-link.ts'
import type { IncomingWindow } from './incoming-window.ts'
import type { ManagementLink, ManagementOwner } from './management-link.ts'
import type { Operator } from './operation.ts'
import type { OutgoingLink, OutgoingLinkOwner } from './outgoing-link.ts'
import type { UnsettledMap } from './unsettled-map.ts'

/** A link that we have detached: the client's detach is to come. */
export interface ClosingLink {
  readonly kind: 'closing'
}

export type OpenLink = IncomingLink | OutgoingLink | ManagementLink
export type Link = OpenLink | ClosingLink

/** A link that is to be detached behind the outcome of the publish with that number. */
export interface DoomedLink {
  readonly link: IncomingLink
  readonly error: AmqpError
  readonly sequence: number
}

export interface SessionState
  extends Operator,
    IncomingLinkOwner,
    OutgoingLinkOwner,
    ManagementOwner {
  readonly context: IncomingLinkOwner['context']
  readonly transfers: OutgoingLinkOwner['transfers']
  /** The channel number, ours as the client's. */
  readonly channel: number
  readonly incoming: IncomingWindow
  readonly unsettled: UnsettledMap
  /** By the client's handle, which is ours too. */
  readonly links: (Link | undefined)[]
  readonly handleMax: number
  /** Links to detach once the outcome of what doomed them is sent. */
  doomed: DoomedLink[]
  /** Gives back a delivery that the client does not get. */
  readonly giveBack: (shard: number, busId: number) => void
  /** Ends a link for an error. */
  detach(link: OpenLink, error: AmqpError): void
}
