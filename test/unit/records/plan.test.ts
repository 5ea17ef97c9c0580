import { beforeAll, describe, expect, it } from 'vitest'
import { carve } from '../../../src/records/carve.js'
import { loadCodec } from '../../../src/records/compression.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { dropFirstRecords, neededCodecs, planBatches } from '../../../src/records/plan.js'
import { sourceOffsetAt } from '../../../src/records/rewrite.js'
import { readSegments } from '../../../src/records/segments.js'
import type { CompressionName, PlannedBatch, Segment } from '../../../src/records/types.js'

beforeAll(async () => {
  for (const codec of ['gzip', 'lz4'] as const) await loadCodec(codec)
})

const OPTIONS = { maxBatchBytes: 10_000, coalesceBelowBytes: 1000 }

function batch(offset: number, values: string[], compression: CompressionName = 'none'): Buffer {
  const records = values.map((value, index) => ({
    offset: BigInt(offset + index),
    timestamp: BigInt(offset),
    key: null,
    value: Buffer.from(value),
    headers: []
  }))
  return encodeBatch({ records, baseOffset: BigInt(offset), compression })
}

function segmentsOf(...batches: Buffer[]): Segment[] {
  const data = Buffer.concat(batches)
  const position = data.readBigInt64BE(0)
  return readSegments(data, { position, isolation: 'read_committed', abortedTransactions: [] }).segments
}

function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  copy[copy.length - 2] = (copy[copy.length - 2] as number) ^ 1
  return copy
}

const shape = (planned: PlannedBatch[]) => planned.map(({ via, from, to, count }) => `${via} ${from}-${to} ${count}`)
const big = (offset: number) => batch(offset, ['x'.repeat(2000)])

