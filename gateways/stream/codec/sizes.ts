// Sizes that the codec works by.

/** What is copied into the outbox at a time: blocks hold 128 KiB. */
export const blockPieceBytes: number = 64 * 1024
/** Size, key, version and subscription of a deliver frame; with the committed chunk: version 2. */
export const deliverHeadBytes = 9
export const deliverHeadBytes2 = 17
/** Publishing ids in one confirm. */
export const confirmIdsMax = 4096
