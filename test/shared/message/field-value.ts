// Arbitrary field values for property tests.

import fc from 'fast-check'
import type { FieldTable, FieldValue } from '../../../shared/message/value.ts'

const i64 = fc
  .bigInt({ min: -0x8000_0000_0000_0000n, max: 0x7fff_ffff_ffff_ffffn })
  .map((value) => (isSafe(value) ? Number(value) : value))

const u64 = fc
  .bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn })
  .map((value) => (isSafe(value) ? Number(value) : value))

const leaf: fc.Arbitrary<FieldValue> = fc.oneof(
  fc.boolean().map((value): FieldValue => ({ type: 't', value })),
  fc.integer({ min: -128, max: 127 }).map((value): FieldValue => ({ type: 'b', value })),
  fc.nat(255).map((value): FieldValue => ({ type: 'B', value })),
  fc.integer({ min: -32768, max: 32767 }).map((value): FieldValue => ({ type: 's', value })),
  fc.nat(65535).map((value): FieldValue => ({ type: 'u', value })),
  fc.integer().map((value): FieldValue => ({ type: 'I', value })),
  fc.nat(0xffff_ffff).map((value): FieldValue => ({ type: 'i', value })),
  i64.map((value): FieldValue => ({ type: 'l', value })),
  u64.map((value): FieldValue => ({ type: 'T', value })),
  fc.float({ noNaN: true }).map((value): FieldValue => ({ type: 'f', value })),
  fc.double({ noNaN: true }).map((value): FieldValue => ({ type: 'd', value })),
  fc
    .tuple(fc.nat(255), fc.nat(0xffff_ffff))
    .map(([scale, unscaled]): FieldValue => ({ type: 'D', value: { scale, unscaled } })),
  fc.string({ unit: 'grapheme' }).map((value): FieldValue => ({ type: 'S', value })),
  fc.constant<FieldValue>({ type: 'S', value: Uint8Array.of(0xff, 0x00) }),
  fc.uint8Array({ maxLength: 20 }).map((value): FieldValue => ({ type: 'x', value })),
  fc.constant<FieldValue>({ type: 'V', value: null }),
)

const key = fc.oneof(fc.constantFrom('CC', 'BCC', '__proto__', 'x-death'), fc.string())

const { value } = fc.letrec<{ value: FieldValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc
      .array(tie('value'), { maxLength: 4 })
      .map((values): FieldValue => ({ type: 'A', value: values })),
    fc
      .array(fc.tuple(key, tie('value')), { maxLength: 4 })
      .map((entries): FieldValue => ({ type: 'F', value: entries })),
  ),
}))

export const fieldValue: fc.Arbitrary<FieldValue> = value

export const fieldTable: fc.Arbitrary<FieldTable> = fc.array(fc.tuple(key, value), {
  maxLength: 6,
})

function isSafe(wide: bigint): boolean {
  return Number.isSafeInteger(Number(wide))
}
