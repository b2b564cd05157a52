// The PROXY protocol, versions 1 and 2: a load balancer says first for whom it connects.
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt

import type { Socket } from 'node:net'

/** The ends of the connection as the proxy saw them; undefined: the proxy speaks for itself. */
export interface ProxyFacts {
  readonly address: string
  readonly port: number
  readonly localAddress: string
  readonly localPort: number
}

/** What the first bytes are. */
export type ProxyParse =
  | { readonly state: 'more' }
  | { readonly state: 'invalid' }
  | { readonly state: 'whole'; readonly size: number; readonly facts: ProxyFacts | undefined }

/** The longest header of version 1 (107), and what a balancer may add to one of version 2. */
const headerBytesMax = 4096
const versionOneMax = 107

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const more: ProxyParse = { state: 'more' }
const invalid: ProxyParse = { state: 'invalid' }

/** Looks at what has come so far. */
export function parseProxyHeader(bytes: Buffer): ProxyParse {
  const known = Math.min(bytes.length, signature.length)
  if (bytes.compare(signature, 0, known, 0, known) === 0) return parseBinary(bytes)
  const text = bytes.toString('latin1', 0, Math.min(bytes.length, versionOneMax))
  const size = Math.min(text.length, 6)
  return text.slice(0, size) === 'PROXY '.slice(0, size) ? parseText(text) : invalid
}

// PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n
function parseText(text: string): ProxyParse {
  const end = text.indexOf('\r\n')
  if (end < 0) return text.length < versionOneMax ? more : invalid
  const size = end + 2
  const [, family, address, localAddress, port, localPort] = text.slice(0, end).split(' ')
  if (family === 'UNKNOWN') return { state: 'whole', size, facts: undefined }
  if (family !== 'TCP4' && family !== 'TCP6') return invalid
  if (!isPort(port) || !isPort(localPort) || !address || !localAddress) return invalid
  const facts = { address, localAddress, port: Number(port), localPort: Number(localPort) }
  return { state: 'whole', size, facts }
}

// signature (12) | version and command | family and transport | length (2) | addresses, then TLVs
function parseBinary(bytes: Buffer): ProxyParse {
  if (bytes.length < 16) return more
  const command = bytes.readUInt8(12)
  const family = bytes.readUInt8(13) >> 4
  const length = bytes.readUInt16BE(14)
  const size = 16 + length
  if (command >> 4 !== 2 || (command & 15) > 1 || size > headerBytesMax) return invalid
  if (bytes.length < size) return more
  const local = (command & 15) === 0
  if (local || (family !== 1 && family !== 2)) return { state: 'whole', size, facts: undefined }
  const addressSize = family === 1 ? 4 : 16
  if (length < addressSize * 2 + 4) return invalid
  const portsAt = 16 + addressSize * 2
  return {
    state: 'whole',
    size,
    facts: {
      address: formatAddress(bytes, 16, addressSize),
      localAddress: formatAddress(bytes, 16 + addressSize, addressSize),
      port: bytes.readUInt16BE(portsAt),
      localPort: bytes.readUInt16BE(portsAt + 2),
    },
  }
}

function formatAddress(bytes: Buffer, at: number, size: number): string {
  if (size === 4) return bytes.subarray(at, at + 4).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + i * 2).toString(16))
  // The URL parser knows how an IPv6 address is shortened.
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) <= 65535
}

/**
 * Reads the header that a paused `socket` begins with; the bytes behind it are still to be read when
 * `onHeader` is called. A socket without a header, or without one for `limitMs`, is destroyed.
 */
export function readProxyHeader(
  socket: Socket,
  limitMs: number,
  onHeader: (facts: ProxyFacts | undefined) => void,
  onInvalid: (reason: string) => void,
): void {
  let bytes: Buffer = Buffer.alloc(0)
  const give = (reason: string): void => {
    clearTimeout(timer)
    onInvalid(reason)
    socket.destroy()
  }
  const timer = setTimeout(() => give('no PROXY header in time'), limitMs)
  const onError = (): void => {}
  const onClose = (): void => clearTimeout(timer)
  const onData = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    const parsed = parseProxyHeader(bytes)
    if (parsed.state === 'more') return
    socket.pause()
    socket.removeListener('data', onData)
    if (parsed.state === 'invalid') {
      give('it does not begin with a PROXY header')
      return
    }
    clearTimeout(timer)
    socket.removeListener('error', onError)
    socket.removeListener('close', onClose)
    if (bytes.length > parsed.size) socket.unshift(bytes.subarray(parsed.size))
    onHeader(parsed.facts)
  }
  socket.on('error', onError)
  socket.on('close', onClose)
  socket.on('data', onData)
  socket.resume()
}
