// Listeners of brokers under test: only what a test asks for, on ports that are free.

import { serviceListeners } from '../../shared/config/services.ts'

const rows = Object.values(serviceListeners).flat()

/** Environment of a broker that listens nowhere but where flags say so. */
export const amqpOnly: Readonly<Record<string, string>> = Object.fromEntries(
  rows
    .filter(({ key }) => key !== 'listeners.tcp')
    .map(({ key }) => [`WARREN_${key.toUpperCase().replaceAll('.', '_')}`, 'none']),
)

/** The setting that opens the listener of `protocol` (`stomp`, `http/web-stomp`) on a free port. */
export function freeListener(protocol: string): string {
  const row = rows.find((each) => each.protocol === protocol)
  if (row === undefined) throw new Error(`no listener ${protocol}`)
  return `${row.key}.local=127.0.0.1:0`
}

/** The port by protocol, as a broker's output announces them. */
export function announcedPorts(output: string): ReadonlyMap<string, number> {
  const found = output.matchAll(/listening: (\S+) on \S+:(\d+)$/gm)
  return new Map([...found].map(([, protocol = '', port]) => [protocol, Number(port)]))
}
