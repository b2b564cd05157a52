// Packet ids of one direction server to client that are not acknowledged: columns keyed by packet id,
// as few slots as are in use. Ids come from places in a queue, so most are neighbours.

const firstCapacity = 16
/** Ids of places in the session's own queue: from 1 on. */
const ownIds = 49_152
/** Behind them, ids of places in the queues that it was given messages in, shared among the shards. */
const givenIds = 8192
const capacityMax = 65536
const free = 0

/** Where an outgoing message stands. */
export const InflightState = { published: 1, released: 2 } as const

export class Inflight {
  count: number
  // Of the packet that `find` found last, by slot.
  qos: Uint8Array
  state: Uint8Array
  /** 0: it has no delivery (yet): a retained message, or one that only its mark tells of. */
  deliveryIds: Int32Array
  feeds: Uint16Array
  positions: Float64Array
  private ids: Uint16Array
  private mask: number

  constructor() {
    this.count = 0
    this.qos = noBytes
    this.state = noBytes
    this.deliveryIds = noInts
    this.feeds = noIds
    this.positions = noPositions
    this.ids = noIds
    this.mask = -1
  }

  // HOT: once per acknowledgement
  /** The slot of a packet id, -1 if it is not in use. */
  find(packetId: number): number {
    if (this.mask < 0) return -1
    const slot = packetId & this.mask
    return this.ids[slot] === packetId ? slot : -1
  }

  // HOT: once per delivery of QoS 1 or 2
  /** Takes an id that is not in use; gives its slot. */
  add(
    packetId: number,
    qos: number,
    feed: number,
    deliveryId: number,
    position: number,
    state: number,
  ): number {
    while (this.mask < 0 || this.ids[packetId & this.mask] !== free) this.grow()
    const slot = packetId & this.mask
    this.ids[slot] = packetId
    this.qos[slot] = qos
    this.state[slot] = state
    this.feeds[slot] = feed
    this.deliveryIds[slot] = deliveryId
    this.positions[slot] = position
    this.count++
    return slot
  }

  idAt(slot: number): number {
    return this.ids[slot] as number
  }

  remove(slot: number): void {
    this.ids[slot] = free
    this.count--
  }

  /** An id that is not in use and of no place in a queue; 0: there is none. */
  unused(): number {
    for (let id = 65535; id > ownIds + givenIds; id--) if (this.find(id) < 0) return id
    return 0
  }

  /** Calls `each` with the packet id and slot of all that are in use. */
  forEach(each: (packetId: number, slot: number) => void): void {
    for (let slot = 0; slot <= this.mask; slot++) {
      const id = this.ids[slot] as number
      if (id !== free) each(id, slot)
    }
  }

  private grow(): void {
    const old = this.mask + 1
    const { ids, qos, state, feeds, deliveryIds, positions } = this
    let capacity = old === 0 ? firstCapacity : old * 2
    // Ids that are neighbours do not meet; others may need more room than there are of them.
    while (capacity < capacityMax && meets(ids, capacity)) capacity *= 2
    this.mask = capacity - 1
    this.ids = new Uint16Array(capacity)
    this.qos = new Uint8Array(capacity)
    this.state = new Uint8Array(capacity)
    this.feeds = new Uint16Array(capacity)
    this.deliveryIds = new Int32Array(capacity)
    this.positions = new Float64Array(capacity)
    for (let from = 0; from < old; from++) {
      const id = ids[from] as number
      if (id === free) continue
      const slot = id & this.mask
      this.ids[slot] = id
      this.qos[slot] = qos[from] as number
      this.state[slot] = state[from] as number
      this.feeds[slot] = feeds[from] as number
      this.deliveryIds[slot] = deliveryIds[from] as number
      this.positions[slot] = positions[from] as number
    }
  }
}

/** The packet id of a place (from 1 on): in the session's own queue (`given` -1), or in that given on a shard. */
export function idOfPlace(place: number, given: number, shards: number): number {
  if (given < 0) return ((place - 1) % ownIds) + 1
  const each = Math.floor(givenIds / shards)
  return ownIds + given * each + ((place - 1) % each) + 1
}

/** Which queue an id is of: as `given` of `idOfPlace`. */
export function givenOfId(packetId: number, shards: number): number {
  if (packetId <= ownIds) return -1
  return Math.floor((packetId - ownIds - 1) / Math.floor(givenIds / shards))
}

function meets(ids: Uint16Array, capacity: number): boolean {
  const seen = new Uint8Array(capacity)
  for (const id of ids) {
    if (id === free) continue
    const slot = id & (capacity - 1)
    if (seen[slot] === 1) return true
    seen[slot] = 1
  }
  return false
}

const noBytes = new Uint8Array(0)
const noInts = new Int32Array(0)
const noIds = new Uint16Array(0)
const noPositions = new Float64Array(0)
