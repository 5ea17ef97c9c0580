import fc from 'fast-check'
import type { DecodedRecord } from '../../../src/records/types.js'

const bytes = fc.uint8Array({ maxLength: 40 }).map(array => Buffer.from(array))
const nullableBytes = fc.option(bytes, { nil: null })
// Few different names, so that they repeat; some are not UTF-8.
const headerName = fc.oneof(
  fc.constantFrom(Buffer.from('a'), Buffer.from(''), Buffer.from([0xff, 0xfe]), Buffer.from([0xc3])),
  bytes
)
const headers = fc.array(fc.tuple(headerName, nullableBytes), { maxLength: 4 })

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const now = fc.integer({ min: -5_000_000, max: 5_000_000 }).map(delta => 1_795_000_000_000n + BigInt(delta))
/** Mostly what producers write; now and then anything an int64 holds. */
export const timestamp = fc.oneof({ weight: 12, arbitrary: now }, fc.constantFrom(-1n, 0n), int64)

export type RecordContent = Omit<DecodedRecord, 'offset'>

export const recordContent: fc.Arbitrary<RecordContent> = fc.record({
  timestamp,
  key: nullableBytes,
  value: nullableBytes,
  headers
})
