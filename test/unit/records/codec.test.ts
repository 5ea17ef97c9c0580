import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { parseBatches, verifyCrc, viewOf } from '../../../src/records/batch.js'
import { loadCodec } from '../../../src/records/compression.js'
import { decodeRecords } from '../../../src/records/decode.js'
import { encodeBatch } from '../../../src/records/encode.js'
import type { CompressionName } from '../../../src/records/types.js'
import { recordContent } from './arbitraries.js'
import { naiveCrc32c, naiveRecords, patched, plain } from './naive.js'

const CODECS: CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

beforeAll(async () => {
  for (const codec of CODECS) await loadCodec(codec)
})

const record = (offset: bigint, value = 'v') => ({
  offset,
  timestamp: 5n,
  key: null,
  value: Buffer.from(value),
  headers: [] as [Buffer, Buffer | null][]
})

describe('encodeBatch and decodeRecords', () => {
  it('lose nothing: null and empty, repeated and non-UTF-8 header names, any timestamp, offsets with holes', () => {
    const log = fc.array(fc.tuple(recordContent, fc.integer({ min: 1, max: 300 })), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(
        log,
        fc.constantFrom(...CODECS),
        fc.bigInt({ min: 0n, max: 2n ** 60n }),
        (items, compression, baseOffset) => {
          let offset = baseOffset
          const records = items.map(([content, step], index) => ({
            ...content,
            offset: (offset += index === 0 ? 0n : BigInt(step))
          }))
          const bytes = encodeBatch({ records, baseOffset, compression })
          const view = viewOf(bytes)
          expect(plain(decodeRecords(view))).toEqual(plain(records))
          if (compression === 'none' || compression === 'gzip' || compression === 'lz4') {
            expect(naiveRecords(bytes)).toEqual(plain(records))
          }
          expect(verifyCrc(view)).toBe(true)
          expect(view.crc).toBe(naiveCrc32c(bytes.subarray(21)))
          expect(view.nextOffset).toBe(offset + 1n)
          expect(view.maxTimestamp).toBe(records.map(r => r.timestamp).reduce((a, b) => (a > b ? a : b)))
        }
      )
    )
  })

  it('writes the producer fields into the header', () => {
    const bytes = encodeBatch({
      records: [record(0n)],
      producerId: 2n ** 40n,
      producerEpoch: 7,
      baseSequence: 99,
      transactional: true
    })
    expect(viewOf(bytes)).toMatchObject({
      producerId: 2n ** 40n,
      producerEpoch: 7,
      baseSequence: 99,
      attributes: 0x10,
      count: 1
    })
  })

  it('names damaged content with its offset instead of returning something', () => {
    const good = encodeBatch({ records: [record(0n), record(1n)], baseOffset: 40n })
    const damage: ((bytes: Buffer) => void)[] = [
      bytes => bytes.writeInt32BE(1, 57),
      bytes => bytes.writeInt32BE(3, 57),
      bytes => bytes.writeInt32BE(-1, 57),
      bytes => (bytes[61] = 0xff),
      bytes => (bytes[61] = 0x02),
      bytes => bytes.writeInt16BE(1, 21)
    ]
    for (const change of damage) {
      const bad = viewOf(patched(good, change))
      expect(() => decodeRecords(bad)).toThrow(expect.objectContaining({ code: 'TWINLOG_CORRUPT_BATCH', offset: 40n }))
    }
  })
})

describe('parseBatches', () => {
  const batch = (offset: bigint) => encodeBatch({ records: [record(offset)], baseOffset: offset })

  it('ignores a batch that is cut off at the end, wherever it is cut', () => {
    const two = Buffer.concat([batch(3n), batch(4n)])
    const size = batch(3n).length
    for (let length = 0; length <= two.length; length++) {
      const offsets = parseBatches(two.subarray(0, length)).map(view => view.baseOffset)
      expect(offsets).toEqual(length < size ? [] : length < 2 * size ? [3n] : [3n, 4n])
    }
  })

  it('refuses message formats before v2 and says what to do', () => {
    const old = batch(3n)
    old[16] = 1
    expect(() => parseBatches(old)).toThrow(expect.objectContaining({ code: 'TWINLOG_UNSUPPORTED', offset: 3n }))
  })

  it('refuses a length that no batch can have instead of looping', () => {
    const bad = batch(3n)
    bad.writeInt32BE(-12, 8)
    expect(() => parseBatches(bad)).toThrow(TwinlogError)
  })
})
