// The hot records of the bus. Each is Int32 words; word 0 = length << 8 | type (see ring.ts).
//
// An *entry* is a message's bytes in a slab, contiguous: [exrk][extra][props][body].
//   exrk   exchange shortstr, routing-key shortstr (len byte + bytes each), as on the 0-9-1 wire
//   extra  nothing, or: count byte, then that many shortstrs (from CC and BCC), then the native part
//          of a protocol that has one (message/native-part.ts)
//   props  property flags and property list of a 0-9-1 content header, whatever protocol published it
// Every record that carries an entry has the same seven words, at an offset that differs by record:
//   +0 slab  +1 offset  +2 exrk size | (without extra keys: deliver copies this many bytes)
//   +3 extra size  +4 props size  +5 body size  +6 further extents
// followed by three words (slab, offset, size) per further extent of the body. The first extent
// holds exrk, extra keys and props whole, and what of the body fits behind them.

export const Record = {
  /** Gateway -> shard. [1] channel [2] flags [3..9] entry, extents */
  publish: 1,
  /** Gateway -> shard: no more publishes will refer to this slab. [1] slab */
  seal: 2,
  /** Gateway -> shard. [1] channel [2] delivery id [3] outcome [4] 1: all up to and with the id */
  settle: 3,
  /** Gateway -> shard: bytes of deliveries that left the socket. [1] connection [2] bytes */
  credit: 4,
  /** Gateway -> shard: tokens of a channel with global prefetch. [1] channel [2] count */
  grant: 5,
  /**
   * Shard -> gateway. [1] consumer [2] delivery id [3] flags [4..10] entry, extents, then for a
   * consumer that asked for positions: its message's place in the queue, low and high word
   */
  deliver: 6,
  /** Shard -> gateway: answer to `get`. [1] request id [2] delivery id [3] flags [4..10] entry [last] ready messages left */
  got: 7,
  /** Shard -> gateway: the next `count` publishes are settled so. [1] channel [2] count [3] 0 ack, 1 nack */
  confirm: 8,
  /**
   * Shard -> gateway. [1] channel [2] reply code [3] how many publishes of the channel that are to be
   * confirmed came before it (wrapping int32) [4..10] entry, extents
   */
  returned: 9,
  /** Shard -> gateway: a channel with global prefetch has messages but no token. [1] channel */
  want: 10,
  /** Shard -> gateway: tokens that found no message. [1] channel [2] count */
  unused: 11,
  /** Both ways, msgpack. [1] request id (0: one-way) [2] bytes in this part [3] 1: more parts follow, then bytes */
  control: 12,
  /** Both ways, msgpack: the answer. As control. */
  reply: 13,
  /** Shard -> shard. [1] token [2] flags [3..9] entry, extents, then count and queue ids */
  forward: 14,
  /** Shard -> shard: forwarded publishes up to a token are as durable as promised. [1] token [2] 0 ack, 1 nack */
  forwarded: 15,
  /**
   * Gateway -> shard: credit of a credited consumer. [1] consumer [2] delivery-count of the receiver
   * (serial number) [3] credit, at most 2^31 - 1 [4] LinkFlag bits
   */
  linkCredit: 16,
  /**
   * Shard -> gateway, behind the deliveries that it counts: how a credited consumer stands; the
   * answer to drain and echo. [1] consumer [2] delivery-count of the sender [3] credit left
   * [4] messages that wait [5] LinkFlag.drain: what credit was left has been used up
   */
  linkState: 17,
  /**
   * Gateway -> shard: entries for a stream, as the stream protocol has them. [1] channel [2] entries
   * [3] messages [4..10] entry, extents. The entry has no keys. Its props are nothing, or: bytes of
   * publishing ids u32, publishing ids u64 (for deduplication, one per entry, rising), then filter
   * values, u16 size and bytes each (empty: a message has none). Its body is the entries.
   */
  streamPublish: 18,
  /**
   * Shard -> gateway: a stream is committed so far (see WireStreamEnd). [1] stream [2..3] next
   * [4..5] last chunk [6..7] base [8..9] position; low word first
   */
  streamAdvanced: 19,
  /**
   * Shard -> gateway, as `confirm`, but due only when the shard's log is so far (see ConfirmGate).
   * [4] position
   */
  confirmAt: 20,
} as const

/** Flags of linkCredit and linkState. */
export const LinkFlag = {
  /** Credit that finds no message at once is used up. */
  drain: 1,
  /** A linkState is wanted. */
  echo: 2,
} as const

/** Flags of publish, deliver, got and forward. */
export const EntryFlag = {
  mandatory: 1,
  persistent: 2,
  /** The channel is in confirm mode: this publish must be answered. */
  confirm: 4,
  redelivered: 8,
  /** Part of an open transaction: hold until commit. */
  transactional: 16,
  /** The props contain a header table. */
  headers: 32,
  /** `got`: the queue was empty, there is no entry. */
  empty: 64,
  /** A kept or forwarded message: its x-death is the broker's own, not a client's. The same bit as `empty`. */
  died: 64,
  /** `deliver`, `got`: settled on delivery, no delivery id. */
  settled: 128,
  /** The props contain an expiration. */
  expiration: 256,
  /** Publish: a refusal concerns this message alone (event publishRefused), not the channel. */
  lenient: 512,
  /**
   * Publish: to the durable queues of this shard alone. All others have had the message, before a
   * crash.
   */
  here: 1024,
} as const

/**
 * What a protocol has to say of a message beyond its 0-9-1 properties: behind the further keys in
 * the extra region, one of these as a byte, then bytes that its gateway alone understands.
 */
export const EntryForm = {
  amqp10: 1,
  mqtt: 2,
} as const

/** Publish and forward: bits 16-23 of the flags are the message's priority, 0 where it has none. */
export const priorityShift = 16

/** The priority in flags of a publish. */
export function priorityOf(flags: number): number {
  return (flags >>> priorityShift) & 255
}

/**
 * In the flags of deliver and got, from queues that count: bits 12-21 deliveries of the message that
 * failed, bits 22-31 those that came back in all. Counts stop at 1023.
 */
export const failedShift = 12
export const acquiredShift = 22
export const deliveredCountMax = 1023

/** Outcomes of settle. */
export const Outcome = {
  /** Processed: forget it. */
  complete: 0,
  /** Back to its place in the queue. */
  requeue: 1,
  /** Dead-letter or drop. */
  discard: 2,
  /** As requeue, and the delivery counts as failed where a queue limits those. */
  requeueFailed: 3,
} as const

export const publishEntryAt = 3
export const deliverEntryAt = 4
export const streamPublishEntryAt = 4
export const entryWords = 7
export const extentWords = 3
/** Further extents that the largest message (512 MiB in 2 MiB slabs) can have, and a few spare. */
export const extentsMax = 260
export const publishWords: number = publishEntryAt + entryWords
export const deliverWords: number = deliverEntryAt + entryWords
export const settleWords = 5
export const linkCreditWords = 5
export const confirmWords = 4
export const confirmAtWords = 5
export const controlHeaderWords = 4

/** Bytes of window that a delivery costs; shard and gateway count alike. */
export function deliveryCost(exrkSize: number, propsSize: number, bodySize: number): number {
  // 64: frame headers, consumer tag and delivery tag, roughly.
  return 64 + exrkSize + propsSize + bodySize
}

/**
 * Window of a connection per shard: enough to keep a socket busy over a scheduling quantum (4 ms at
 * 250 MB/s), little enough that 10 000 stuck clients cost what they are allowed to.
 */
export const connectionWindow: number = 1024 * 1024
