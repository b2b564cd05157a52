// Which shard owns a queue. Gateways and shards must agree, so the hash is here and never changes
// while a node has data.

const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193

/** FNV-1a over the UTF-8 bytes of `text`, going on from `hash`; 32 bits, unsigned. */
export function hashText(text: string, hash: number = FNV_OFFSET): number {
  let h = hash
  for (let i = 0; i < text.length; i++) {
    const c = text.codePointAt(i) as number
    if (c < 0x80) {
      h = Math.imul(h ^ c, FNV_PRIME)
    } else if (c < 0x800) {
      h = Math.imul(h ^ (0xc0 | (c >> 6)), FNV_PRIME)
      h = Math.imul(h ^ (0x80 | (c & 0x3f)), FNV_PRIME)
    } else if (c < 0x10000) {
      h = Math.imul(h ^ (0xe0 | (c >> 12)), FNV_PRIME)
      h = Math.imul(h ^ (0x80 | ((c >> 6) & 0x3f)), FNV_PRIME)
      h = Math.imul(h ^ (0x80 | (c & 0x3f)), FNV_PRIME)
    } else {
      i++ // the low half of the surrogate pair
      h = Math.imul(h ^ (0xf0 | (c >> 18)), FNV_PRIME)
      h = Math.imul(h ^ (0x80 | ((c >> 12) & 0x3f)), FNV_PRIME)
      h = Math.imul(h ^ (0x80 | ((c >> 6) & 0x3f)), FNV_PRIME)
      h = Math.imul(h ^ (0x80 | (c & 0x3f)), FNV_PRIME)
    }
  }
  return h >>> 0
}

/** FNV-1a over `bytes[start, end)`, going on from `hash`; equals `hashText` of the same UTF-8. */
export function hashBytes(
  bytes: Uint8Array,
  start: number,
  end: number,
  hash: number = FNV_OFFSET,
): number {
  let h = hash
  for (let i = start; i < end; i++) h = Math.imul(h ^ (bytes[i] as number), FNV_PRIME)
  return h >>> 0
}

/** Spreads the bits of a 32-bit hash, so that `% n` is fair even for names that differ little. */
export function mixHash(hash: number): number {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** The shard, 0 to `shards` - 1, that owns queue `name` of `vhost`. */
export function placeQueue(vhost: string, name: string, shards: number): number {
  if (shards === 1) return 0
  // A zero byte between the two keeps ('a', 'bc') apart from ('ab', 'c').
  const afterVhost = Math.imul(hashText(vhost), FNV_PRIME)
  return mixHash(hashText(name, afterVhost)) % shards
}
