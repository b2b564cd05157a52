// The commands of clients.

/** Ids of commands; `unknown` is what no version has. */
export const Command = {
  unknown: 0,
  connect: 1,
  stomp: 2,
  send: 3,
  subscribe: 4,
  unsubscribe: 5,
  ack: 6,
  nack: 7,
  begin: 8,
  commit: 9,
  abort: 10,
  disconnect: 11,
} as const

const names = [
  '',
  'CONNECT',
  'STOMP',
  'SEND',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'ACK',
  'NACK',
  'BEGIN',
  'COMMIT',
  'ABORT',
  'DISCONNECT',
]

const written: readonly Uint8Array[] = names.map((name) => Buffer.from(name, 'latin1'))

/** The id of the command in `bytes[from..to)`. */
export function commandId(bytes: Uint8Array, from: number, to: number): number {
  for (let id = 1; id < written.length; id++) {
    const name = written[id] as Uint8Array
    if (name.length !== to - from) continue
    let i = 0
    while (i < name.length && name[i] === bytes[from + i]) i++
    if (i === name.length) return id
  }
  return Command.unknown
}

/** The name of a command. */
export function commandName(id: number): string {
  return names[id] ?? ''
}
