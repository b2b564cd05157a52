// The kinds of setting that the configuration table is made of, and the values they have.

/** Where to listen. `host` is empty for every interface; port 0 takes any free one. */
export interface ListenerAddress {
  readonly name: string
  readonly host: string
  readonly port: number
}

interface Described {
  /** One sentence or two for the reader of README.md. */
  readonly doc: string
  /** Other spellings of the key in RabbitMQ's releases. */
  readonly aliases?: readonly string[]
  /** RabbitMQ's variable for the same setting; `WARREN_<KEY>` is always there and wins. */
  readonly env?: string
}

/** A whole number. Where the default is `infinity`, the word can be given too. */
export interface IntegerSetting extends Described {
  readonly type: 'integer'
  readonly default: number | 'infinity'
  readonly min: number
  readonly max: number
  readonly unit?: string
  /** How the value is found where nobody sets it; `default` is then 0 and never seen. */
  readonly derived?: string
}

/** A number of bytes, also as `64MiB` (powers of 1024) or `2GB` (powers of 1000). */
export interface BytesSetting extends Described {
  readonly type: 'bytes'
  readonly default: number
  readonly min: number
  readonly max: number
  readonly derived?: string
}

/** Milliseconds, also as `500ms`, `10s`, `5m` or `1h`. */
export interface DurationSetting extends Described {
  readonly type: 'duration'
  readonly default: number
  readonly min: number
  readonly max: number
}

/** A fraction between `min` and `max`. */
export interface RatioSetting extends Described {
  readonly type: 'ratio'
  readonly default: number
  readonly min: number
  readonly max: number
}

export interface BooleanSetting extends Described {
  readonly type: 'boolean'
  readonly default: boolean
}

/** Text; empty where it is not set. `secret` keeps it out of `warren config show` and of logs. */
export interface StringSetting extends Described {
  readonly type: 'string'
  readonly default: string
  readonly secret?: true
  readonly derived?: string
}

/** One word of a few. */
export interface EnumSetting extends Described {
  readonly type: 'enum'
  readonly default: string
  readonly values: readonly string[]
}

/** `key.NAME = [HOST:]PORT`, or `key = none`. */
export interface ListenersSetting extends Described {
  readonly type: 'listeners'
  readonly default: readonly ListenerAddress[]
}

/** `key.1 = word`, `key.2 = word` in order of the numbers; any text unless `values` names the words. */
export interface ListSetting extends Described {
  readonly type: 'list'
  readonly default: readonly string[]
  readonly values?: readonly string[]
}

/** `key.NAME = true`: the set of names that are true; `key = none` for none. */
export interface FlagsSetting extends Described {
  readonly type: 'flags'
  readonly default: readonly string[]
}

/** One field of a record; `words` are separated by commas or spaces. */
export interface RecordField {
  readonly type: 'string' | 'words'
  readonly default: string
  readonly doc: string
  readonly secret?: true
}

/** `key.NAME.FIELD = value`: one record per name. */
export interface RecordsSetting extends Described {
  readonly type: 'records'
  readonly default: readonly []
  readonly fields: { readonly [field: string]: RecordField }
}

/** Settings with one value. */
export type ScalarSetting =
  | IntegerSetting
  | BytesSetting
  | DurationSetting
  | RatioSetting
  | BooleanSetting
  | StringSetting
  | EnumSetting

/** Settings with members, each on a line of its own. */
export type MemberSetting = ListenersSetting | ListSetting | FlagsSetting | RecordsSetting

export type Setting = ScalarSetting | MemberSetting

/** A configuration table: settings by their key. */
export interface SettingTable {
  readonly [key: string]: Setting
}

type FieldValue<F> = F extends { readonly type: 'words' } ? readonly string[] : string

/** A record's value: its name in the key, and every field. */
export type RecordValue<Fields> = { readonly id: string } & {
  readonly [F in keyof Fields]: FieldValue<Fields[F]>
}

/** The type of a setting's value. */
export type SettingValue<S> = S extends {
  readonly type: 'integer' | 'bytes' | 'duration' | 'ratio'
}
  ? number
  : S extends { readonly type: 'boolean' }
    ? boolean
    : S extends { readonly type: 'enum'; readonly values: readonly (infer Word)[] }
      ? Word
      : S extends { readonly type: 'string' }
        ? string
        : S extends { readonly type: 'listeners' }
          ? readonly ListenerAddress[]
          : S extends { readonly type: 'list'; readonly values: readonly (infer Word)[] }
            ? readonly Word[]
            : S extends { readonly type: 'list' | 'flags' }
              ? readonly string[]
              : S extends { readonly type: 'records'; readonly fields: infer Fields }
                ? readonly RecordValue<Fields>[]
                : never
