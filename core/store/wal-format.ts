// The bytes of the write-ahead log and of segments. Little-endian 32-bit words throughout.
//
// A file is a run of blocks, each at a multiple of 512 bytes (a block never shares a sector with an
// earlier one, so writing it cannot hurt what is synced already). Behind the last block of the log is
// a sector of zeros, then zeros or what the file held before it was recycled: blocks that carry
// another file number.
//
//   block   +0 magic "WRN1"    +4 bytes in all, without the padding to 512
//           +8 CRC-32 of what follows    +12 number of the file    +16 sequence
//           +24 generation    +28 sequence numbers skipped before this block (after a failed write)
//           +32 all blocks with a lower sequence than this were synced before this one was written
//           +40 sequence of the oldest block that the log still needs
//           +48 ops
//
// Sequences count blocks, over all files. A generation is what is retired together: one file, or
// several when blocks are small or messages large. An op starts with a word: its length in words
// << 8 | its type. Sequences, positions and counts are two words, low and high. The CRC starts from
// a secret number of the node (its salt): nobody can publish bytes that look like a block where a
// damaged file is searched for the next one.
//
//   enqueue       flags | targets << 8, sizes of exrk, extra keys, props and body, then the entry's
//                 bytes (see shared/bus/wire.ts) padded to 4, then per target queue and position
//                 (3 words); with `inParts` the bytes are those of the part ops since the last enqueue;
//                 with `timed` each target has two words more, when the message expires there: wall
//                 clock, milliseconds since 1970, 0 for never
//   part          size in bytes, then so many bytes of an entry that is larger than a block
//   settle        queue, position, count: these are settled, as far as they are there
//   settle bits   queue, position, then 32 words, a bit for each of the 1024 positions from there:
//                 where it is 0 the position is settled
//   mark          queue, position, word: what the queue remembers of the message (core/queue/marks.ts)
//                 beside its bytes; the last one holds, until the message is settled
//   annotate      queue, position, bytes, then so many bytes of a header table, padded to 4: what
//                 consumers have put into the message; the last one holds, until it is settled
//   queue deleted queue
//   segment       generation, number: this segment is finished and needed
//   segment dropped  generation, number: not any more
//   delivered     queue, position: no message at or above it had been delivered when the node stopped
//   run           queue, first position, position behind the last, messages, offset of the block where
//                 they begin, bytes of all bodies: what a segment holds of a queue
//   expiries      queue, a position, a time, then pairs of words: a message at the position plus the
//                 first expires at the time plus the second; for messages of the runs before
//
// Of a queue with priorities the messages of each have positions of their own, from level * 2^45 on;
// wherever runs and ranges are meant, they are of one level.
//
// A segment holds what was still alive of one generation when its files were retired: blocks of
// enqueue and part ops (file number = generation, sequences from 1), then blocks of run and expiries
// ops, then a footer of one sector. Without a whole footer it was not finished.
//
//   footer  +0 magic "WRNF"   +4 generation   +8 offset of the run blocks (2 words)
//           +16 their bytes   +20 CRC-32 of the bytes before it

export const blockMagic = 0x314e5257
export const blockHeaderBytes = 48
export const blockAlign = 512
/** So that a damaged sector costs no more than this, and a reader needs no more at once. */
export const blockBytesMax: number = 1024 * 1024
export const walFileBytes: number = 64 * 1024 * 1024

/** Words of a block's header. */
export const BlockWord = {
  magic: 0,
  size: 1,
  crc: 2,
  file: 3,
  sequence: 4,
  generation: 6,
  skipped: 7,
  synced: 8,
  first: 10,
} as const
/** The CRC covers what lies behind it. */
export const crcFrom = 12

export const Op = {
  enqueue: 1,
  part: 2,
  settle: 3,
  settleBits: 4,
  queueDeleted: 5,
  run: 6,
  segment: 7,
  segmentDropped: 8,
  delivered: 9,
  mark: 10,
  expiries: 11,
  annotate: 12,
} as const

