import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as varint from '../../../src/records/varint.js'

/** Protocol buffers' zigzag encoding, word for word from its description. */
function zigzagBytes(value: bigint): number[] {
  let raw = value >= 0n ? value * 2n : value * -2n - 1n
  const bytes: number[] = []
  for (; raw > 127n; raw /= 128n) bytes.push(Number(raw % 128n) + 128)
  return [...bytes, Number(raw)]
}

const int32 = fc.oneof(fc.integer(), fc.integer({ min: -200, max: 200 }), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1))
const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -(2n ** 53n), max: 2n ** 53n }),
  fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 2n ** 51n, 2n ** 51n - 1n, -(2n ** 51n), 2n ** 31n, -(2n ** 31n) - 1n)
)
const safe = fc
  .oneof(
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true, min: -(2 ** 52), max: 2 ** 52 }).map(Math.trunc)
  )
  .map(value => value + 0)

describe('varint', () => {
  it('writes and reads every int32', () => {
    fc.assert(
      fc.property(int32, value => {
        const data = Buffer.alloc(12, 0xee)
        const end = varint.writeVarint(data, 1, value)
        expect([...data.subarray(1, end)]).toEqual(zigzagBytes(BigInt(value)))
        expect(varint.sizeOfVarint(value)).toBe(end - 1)
        const cursor = { position: 1 }
        expect(varint.readVarint(data, cursor)).toBe(value)
        expect(cursor.position).toBe(end)
      })
    )
  })

  it('writes and reads every int64 as bigint, and as a number exactly when that is exact', () => {
    fc.assert(
      fc.property(int64, value => {
        const data = Buffer.alloc(12, 0xee)
        const end = varint.writeVarlongBig(data, 0, value)
        expect([...data.subarray(0, end)]).toEqual(zigzagBytes(value))
        expect(varint.sizeOfVarlongBig(value)).toBe(end)
        const cursor = { position: 0 }
        expect(varint.readVarlongBig(data, cursor)).toBe(value)
        expect(cursor.position).toBe(end)
        const numeric = { position: 0 }
        const number = varint.readVarlong(data, numeric)
        expect(numeric.position).toBe(end)
        if (value < 2n ** 51n && value >= -(2n ** 51n)) expect(BigInt(number)).toBe(value)
        else expect(number).toBeNaN()
      })
    )
  })

  it('writes numbers up to 2^52 as it writes bigints', () => {
    fc.assert(
      fc.property(safe, value => {
        const data = Buffer.alloc(12)
        const end = varint.writeVarlong(data, 0, value)
        expect([...data.subarray(0, end)]).toEqual(zigzagBytes(BigInt(value)))
        expect(varint.sizeOfVarlong(value)).toBe(end)
      })
    )
  })

  it('refuses what is too long or cut off', () => {
    const endless = Buffer.alloc(12, 0xff)
    expect(() => varint.readVarint(endless, { position: 0 })).toThrow(RangeError)
    expect(() => varint.readVarlong(endless, { position: 0 })).toThrow(RangeError)
    expect(() => varint.readVarlongBig(endless, { position: 0 })).toThrow(RangeError)
    expect(() => varint.readVarint(endless.subarray(0, 2), { position: 0 })).toThrow(RangeError)
    expect(() => varint.readVarlong(endless.subarray(0, 2), { position: 0 })).toThrow(RangeError)
    expect(() => varint.readVarlongBig(endless.subarray(0, 2), { position: 0 })).toThrow(RangeError)
  })
})
