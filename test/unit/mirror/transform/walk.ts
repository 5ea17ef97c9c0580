import { expect } from 'vitest'
import { viewOf } from '../../../../src/records/batch.js'
import { decodeRecords } from '../../../../src/records/decode.js'
import { encodeBatch } from '../../../../src/records/encode.js'
import { readSegments } from '../../../../src/records/segments.js'
import type { CompressionName, DecodedRecord, PlannedBatch, Segment } from '../../../../src/records/types.js'
import { naiveCrc32c, naiveRecords, type PlainRecord, plain } from '../../records/naive.js'

export const TOPIC = { topic: 'orders', partition: 3 }

export function record(
  offset: number | bigint,
  value: string | null,
  more: Partial<DecodedRecord> = {}
): DecodedRecord {
  return {
    offset: BigInt(offset),
    timestamp: 1000n,
    key: null,
    value: value === null ? null : Buffer.from(value),
    headers: [],
    ...more
  }
}

export function batchOf(records: DecodedRecord[], compression: CompressionName = 'none'): Buffer {
  return encodeBatch({ records, baseOffset: (records[0] as DecodedRecord).offset, compression })
}

export function segmentsOf(...batches: Buffer[]): Segment[] {
  const data = Buffer.concat(batches)
  const position = data.readBigInt64BE(0)
  return readSegments(data, { position, isolation: 'read_committed', abortedTransactions: [] }).segments
}

const NAIVE_CODECS = [0, 1, 3]

/** A record on the target and where it comes from. */
export interface Placed {
  source: bigint
  /** Among the records of its source record. */
  index: number
  record: Omit<PlainRecord, 'offset'>
}

/**
 * Reads planned batches the slow way: source offsets are counted from `from` over gaps and expansions. Each offset up to the last
 * record is met in order, as a record or in a gap.
 */
export function walk(batches: PlannedBatch[], from: bigint): { placed: Placed[]; covered: bigint } {
  const placed: Placed[] = []
  let covered = from
  for (const batch of batches) {
    const bytes = batch.bytes
    expect(bytes.readUInt32BE(17)).toBe(naiveCrc32c(bytes.subarray(21)))
    const codec = bytes.readInt16BE(21) & 7
    const records = NAIVE_CODECS.includes(codec) ? naiveRecords(bytes) : plain(decodeRecords(viewOf(bytes)))
    expect(records.length).toBe(batch.count)
    expect(bytes.readInt32BE(23)).toBe(batch.count - 1)
    const left = [...batch.gaps]
    let index = 0
    for (const [at, { offset, ...content }] of records.entries()) {
      expect(offset - (records[0] as PlainRecord).offset).toBe(BigInt(at))
      let expansion = false
      while (left[0]?.index === at) {
        const gap = left.shift() as (typeof left)[number]
        expect(gap.from).toBe(covered)
        if (gap.to < gap.from) {
          expect(at > 0 && !expansion && gap.to === gap.from - 1n).toBe(true)
          expansion = true
        } else {
          expect(gap.to > gap.from).toBe(true)
        }
        covered = gap.to
      }
      if (at === 0) expect(batch.from).toBe(covered)
      index = expansion ? index + 1 : 0
      placed.push({ source: covered, index, record: content })
      covered += 1n
    }
    expect(left).toEqual([])
    expect(batch.to).toBe(covered)
    const times = records.map(r => r.timestamp)
    const newest = times.reduce((max, time) => (time > max ? time : max))
    expect([batch.maxTimestamp, bytes.readBigInt64BE(35)]).toEqual([newest, newest])
    expect(bytes.readInt16BE(21) & ~7).toBe(0)
  }
  return { placed, covered }
}
