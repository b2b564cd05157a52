// Connections and channels as one shard knows them.

import { ConfirmTracker } from '../confirm/confirm-tracker.ts'
import type { Consumer, ConsumerChannel, Window } from '../queue/consumer.ts'
import { Unacked } from '../queue/unacked.ts'
import type { UserRecord, VhostRecord } from '../topology/records.ts'
import type { GatewayEnd } from './gateway-end.ts'
import type { Forwarder } from './peer-link.ts'
import type { ResolvedRoute } from './route-cache.ts'
import type { StreamPublisher } from './stream-clients.ts'

export class ShardConnection implements Window {
  /** Its slot at the gateway. */
  readonly id: number
  /** Unique in the node's life; what owns exclusive queues. */
  readonly owner: string
  readonly end: GatewayEnd
  readonly user: string
  readonly vhost: VhostRecord
  /** Number that stands for (user, vhost) in the route cache. */
  readonly scope: number
  /** The MQTT client id. */
  readonly clientId: string | undefined
  readonly channels: Set<ShardChannel>
  readonly stalled: Consumer[]
  bytes: number
  /** Its gateway reads nothing of it before this (see publish-rates.ts), by the shard's clock. */
  heldUntil: number

  constructor(
    id: number,
    owner: string,
    end: GatewayEnd,
    user: UserRecord['name'],
    vhost: VhostRecord,
    scope: number,
    window: number,
    clientId?: string,
  ) {
    this.id = id
    this.owner = owner
    this.end = end
    this.user = user
    this.vhost = vhost
    this.scope = scope
    this.clientId = clientId
    this.channels = new Set()
    this.stalled = []
    this.bytes = window
    this.heldUntil = 0
  }
}

/** A message of an open transaction. */
export interface HeldPublish {
  readonly row: number
  readonly flags: number
}

/** The longest exchange and routing key, as shortstrs. */
const keyBytesMax = 512

export class ShardChannel implements ConsumerChannel, Forwarder {
  readonly id: number
  readonly connection: ShardConnection
  readonly outlet: GatewayEnd
  readonly window: Window
  readonly unacked: Unacked
  readonly consumers: Set<Consumer>
  readonly starved: Consumer[]
  readonly confirms: ConfirmTracker
  tokenMode: boolean
  tokens: number
  /** A `want` has been sent and not been answered. */
  wanting: boolean
  /** It is on the list of channels whose confirms may have advanced. */
  confirmsDirty: boolean
  /** It is on the list of channels whose confirms wait for the log. */
  waitsForLog: boolean
  /** A publish was refused: nothing counts until the channel is closed. */
  failed: boolean
  closed: boolean
  /** What it publishes to, if it is one of the stream protocol. */
  publisher: StreamPublisher | undefined
  /** It has held a delivery for too long, and its gateway was told. */
  timedOut: boolean
  /** The keys of the last publish and where they led. */
  readonly lastKey: Uint8Array
  lastKeySize: number
  lastRoute: ResolvedRoute | undefined
  readonly held: HeldPublish[]
  /** Request to answer when `commitOpen` publishes of the transaction are durable; 0: none. */
  commitRequest: number
  commitOpen: number
  commitRefused: boolean

  private readonly onConfirmed: (channel: ShardChannel) => void

  /** `onConfirmed` hears when confirms may have advanced. */
  constructor(
    id: number,
    connection: ShardConnection,
    clock: { readonly now: number },
    onConfirmed: (channel: ShardChannel) => void,
  ) {
    this.onConfirmed = onConfirmed
    this.id = id
    this.connection = connection
    this.outlet = connection.end
    this.window = connection
    this.unacked = new Unacked(clock)
    this.consumers = new Set()
    this.starved = []
    this.confirms = new ConfirmTracker()
    this.tokenMode = false
    this.tokens = 0
    this.wanting = false
    this.confirmsDirty = false
    this.waitsForLog = false
    this.failed = false
    this.closed = false
    this.publisher = undefined
    this.timedOut = false
    this.lastKey = new Uint8Array(keyBytesMax)
    this.lastKeySize = -1
    this.lastRoute = undefined
    this.held = []
    this.commitRequest = 0
    this.commitOpen = 0
    this.commitRefused = false
  }

  onForwarded(sequence: number, refused: boolean): void {
    this.confirms.answer(sequence, refused)
    this.onConfirmed(this)
  }
}
