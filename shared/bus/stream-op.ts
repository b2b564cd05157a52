// Control ops of the stream protocol. Clients of streams publish and subscribe to streams themselves,
// past exchanges, and read the files of streams by themselves: a shard says how far they may.

/** How far a stream is committed (see shared/stream/chunk.ts), as replies carry it. */
export interface WireStreamEnd {
  readonly base: number
  readonly position: number
  readonly next: number
  readonly lastChunk: number
}

/** Streams are named by their queues. Refusals have 404 where there is none of that name. */
export type StreamOp =
  /**
   * [owner] The channel (opened before) publishes to a stream from now on, by streamPublish records.
   * `reference`, where not empty, names the publisher for deduplication. Reply `{}`.
   */
  | {
      readonly op: 'declarePublisher'
      readonly channel: number
      readonly stream: string
      readonly reference: string
    }
  /** [owner] Reply `{ sequence }`: the last publishing id of a named publisher, 0 where there is none. */
  | {
      readonly op: 'publisherSequence'
      readonly connection: number
      readonly stream: string
      readonly reference: string
    }
  /**
   * [owner] Reply `{ id, folder, end }`: from then on, streamAdvanced records of that id come. Where
   * `singleActive`, event consumerActive says when the subscription's turn comes and goes; a turn that
   * ends is answered by `streamStopped`. `subscription` is a consumer slot.
   */
  | {
      readonly op: 'streamSubscribe'
      readonly connection: number
      readonly subscription: number
      readonly stream: string
      /** The consumer's name, for `singleActive`. */
      readonly name: string
      readonly singleActive: boolean
      /** Of which the stream is a partition; empty: of none. */
      readonly superStream: string
    }
  /** [owner] Reply `{}` when no more is said about it. */
  | { readonly op: 'streamUnsubscribe'; readonly subscription: number }
  /** [owner], notice. */
  | { readonly op: 'streamStopped'; readonly subscription: number }
  /** [owner], notice. */
  | {
      readonly op: 'streamStoreOffset'
      readonly connection: number
      readonly stream: string
      readonly name: string
      readonly offset: number
    }
  /** [owner] Reply `{ offset }`, undefined where none is stored. */
  | {
      readonly op: 'streamQueryOffset'
      readonly connection: number
      readonly stream: string
      readonly name: string
    }
  /** [owner] Reply `{ first, end, folder }`. */
  | { readonly op: 'streamStats'; readonly connection: number; readonly stream: string }
  /** [any shard] Reply `{ codes }`: for each stream 0, or the code of why it is refused. */
  | {
      readonly op: 'describeStreams'
      readonly connection: number
      readonly streams: readonly string[]
    }
  /** [any shard] Reply `{ streams }`: where the super stream's exchange routes the key; undefined: all, in order. */
  | {
      readonly op: 'superStream'
      readonly connection: number
      readonly name: string
      readonly routingKey: string | undefined
    }