export const enqueueHeadWords = 6
/** A larger entry is written in parts, so that an enqueue op with its targets always fits in a block. */
export const inlineBytesMax: number = blockBytesMax / 2
/** Targets of one enqueue op; a message for more queues is written again. */
export const targetsMax = 16384
export const partHeadWords = 2
const plainTargetWords = 3
export const timedTargetWords = 5
export const settleWords = 6
export const settleBitsPositions = 1024
export const settleBitsWords: number = 4 + settleBitsPositions / 32
export const queueDeletedWords = 2
export const segmentWords = 3
export const deliveredWords = 4
export const runWords = 11
/** Of the runs of segments that were made before bytes were counted. */
export const shortRunWords = 9
export const expiriesHeadWords = 6
export const markWords = 5
export const annotateHeadWords = 5
export const footerMagic = 0x464e5257
export const footerBytes: number = blockAlign
/** Bytes of a footer in front of its checksum. */
export const footerCrcAt = 20
/** Blocks of a segment: smaller than a read of the read-ahead, so that each read brings whole ones. */
export const segmentBlockBytes: number = 128 * 1024
/** In the flags byte of an enqueue op: flags of the entry that matter to a queue (EntryFlag), and: */
export const inParts = 128
/** Its targets tell when the message expires. */
export const timed = 1

/** Words of each target of an enqueue op, by its second word. */
export function targetWordsOf(flagsWord: number): number {
  return (flagsWord & timed) === 0 ? plainTargetWords : timedTargetWords
}

/** How many targets an enqueue op has, by its second word. */
export function targetCountOf(flagsWord: number): number {
  return flagsWord >>> 8
}

/** The words of an annotate op from the second on. */
export function annotateRecord(queue: number, position: number, table: Uint8Array): number[] {
  const words = [queue, lowWord(position), highWord(position), table.length]
  const padded = new Uint8Array((table.length + 3) & ~3)
  padded.set(table)
  return [...words, ...new Int32Array(padded.buffer)]
}

/** The table of the annotate op at `words[w..]`. */
export function annotationAt(words: Int32Array, w: number): Uint8Array {
  const at = words.byteOffset + (w + annotateHeadWords) * 4
  return new Uint8Array(words.buffer, at, words[w + annotateHeadWords - 1] as number).slice()
}

const wordRange = 0x100000000

/** Bytes of the entry of the enqueue op at `words[w..]`. */
export function entryBytes(words: Int32Array, w: number): number {
  let bytes = 0
  for (let i = 2; i < enqueueHeadWords; i++) bytes += words[w + i] as number
  return bytes
}

export function lowWord(value: number): number {
  return value | 0
}

export function highWord(value: number): number {
  return Math.floor(value / wordRange)
}

/** The reverse: words as they come from an Int32Array. */
export function joinWords(low: number, high: number): number {
  return (low >>> 0) + high * wordRange
}

/** Bytes that a block of `size` bytes takes in its file. */
export function paddedSize(size: number): number {
  return Math.ceil(size / blockAlign) * blockAlign
}

export function walFileName(number: number): string {
  return `${String(number).padStart(10, '0')}.wal`
}

/** The name of a segment: its generation, and a number within it. */
export function segmentName(generation: number, number: number): string {
  return `${String(generation).padStart(10, '0')}-${number}.seg`
}

/** The reverse of `segmentName`. */
export function segmentId(name: string): { generation: number; number: number } | undefined {
  const found = /^(\d{10})-(\d+)\.seg$/.exec(name)
  return found === null ? undefined : { generation: Number(found[1]), number: Number(found[2]) }
}

/** The number in the name of a file of the log, or undefined. */
export function walFileNumber(name: string): number | undefined {
  const found = /^(\d{10})\.wal$/.exec(name)
  return found === null ? undefined : Number(found[1])
}
