// What shards ask each other, beside forwarded publishes: msgpack, request and reply.

import type { ControlReply } from '../../shared/bus/control.ts'
import { pack, unpack } from '../../shared/bus/control.ts'
import { SlotTable } from '../../shared/bus/slot-table.ts'
import { Record } from '../../shared/bus/wire.ts'
import type { QueueStats } from '../topology/decision.ts'
import type { TopologyChange } from '../topology/topology-change.ts'
import type { AdminCommand } from './admin-commands.ts'
import type { PeerLink } from './peer-link.ts'

export type PeerOp =
  /** From the registry: apply these. Reply `{}`. */
  | { readonly peer: 'apply'; readonly changes: readonly TopologyChange[] }
  /** Reply `{}` once everything forwarded before is in its queues. */
  | { readonly peer: 'fence' }
  /** From the registry, at start: all metadata is applied, put back the messages. Reply `{}` when they are there. */
  | { readonly peer: 'recover' }
  /** Reply QueueStats. */
  | { readonly peer: 'queueStats'; readonly queue: number }
  /** To the registry: the last consumer of an auto-delete queue went. Reply `{}` when it is deleted. */
  | { readonly peer: 'queueUnused'; readonly queue: number }
  /** An operator's command on what this shard owns. Reply `{ reply }`. */
  | { readonly peer: 'command'; readonly command: AdminCommand }
  /** Whether a direct reply-to name is open. Reply `{ open }`. */
  | { readonly peer: 'replyOpen'; readonly key: string }

export type PeerReply = Partial<QueueStats> & {
  readonly open?: boolean
  readonly reply?: ControlReply
}

/** Sends ops to other shards and matches the answers. */
export class PeerDesk {
  private readonly waiting: SlotTable<(reply: PeerReply) => void>

  constructor() {
    this.waiting = new SlotTable()
  }

  ask(peer: PeerLink, op: PeerOp, onReply: (reply: PeerReply) => void): void {
    peer.lane.control(Record.control, this.waiting.add(onReply), pack(op))
  }

  /** Asks all `peers` and calls `onAll` when the last one has answered; at once when there is none. */
  askAll(peers: readonly (PeerLink | undefined)[], op: PeerOp, onAll: () => void): void {
    let open = 1
    const done = (): void => {
      open--
      if (open === 0) onAll()
    }
    for (const peer of peers) {
      if (peer === undefined) continue
      open++
      this.ask(peer, op, done)
    }
    done()
  }

  onReply(request: number, payload: Uint8Array): void {
    this.waiting.remove(request)?.(unpack<PeerReply>(payload))
  }
}