describe('planBatches', () => {
  it('passes big batches as views, without a copy', () => {
    const source = big(5)
    const plan = planBatches(segmentsOf(source), OPTIONS)
    expect(shape(plan.batches)).toEqual(['pass 5-6 1'])
    const [planned] = plan.batches
    expect(planned?.bytes.equals(source)).toBe(true)
    expect(planned?.bytes.length).toBeLessThan(planned?.bytes.buffer.byteLength ?? 0)
  })

  it('puts small neighbours together and leaves a lone small batch as it is', () => {
    const plan = planBatches(
      segmentsOf(batch(0, ['a']), big(1), batch(2, ['b']), batch(3, ['c', 'd']), big(5)),
      OPTIONS
    )
    expect(shape(plan.batches)).toEqual(['pass 0-1 1', 'pass 1-2 1', 'coalesce 2-5 3', 'pass 5-6 1'])
  })

  it('does not put batches of different codecs together', () => {
    const segments = segmentsOf(
      batch(0, ['a']),
      batch(1, ['b']),
      batch(2, ['c'], 'lz4'),
      batch(3, ['d'], 'lz4'),
      batch(4, ['e'], 'gzip')
    )
    const { batches } = planBatches(segments, OPTIONS)
    expect(shape(batches)).toEqual(['coalesce 0-2 2', 'coalesce 2-4 2', 'pass 4-5 1'])
    expect(batches.map(planned => planned.bytes.readInt16BE(21))).toEqual([0, 3, 1])
  })

  it('ends a coalesced batch at the limit of the target', () => {
    const sources = Array.from({ length: 40 }, (_, index) => batch(index, ['v'.repeat(500)]))
    const { batches } = planBatches(segmentsOf(...sources), OPTIONS)
    expect(batches.length).toBe(3)
    for (const planned of batches) expect(planned.bytes.length).toBeLessThanOrEqual(OPTIONS.maxBatchBytes)
    expect(batches.map(planned => planned.to)).toEqual(
      batches
        .slice(1)
        .map(planned => planned.from)
        .concat(40n)
    )
  })

  it('splits what is larger than the limit when it is written anew, and hands a gap to the part behind it', () => {
    const noise = (seed: number) =>
      Buffer.from(Array.from({ length: 60 }, (_, i) => 33 + ((seed * 7919 + i * i * 31) % 90))).toString()
    for (const codec of ['none', 'gzip'] as const) {
      const five = batch(0, [0, 1, 2, 3, 4].map(noise), codec)
      const cut = segmentsOf(five, batch(7, [noise(5)], codec)).map(
        (s): Segment => (s.from === 0n ? { ...s, from: 1n } : s)
      )
      const one = planBatches(cut, { maxBatchBytes: 10_000, coalesceBelowBytes: 10_000 }).batches
      expect(shape(one)).toEqual(['coalesce 1-8 5'])
      // Half of a coalesced batch is no longer than one record more than two.
      const maxBatchBytes = Math.max(batch(0, [0, 1, 2].map(noise), codec).length, five.length - 61)
      const rebuilt = planBatches(cut, {
        maxBatchBytes: Math.min(maxBatchBytes, five.length - 70),
        coalesceBelowBytes: 0
      }).batches
      expect(shape(rebuilt)).toEqual(['rebuild 1-3 2', 'rebuild 3-5 2', 'pass 7-8 1'])
      expect(rebuilt[2]?.gaps).toEqual([{ index: 0, from: 5n, to: 7n }])
    }
  })

  it('splits a batch that could pass but is larger than the limit, and leaves a single large record to the target', () => {
    const noise = (seed: number) => Array.from({ length: 8000 }, (_, i) => 33 + ((seed * 7919 + i * i * 31) % 90))
    const text = (seed: number) => String.fromCharCode(...noise(seed))
    const one = batch(2, ['z'.repeat(20_000)])
    for (const codec of ['none', 'gzip'] as const) {
      const two = batch(0, [text(1), text(2)], codec)
      const options = { maxBatchBytes: two.length - 1, coalesceBelowBytes: 0 }
      expect(shape(planBatches(segmentsOf(two, one), options).batches)).toEqual([
        'rebuild 0-1 1',
        'rebuild 1-2 1',
        'pass 2-3 1'
      ])
      expect(neededCodecs(segmentsOf(two, one), options)).toEqual(codec === 'none' ? [] : [codec])
      const enough = { maxBatchBytes: two.length, coalesceBelowBytes: 0 }
      expect(shape(planBatches(segmentsOf(two), enough).batches)).toEqual(['pass 0-2 2'])
      expect(neededCodecs(segmentsOf(two), enough)).toEqual([])
      // Small by the coalescing threshold, but too large for the target.
      const odd = { maxBatchBytes: two.length - 1, coalesceBelowBytes: two.length * 2 }
      expect(shape(planBatches(segmentsOf(two), odd).batches)).toEqual(['rebuild 0-1 1', 'rebuild 1-2 1'])
    }
  })

  it('never reaches over a cut, wherever it is', () => {
    const sources = [batch(0, ['a', 'b', 'c']), batch(3, ['d']), batch(4, ['e'])]
    const whole = planBatches(segmentsOf(...sources), OPTIONS).batches
    expect(shape(whole)).toEqual(['coalesce 0-5 5'])
    const cuts = (...offsets: bigint[]) =>
      shape(planBatches(carve(segmentsOf(...sources), { drops: [], cuts: offsets }), OPTIONS).batches)
    expect(cuts(3n)).toEqual(['pass 0-3 3', 'coalesce 3-5 2'])
    expect(cuts(1n, 4n)).toEqual(['rebuild 0-1 1', 'coalesce 1-4 3', 'pass 4-5 1'])
  })

  it('opens a batch once and keeps it together when records are carved out of it', () => {
    for (const coalesceBelowBytes of [0, 1000]) {
      const source = batch(0, ['a', 'b', 'c', 'd', 'e'], 'gzip')
      const segments = carve(segmentsOf(source), { drops: [1n, 3n] })
      expect(segments.length).toBe(5)
      const { batches } = planBatches(segments, { maxBatchBytes: 10_000, coalesceBelowBytes })
      expect(shape(batches)).toEqual(['rebuild 0-5 3'])
      expect(batches[0]?.gaps).toEqual([
        { index: 1, from: 1n, to: 2n },
        { index: 2, from: 3n, to: 4n }
      ])
    }
    const neighbours = carve(segmentsOf(batch(0, ['a', 'b', 'c']), big(3)), { drops: [1n] })
    expect(shape(planBatches(neighbours, { maxBatchBytes: 10_000, coalesceBelowBytes: 0 }).batches)).toEqual([
      'rebuild 0-3 2',
      'pass 3-4 1'
    ])
  })

  it('returns a gap at the end instead of attaching it, and merges neighbouring gaps in front of a record', () => {
    const [data] = segmentsOf(big(4))
    const gap = (from: bigint, to: bigint, reason: 'marker' | 'hole'): Segment => ({ kind: 'gap', from, to, reason })
    const segments = [
      gap(1n, 2n, 'hole'),
      gap(2n, 4n, 'marker'),
      data as Segment,
      gap(5n, 6n, 'marker'),
      gap(6n, 9n, 'hole')
    ]
    const plan = planBatches(segments, OPTIONS)
    expect(plan.batches).toMatchObject([{ from: 4n, to: 5n, gaps: [{ index: 0, from: 1n, to: 4n }] }])
    expect(plan).toMatchObject({ trailingGap: { from: 5n, to: 9n }, next: 9n })
  })

  it('refuses segments that leave an offset out, and no segments at all', () => {
    const segments = segmentsOf(big(0), big(1), big(2)).filter((_, index) => index !== 1)
    expect(() => planBatches(segments, OPTIONS)).toThrow(expect.objectContaining({ code: 'TWINLOG_INTERNAL' }))
    expect(() => planBatches([], OPTIONS)).toThrow(expect.objectContaining({ code: 'TWINLOG_INTERNAL' }))
  })

  it('verifies the source’s checksum before it writes a new one, and not otherwise', () => {
    const error = expect.objectContaining({ code: 'TWINLOG_CORRUPT_BATCH', offset: 1n })
    expect(() => planBatches(segmentsOf(batch(0, ['a']), damaged(batch(1, ['b']))), OPTIONS)).toThrow(error)
    const cut = segmentsOf(damaged(batch(1, ['a', 'b']))).map((segment): Segment => ({ ...segment, from: 2n }))
    expect(() => planBatches(cut, OPTIONS)).toThrow(error)
    expect(shape(planBatches(segmentsOf(damaged(big(1))), OPTIONS).batches)).toEqual(['pass 1-2 1'])
  })

  it('keeps the highest leader epoch of the source batches', () => {
    const sources = [batch(0, ['a']), batch(1, ['b']), batch(2, ['c'])]
    sources.forEach((bytes, index) => bytes.writeInt32BE([4, 9, 7][index] as number, 12))
    expect(planBatches(segmentsOf(...sources), OPTIONS).batches[0]?.sourceLeaderEpoch).toBe(9)
  })

  it('asks for a codec only when a batch has to be opened', () => {
    const large = encodeBatch({
      records: [
        {
          offset: 1n,
          timestamp: 0n,
          key: null,
          value: Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * i) >> 3)),
          headers: []
        }
      ],
      baseOffset: 1n,
      compression: 'lz4'
    })
    expect(large.length).toBeGreaterThan(1000)
    const segments = segmentsOf(batch(0, ['a'], 'gzip'), large)
    expect(neededCodecs(segments, OPTIONS)).toEqual(['gzip'])
    expect(neededCodecs(segments)).toEqual(['gzip', 'lz4'])
  })
})

