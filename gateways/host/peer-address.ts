// How the transport's addresses are shown and judged.

/** An IPv4 address that came in over an IPv6 socket, in its own form. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

/** True for 127.0.0.0/8 and ::1. */
export function isLoopback(address: string): boolean {
  const plain = plainAddress(address)
  return plain === '::1' || plain.startsWith('127.')
}

/** `host:port`, as in RabbitMQ's logs: IPv6 addresses without brackets there too. */
export function endpoint(address: string, port: number): string {
  return `${address}:${port}`
}
