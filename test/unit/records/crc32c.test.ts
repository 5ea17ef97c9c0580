import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { crc32c, crc32cCombineShift, crc32cJs } from '../../../src/records/crc32c.js'
import { naiveCrc32c } from './naive.js'

const data = fc.uint8Array({ maxLength: 700 }).map(array => Buffer.from(array))

describe('crc32c', () => {
  it('knows the check value of the Castagnoli polynomial', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
    expect(crc32cJs(Buffer.from('123456789'))).toBe(0xe3069283)
    expect(crc32c(Buffer.alloc(0))).toBe(0)
  })

  it('is the same in JavaScript, in native code and bit by bit', () => {
    fc.assert(
      fc.property(data, bytes => {
        expect(crc32cJs(bytes)).toBe(naiveCrc32c(bytes))
        expect(crc32c(bytes)).toBe(naiveCrc32c(bytes))
      })
    )
  })

  it('goes on from the checksum of what came before', () => {
    fc.assert(
      fc.property(data, data, (a, b) => {
        const whole = naiveCrc32c(Buffer.concat([a, b]))
        expect(crc32c(b, crc32c(a))).toBe(whole)
        expect(crc32cJs(b, crc32cJs(a))).toBe(whole)
      })
    )
  })

  it('combines two checksums without reading the data again', () => {
    fc.assert(
      fc.property(data, data, (a, b) => {
        const combined = crc32cCombineShift(crc32c(a), b.length) ^ crc32c(b)
        expect(combined >>> 0).toBe(naiveCrc32c(Buffer.concat([a, b])))
      })
    )
    const large = Buffer.alloc(3_000_001, 0x5a)
    const head = Buffer.from('head')
    const combined = crc32cCombineShift(crc32c(head), large.length) ^ crc32c(large)
    expect(combined >>> 0).toBe(crc32c(Buffer.concat([head, large])))
  })
})
