import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verifyCrc, viewOf } from '../../../src/records/batch.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { stampBatch } from '../../../src/records/stamp.js'
import { naiveCrc32c, naiveRecords, patched } from './naive.js'

const stamp = fc.record({
  producerId: fc.bigInt({ min: -1n, max: 2n ** 63n - 1n }),
  producerEpoch: fc.integer({ min: -1, max: 32767 }),
  baseSequence: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
  transactional: fc.boolean()
})

function batchOf(values: string[], attributes: number): Buffer {
  const records = values.map((value, index) => ({
    offset: 1000n + BigInt(index),
    timestamp: 1_795_000_000_000n,
    key: null,
    value: Buffer.from(value),
    headers: []
  }))
  const bytes = encodeBatch({ records, baseOffset: 1000n, producerId: 9n, producerEpoch: 1, baseSequence: 17 })
  return patched(bytes, target => target.writeInt16BE(attributes, 21))
}

describe('stampBatch', () => {
  it('changes the header in place and gets the checksum right without reading the body', () => {
    const values = fc.array(fc.string(), { minLength: 1, maxLength: 30 })
    const attributes = fc.constantFrom(0, 0x10, 0x40, 0x50, 0x80, 0x4000)
    fc.assert(
      fc.property(values, attributes, stamp, stamp, (texts, bits, first, second) => {
        const source = batchOf(texts, bits)
        const bytes = Buffer.from(source)
        for (const wanted of [first, second]) {
          expect(stampBatch(bytes, wanted)).toBe(bytes)
          expect(viewOf(bytes)).toMatchObject({
            baseOffset: 0n,
            producerId: wanted.producerId,
            producerEpoch: wanted.producerEpoch,
            baseSequence: wanted.baseSequence,
            attributes: wanted.transactional ? 0x10 : 0,
            count: texts.length,
            crc: naiveCrc32c(bytes.subarray(21))
          })
          expect(bytes.subarray(57)).toEqual(source.subarray(57))
        }
        expect(naiveRecords(bytes).map(record => record.value)).toEqual(
          texts.map(text => Buffer.from(text).toString('hex'))
        )
      })
    )
  })

  it('keeps codec and timestamp type', () => {
    const bytes = stampBatch(batchOf(['x'], 0x5c), { producerId: 1n, producerEpoch: 0, baseSequence: 0 })
    expect(viewOf(bytes).attributes).toBe(0x0c)
    expect(verifyCrc(viewOf(bytes))).toBe(true)
  })

  it('does not bless a body that was damaged on the way', () => {
    const bytes = batchOf(['some value', 'another'], 0x10)
    for (const position of [62, bytes.length - 1, 24, 58]) {
      const damaged = Buffer.from(bytes)
      damaged[position] = (damaged[position] as number) ^ 1
      stampBatch(damaged, { producerId: 77n, producerEpoch: 3, baseSequence: 1 })
      expect(verifyCrc(viewOf(damaged))).toBe(false)
    }
  })
})
