/** MQTT 3.1.1 packets of the load generator: made once, and read without being taken apart. */

const PUBLISH = 3
const PUBACK = 4
const SUBACK = 9
const UNSUBACK = 11
const CONNACK = 2

/** CONNECT with a clean session. */
export function connectPacket(clientId: string, user: string, password: string): Buffer {
  const body = Buffer.concat([
    text('MQTT'),
    Buffer.of(4, 0xc2, 0, 0),
    text(clientId),
    text(user),
    text(password),
  ])
  return packet(0x10, body)
}

/** SUBSCRIBE with packet id 1. */
export function subscribePacket(filter: string, qos: number): Buffer {
  return packet(0x82, Buffer.concat([Buffer.of(0, 1), text(filter), Buffer.of(qos)]))
}

/** UNSUBSCRIBE with packet id 1. */
export function unsubscribePacket(filter: string): Buffer {
  return packet(0xa2, Buffer.concat([Buffer.of(0, 1), text(filter)]))
}

/** PUBLISH; with QoS 1 its packet id is to be set at `idAt` of the result. */
export function publishPacket(
  topic: string,
  qos: number,
  retain: boolean,
  payload: Buffer,
): Buffer {
  const id = qos > 0 ? Buffer.of(0, 0) : Buffer.alloc(0)
  const first = 0x30 | (qos << 1) | (retain ? 1 : 0)
  return packet(first, Buffer.concat([text(topic), id, payload]))
}

/** Where the packet id of a PUBLISH is. */
export function packetIdAt(publish: Buffer, topic: string): number {
  let at = 2
  while ((publish[at - 1] as number) > 127) at++
  return at + 2 + Buffer.byteLength(topic)
}

function packet(first: number, body: Buffer): Buffer {
  const head: number[] = [first]
  let left = body.length
  do {
    head.push(left > 127 ? (left & 127) | 128 : left)
    left >>= 7
  } while (left > 0)
  return Buffer.concat([Buffer.from(head), body])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes])
}

/** Counts packets in a stream; collects the ids of PUBLISH packets of QoS 1. */
export class MqttScanner {
  publishes = 0
  acks = 0
  /** CONNACK, SUBACK and UNSUBACK. */
  answers = 0
  /** Ids to acknowledge, two bytes each. */
  readonly ids: number[] = []
  #part: Buffer = Buffer.alloc(0)
  /** Bytes of the current packet that are still to be stepped over. */
  #skip = 0

  push(chunk: Buffer): void {
    let bytes = chunk
    if (this.#part.length > 0) {
      bytes = Buffer.concat([this.#part, chunk])
      this.#part = Buffer.alloc(0)
    }
    const end = bytes.length
    let at = Math.min(this.#skip, end)
    this.#skip -= at
    while (at < end) {
      let to = at + 1
      let size = 0
      let scale = 1
      let byte = 128
      while (to < end && byte > 127) {
        byte = bytes[to++] as number
        size += (byte & 127) * scale
        scale *= 128
      }
      const first = bytes[at] as number
      // The id of a QoS 1 packet lies behind its topic.
      const needed = first >> 4 === PUBLISH && (first & 6) !== 0 ? this.#idEnd(bytes, to, end) : to
      if (byte > 127 || needed > end) {
        this.#part = Buffer.from(bytes.subarray(at))
        return
      }
      this.#count(first, bytes, needed)
      at = to + size
      if (at > end) {
        this.#skip = at - end
        return
      }
    }
  }

  #idEnd(bytes: Buffer, to: number, end: number): number {
    if (to + 2 > end) return end + 1
    return to + 4 + ((bytes[to] as number) << 8) + (bytes[to + 1] as number)
  }

  #count(first: number, bytes: Buffer, idEnd: number): void {
    const type = first >> 4
    if (type === PUBLISH) {
      this.publishes++
      if ((first & 6) !== 0) this.ids.push(bytes[idEnd - 2] as number, bytes[idEnd - 1] as number)
    } else if (type === PUBACK) this.acks++
    else if (type === CONNACK || type === SUBACK || type === UNSUBACK) this.answers++
  }
}

/** PUBACKs for collected ids. */
export function acknowledge(ids: number[]): Buffer {
  const acks = Buffer.allocUnsafe(ids.length * 2)
  for (let i = 0; i < ids.length; i += 2) {
    acks[2 * i] = 0x40
    acks[2 * i + 1] = 2
    acks[2 * i + 2] = ids[i] as number
    acks[2 * i + 3] = ids[i + 1] as number
  }
  ids.length = 0
  return acks
}
