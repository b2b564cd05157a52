// The stream protocol's numbers: keys of commands, codes of responses, and which versions of each
// command a client may use.

export const Key = {
  declarePublisher: 1,
  publish: 2,
  publishConfirm: 3,
  publishError: 4,
  queryPublisherSequence: 5,
  deletePublisher: 6,
  subscribe: 7,
  deliver: 8,
  credit: 9,
  storeOffset: 10,
  queryOffset: 11,
  unsubscribe: 12,
  create: 13,
  delete: 14,
  metadata: 15,
  metadataUpdate: 16,
  peerProperties: 17,
  saslHandshake: 18,
  saslAuthenticate: 19,
  tune: 20,
  open: 21,
  close: 22,
  heartbeat: 23,
  route: 24,
  partitions: 25,
  consumerUpdate: 26,
  exchangeCommandVersions: 27,
  streamStats: 28,
  createSuperStream: 29,
  deleteSuperStream: 30,
  resolveOffsetSpec: 31,
} as const

/** Set in the key of a response. */
export const responseBit = 0x8000

export const Code = {
  ok: 1,
  noStream: 2,
  subscriptionExists: 3,
  noSubscription: 4,
  streamExists: 5,
  streamUnavailable: 6,
  noMechanism: 7,
  authenticationFailure: 8,
  saslError: 9,
  saslChallenge: 10,
  loopbackOnly: 11,
  vhostAccessFailure: 12,
  unknownFrame: 13,
  frameTooLarge: 14,
  internalError: 15,
  accessRefused: 16,
  preconditionFailed: 17,
  noPublisher: 18,
  noOffset: 19,
  otherMechanism: 20,
  otherUser: 21,
} as const

/** Of an offset specification; `none`: in a consumer update alone. */
export const OffsetType = {
  none: 0,
  first: 1,
  last: 2,
  next: 3,
  offset: 4,
  timestamp: 5,
} as const

/** What exchangeCommandVersions answers: all at version 1, but publish. */
export const commandVersions: readonly (readonly [key: number, min: number, max: number])[] = [
  Key.declarePublisher,
  Key.publish,
  Key.queryPublisherSequence,
  Key.deletePublisher,
  Key.subscribe,
  Key.credit,
  Key.storeOffset,
  Key.queryOffset,
  Key.unsubscribe,
  Key.create,
  Key.delete,
  Key.metadata,
  Key.close,
  Key.heartbeat,
  Key.route,
  Key.partitions,
  Key.exchangeCommandVersions,
  Key.streamStats,
  Key.createSuperStream,
  Key.deleteSuperStream,
  Key.resolveOffsetSpec,
].map((key) => [key, 1, key === Key.publish ? 2 : 1])
