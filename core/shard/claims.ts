// Names that one connection of a vhost at a time goes by, like MQTT client ids. Who claims a name
// that is taken gets it when the other has closed, which it is asked to do.

import type { ShardEvent } from '../../shared/bus/control.ts'
import type { ShardConnection } from './channel.ts'
import type { GatewayEnd } from './gateway-end.ts'

interface Claim {
  readonly connection: ShardConnection
  readonly granted: () => void
}

/** Kept by the registry's shard, which hears of every connection's end. */
export class Claims {
  /** Per vhost and name: the holder, then who waits. */
  private readonly lines: Map<string, Claim[]>
  private readonly names: Map<ShardConnection, string>
  private readonly tell: (end: GatewayEnd, event: ShardEvent) => void

  constructor(tell: (end: GatewayEnd, event: ShardEvent) => void) {
    this.lines = new Map()
    this.names = new Map()
    this.tell = tell
  }

  /** `granted` is called once the connection, which has no other name, holds this one. */
  claim(connection: ShardConnection, name: string, granted: () => void): void {
    const key = `${connection.vhost.id} ${name}`
    const line = this.lines.get(key)
    this.names.set(connection, key)
    if (line === undefined) {
      this.lines.set(key, [{ connection, granted }])
      granted()
      return
    }
    // The last one has told those before it already.
    const last = line[line.length - 1] as Claim
    line.push({ connection, granted })
    const { end, id } = last.connection
    this.tell(end, { event: 'claimWanted', connection: id })
  }

  /** As `claim`, but nobody is asked to go; false: somebody has the name. */
  claimFree(connection: ShardConnection, name: string): boolean {
    if (this.lines.has(`${connection.vhost.id} ${name}`)) return false
    this.claim(connection, name, () => undefined)
    return true
  }

  /** The connection is closed: the next in line goes by its name. */
  release(connection: ShardConnection): void {
    const key = this.names.get(connection)
    const line = key === undefined ? undefined : this.lines.get(key)
    if (key === undefined || line === undefined) return
    this.names.delete(connection)
    const at = line.findIndex((claim) => claim.connection === connection)
    if (at >= 0) line.splice(at, 1)
    if (line.length === 0) this.lines.delete(key)
    else if (at === 0) line[0]?.granted()
  }
}
