// The keyed store as sessions use it. Writes that come while another is on its way gather and go as
// one: a storm of retained messages costs as few transactions as the disk takes.

import type { ControlReply } from '../../../shared/bus/control.ts'
import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'

const registryShard = 0
/** Bytes that may be on their way to the disk before whoever writes has to wait. */
const busyBytes: number = 8 * 1024 * 1024

interface Question {
  readonly key: Uint8Array
  readonly done: (value: Uint8Array | undefined) => void
}

type Row = readonly [key: Uint8Array, value: Uint8Array | null]

export class KeyedClient {
  private readonly port: GatewayPort
  private gathered: Map<string, Row[]>
  private waiting: (() => void)[]
  /** By table: what is asked while an answer is on its way. */
  private readonly asked: Map<string, Question[]>
  private underWay: number
  /** On their way, gathered ones included. */
  private bytes: number
  private gatheredBytes: number

  constructor(port: GatewayPort) {
    this.port = port
    this.gathered = new Map()
    this.waiting = []
    this.asked = new Map()
    this.underWay = 0
    this.bytes = 0
    this.gatheredBytes = 0
  }

  /** So much is on its way that no more should be written now. */
  isBusy(): boolean {
    return this.bytes > busyBytes
  }

  /** Writes a row, or takes it away (null); `done` is called when that is on disk. */
  write(table: string, key: Uint8Array, value: Uint8Array | null, done: () => void): void {
    const rows = this.gathered.get(table)
    if (rows === undefined) this.gathered.set(table, [[key, value]])
    else rows.push([key, value])
    const size = key.length + (value?.length ?? 0)
    this.bytes += size
    this.gatheredBytes += size
    this.waiting.push(done)
    if (this.underWay === 0) this.send()
  }

  /** The value of a row, undefined if there is none. What is asked meanwhile is asked together. */
  get(table: string, key: Uint8Array, done: (value: Uint8Array | undefined) => void): void {
    const asked = this.asked.get(table)
    if (asked !== undefined) {
      asked.push({ key, done })
      return
    }
    this.asked.set(table, [])
    this.ask(table, [{ key, done }])
  }

  private ask(table: string, questions: readonly Question[]): void {
    this.send()
    const keys = questions.map(({ key }) => key)
    this.port.request(
      registryShard,
      { op: 'keyedGet', table, keys },
      {
        onReply: (reply) => {
          const next = this.asked.get(table) ?? []
          this.asked.delete(table)
          if (next.length > 0) {
            this.asked.set(table, [])
            this.ask(table, next)
          }
          const values = valuesIn(reply)
          for (const [i, { done }] of questions.entries()) done(values[i])
        },
      },
    )
  }

  /** Takes a row away; `done` gets what it was, or undefined: then somebody else has it. */
  take(table: string, key: Uint8Array, done: (value: Uint8Array | undefined) => void): void {
    this.send()
    this.port.request(
      registryShard,
      { op: 'keyedTake', table, key },
      { onReply: (reply) => done((reply['value'] as Uint8Array | null | undefined) ?? undefined) },
    )
  }

  /** Some rows (see KeyedOp), and where to go on. */
  scan(
    table: string,
    prefix: Uint8Array,
    filter: string | null,
    after: Uint8Array | null,
    bytesMax: number,
    done: (rows: readonly (readonly [Uint8Array, Uint8Array])[], next: Uint8Array | null) => void,
  ): void {
    this.send()
    this.port.request(
      registryShard,
      { op: 'keyedScan', table, prefix, filter, after, bytesMax },
      {
        onReply: (reply) => {
          const { rows, next } = reply as unknown as ScanReply
          done(rows, next)
        },
      },
    )
  }

  /** All rows whose keys begin with `prefix`. For what a single session has. */
  scanAll(
    table: string,
    prefix: Uint8Array,
    done: (rows: readonly (readonly [Uint8Array, Uint8Array])[]) => void,
  ): void {
    const all: (readonly [Uint8Array, Uint8Array])[] = []
    const goOn = (after: Uint8Array | null): void => {
      this.scan(table, prefix, null, after, scanBytes, (rows, next) => {
        all.push(...rows)
        if (next === null) done(all)
        else goOn(next)
      })
    }
    goOn(null)
  }

  private send(): void {
    if (this.waiting.length === 0) return
    const { gathered, gatheredBytes, waiting } = this
    this.gatheredBytes = 0
    this.gathered = new Map()
    this.waiting = []
    let open = gathered.size
    const onReply = (): void => {
      open--
      this.underWay--
      if (open > 0) return
      this.bytes -= gatheredBytes
      for (const done of waiting) done()
      if (this.underWay === 0) this.send()
    }
    this.underWay += gathered.size
    for (const [table, rows] of gathered) {
      this.port.request(registryShard, { op: 'keyedWrite', table, rows }, { onReply })
    }
  }
}

interface ScanReply {
  readonly rows: readonly (readonly [Uint8Array, Uint8Array])[]
  readonly next: Uint8Array | null
}

const scanBytes = 64 * 1024

function valuesIn(reply: ControlReply): readonly (Uint8Array | undefined)[] {
  const values = reply['values']
  return Array.isArray(values) ? values.map((value: Uint8Array | null) => value ?? undefined) : []
}