describe('dropFirstRecords', () => {
  it('cuts a straddling batch: position, gaps and codec are those of the rest', () => {
    for (const codec of ['none', 'lz4'] as const) {
      const sources = [
        batch(10, ['a', 'b'], codec),
        batch(15, ['c'], codec),
        batch(16, ['d', 'e'], codec),
        batch(20, ['f'], codec)
      ]
      const [planned] = planBatches(segmentsOf(...sources), OPTIONS).batches
      if (planned === undefined) throw new Error('no batch')
      expect([0, 1, 2, 3, 4, 5].map(index => sourceOffsetAt(planned, index))).toEqual([10n, 11n, 15n, 16n, 17n, 20n])
      const rest = dropFirstRecords(planned, 2)
      expect(rest).toMatchObject({
        via: 'rebuild',
        from: 15n,
        to: 21n,
        count: 4,
        gaps: [{ index: 3, from: 18n, to: 20n }]
      })
      expect(rest.bytes.readInt16BE(21)).toBe(codec === 'none' ? 0 : 3)
      expect(dropFirstRecords(planned, 1)).toMatchObject({
        from: 11n,
        gaps: [{ index: 1, from: 12n, to: 15n }, { index: 4 }]
      })
      expect(dropFirstRecords(planned, 0)).toBe(planned)
    }
  })

  it('refuses a damaged batch, and a cut that leaves nothing', () => {
    const planned = planBatches(segmentsOf(big(0)), OPTIONS).batches[0] as PlannedBatch
    expect(() => dropFirstRecords(planned, 1)).toThrow(expect.objectContaining({ code: 'TWINLOG_INTERNAL' }))
    const bad = { ...planned, count: 2, bytes: damaged(planned.bytes) }
    expect(() => dropFirstRecords(bad, 1)).toThrow(expect.objectContaining({ code: 'TWINLOG_CORRUPT_BATCH' }))
  })
})
