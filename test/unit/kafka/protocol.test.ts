import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'

type Field =
  | { kind: 'int8' | 'int16' | 'int32' | 'uvarint'; value: number }
  | { kind: 'int64'; value: bigint }
  | { kind: 'boolean'; value: boolean }
  | { kind: 'string'; value: string | null }
  | { kind: 'bytes'; value: Buffer }
  | { kind: 'uuid'; value: string }
  | { kind: 'array'; value: number[] }

const int = (kind: 'int8' | 'int16' | 'int32', bits: number) =>
  fc.record({ kind: fc.constant(kind), value: fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 }) })

const field: fc.Arbitrary<Field> = fc.oneof(
  int('int8', 8),
  int('int16', 16),
  int('int32', 32),
  fc.record({ kind: fc.constant('uvarint' as const), value: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }),
  fc.record({ kind: fc.constant('int64' as const), value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
  fc.record({ kind: fc.constant('boolean' as const), value: fc.boolean() }),
  fc.record({ kind: fc.constant('string' as const), value: fc.option(fc.string({ unit: 'binary', maxLength: 300 })) }),
  fc.record({
    kind: fc.constant('bytes' as const),
    value: fc.uint8Array({ maxLength: 700 }).map(bytes => Buffer.from(bytes))
  }),
  fc.record({
    kind: fc.constant('uuid' as const),
    value: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('base64url'))
  }),
  fc.record({
    kind: fc.constant('array' as const),
    value: fc.array(fc.integer({ min: -1000, max: 1000 }), { maxLength: 20 })
  })
)

function write(fields: Field[]): Writer {
  const writer = new Writer()
  for (const item of fields) {
    if (item.kind === 'string') writer.compactString(item.value)
    else if (item.kind === 'bytes') writer.compactBytes(item.value)
    else if (item.kind === 'array') writer.compactArray(item.value, value => writer.int32(value))
    else if (item.kind === 'int64') writer.int64(item.value)
    else if (item.kind === 'boolean') writer.boolean(item.value)
    else if (item.kind === 'uuid') writer.uuid(item.value)
    else writer[item.kind](item.value)
  }
  return writer
}

function read(reader: Reader, kind: Field['kind']): Field['value'] {
  if (kind === 'string') return reader.compactNullableString()
  if (kind === 'bytes') return reader.compactBytes()
  if (kind === 'array') return reader.compactInt32Array()
  return reader[kind]()
}

describe('writer and reader', () => {
  it('read what was written, whatever it is', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 40 }), fields => {
        const writer = write(fields)
        const { length } = writer
        const bytes = writer.toBuffer()
        expect(bytes.length).toBe(length)
        const reader = new Reader(bytes)
        for (const { kind, value } of fields) expect(read(reader, kind)).toEqual(value)
        expect(reader.remaining).toBe(0)
      })
    )
  })

  it('a response cut anywhere is a protocol error, never a wrong value of another kind of error', () => {
    fc.assert(
      fc.property(
        fc.array(field, { minLength: 1, maxLength: 10 }),
        fc.double({ min: 0, max: 0.99, noNaN: true }),
        (fields, where) => {
          const bytes = write(fields).toBuffer()
          const reader = new Reader(bytes.subarray(0, Math.floor(bytes.length * where)))
          let error: unknown
          try {
            for (const { kind } of fields) read(reader, kind)
          } catch (thrown) {
            error = thrown
          }
          expect(error).toBeInstanceOf(TwinlogError)
          expect(error).toMatchObject({ code: 'TWINLOG_PROTOCOL' })
        }
      )
    )
  })

  it('any bytes at all end in values or in a protocol error', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.array(field, { minLength: 1, maxLength: 10 }),
        (bytes, fields) => {
          const reader = new Reader(Buffer.from(bytes))
          try {
            for (const { kind } of fields) read(reader, kind)
          } catch (error) {
            expect(error).toMatchObject({ code: 'TWINLOG_PROTOCOL' })
          }
        }
      )
    )
  })

  it('a damaged array count is refused before anything is allocated for it', () => {
    const bytes = new Writer()
      .uvarint(2 ** 31)
      .int32(1)
      .toBuffer()
    expect(() => new Reader(bytes).compactInt32Array()).toThrow(/array of 2147483647 elements in 4 bytes/)
  })

  it('record bytes are passed on by reference, not copied', () => {
    const records = Buffer.alloc(1_000_000, 7)
    const segments = new Writer().int32(1).compactBytes(records).tags().finish()
    expect(segments).toHaveLength(3)
    expect(segments[1]).toBe(records)
  })

  it('gives known tags to the caller and skips unknown ones', () => {
    const bytes = new Writer()
      .uvarint(2)
      .uvarint(1)
      .uvarint(4)
      .int32(9)
      .uvarint(5)
      .uvarint(2)
      .int16(3)
      .int8(77)
      .toBuffer()
    const reader = new Reader(bytes)
    const seen: [number, number][] = []
    reader.tags((tag, content) => {
      if (tag === 1) seen.push([tag, content.int32()])
    })
    expect(seen).toEqual([[1, 9]])
    expect(reader.int8()).toBe(77)
  })

  it('a string that is not a topic id is refused', () => {
    for (const id of ['', 'short', '!'.repeat(22), 'A'.repeat(23)])
      expect(() => new Writer().uuid(id)).toThrow(/topic id/)
  })
})
