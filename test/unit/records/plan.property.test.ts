import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { isControl } from '../../../src/records/batch.js'
import { carve } from '../../../src/records/carve.js'
import { compressionOf, loadCodec } from '../../../src/records/compression.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { dropFirstRecords, neededCodecs, planBatches } from '../../../src/records/plan.js'
import { readSegments } from '../../../src/records/segments.js'
import { stampBatch } from '../../../src/records/stamp.js'
import type { PlannedBatch } from '../../../src/records/types.js'
import { type RecordContent, recordContent, timestamp } from './arbitraries.js'
import { naiveCrc32c, naiveRecords, patched, type PlainRecord, plain } from './naive.js'

const CODECS = ['none', 'gzip', 'lz4'] as const

/** A stretch of a source log, as a compactor or a transaction coordinator leaves it. */
type Item =
  | {
      kind: 'batch'
      slots: (RecordContent | null)[]
      tail: number
      codec: (typeof CODECS)[number]
      appendTime: bigint | null
      transaction: 'none' | 'commit' | 'abort'
      leaderEpoch: number
    }
  | { kind: 'missing'; offsets: number }

const batchItem = fc.record({
  kind: fc.constant('batch' as const),
  slots: fc.array(fc.option(recordContent, { nil: null, freq: 8 }), { minLength: 1, maxLength: 6 }),
  tail: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 3 })),
  codec: fc.oneof({ weight: 4, arbitrary: fc.constant('none' as const) }, fc.constantFrom(...CODECS)),
  appendTime: fc.option(timestamp, { nil: null, freq: 6 }),
  transaction: fc.oneof(
    { weight: 4, arbitrary: fc.constant('none' as const) },
    fc.constantFrom('commit' as const, 'abort' as const)
  ),
  leaderEpoch: fc.integer({ min: 0, max: 3 })
})
const item: fc.Arbitrary<Item> = fc.oneof(
  { weight: 5, arbitrary: batchItem },
  fc.record({ kind: fc.constant('missing' as const), offsets: fc.integer({ min: 1, max: 4 }) })
)

interface Source {
  data: Buffer
  end: bigint
  aborted: { producerId: bigint; firstOffset: bigint }[]
  committed: PlainRecord[]
  uncommitted: PlainRecord[]
  batches: Buffer[]
}

function marker(offset: bigint, producerId: bigint, commit: boolean): Buffer {
  const key = Buffer.from([0, 0, 0, commit ? 1 : 0])
  const records = [{ offset, timestamp: 1n, key, value: Buffer.from([0, 0, 0, 0, 0, 1]), headers: [] }]
  const bytes = encodeBatch({ records, baseOffset: offset, producerId, producerEpoch: 1 })
  return patched(bytes, target => target.writeInt16BE(0x30, 21))
}

function write(items: Item[], base: bigint): Source {
  const source: Source = { data: Buffer.alloc(0), end: base, aborted: [], committed: [], uncommitted: [], batches: [] }
  for (const entry of items) {
    if (entry.kind === 'missing') {
      source.end += BigInt(entry.offsets)
      continue
    }
    const { slots, tail, codec, appendTime, transaction } = entry
    const start = source.end
    const span = slots.length + tail
    const records = slots.flatMap((content, index) =>
      content === null ? [] : [{ ...content, offset: start + BigInt(index) }]
    )
    const producerId = BigInt(source.batches.length % 3)
    const filler = { timestamp: 3n, key: null, value: null, headers: [], offset: start }
    // An empty batch is a batch of one record with its body cut off; offset deltas count from the batch's base.
    let bytes = encodeBatch({
      records: [{ ...filler, timestamp: records[0]?.timestamp ?? 3n }, ...records],
      baseOffset: start,
      compression: 'none',
      producerId
    })
    const firstLength = encodeBatch({ records: [{ ...filler, timestamp: records[0]?.timestamp ?? 3n }] }).length
    const body = Buffer.concat([bytes.subarray(0, 61), bytes.subarray(firstLength)])
    bytes = patched(body, target => {
      target.writeInt32BE(target.length - 12, 8)
      target.writeInt32BE(records.length, 57)
      target.writeInt32BE(span - 1, 23)
      target.writeInt32BE(entry.leaderEpoch, 12)
      const newest = records.reduce((max, record) => (record.timestamp > max ? record.timestamp : max), -(2n ** 63n))
      target.writeBigInt64BE(appendTime ?? newest, 35)
      target.writeInt16BE((appendTime === null ? 0 : 8) | (transaction === 'none' ? 0 : 16), 21)
    })
    if (codec !== 'none' && records.length > 0) bytes = compressed(bytes, codec)
    source.batches.push(bytes)
    source.end += BigInt(span)
    const seen = plain(records.map(record => (appendTime === null ? record : { ...record, timestamp: appendTime })))
    source.uncommitted.push(...seen)
    if (transaction !== 'abort') source.committed.push(...seen)
    if (transaction === 'abort') source.aborted.unshift({ producerId, firstOffset: start })
    if (transaction !== 'none') {
      source.batches.push(marker(source.end, producerId, transaction === 'commit'))
      source.end += 1n
    }
  }
  source.data = Buffer.concat(source.batches)
  return source
}

/** Compression is encodeBatch's; its result is checked by the naive decoder below. */
function compressed(bytes: Buffer, codec: 'gzip' | 'lz4'): Buffer {
  const records = naiveRecords(patched(bytes, target => target.writeInt16BE(target.readInt16BE(21) & ~8, 21))).map(
    record => ({
      ...record,
      key: record.key === null ? null : Buffer.from(record.key, 'hex'),
      value: record.value === null ? null : Buffer.from(record.value, 'hex'),
      headers: record.headers.map(([name, value]): [Buffer, Buffer | null] => [
        Buffer.from(name, 'hex'),
        value === null ? null : Buffer.from(value, 'hex')
      ])
    })
  )
  const base = bytes.readBigInt64BE(0)
  // Offset deltas are taken to the first record: only batches that begin with a record can be made this way.
  if (records[0]?.offset !== base) return bytes
  const packed = encodeBatch({ records, baseOffset: base, compression: codec, producerId: bytes.readBigInt64BE(43) })
  return patched(packed, target => {
    bytes.copy(target, 12, 12, 16)
    bytes.copy(target, 23, 23, 27)
    bytes.copy(target, 35, 35, 43)
    target.writeInt16BE(bytes.readInt16BE(21) | (codec === 'gzip' ? 1 : 3), 21)
  })
}

/** Walks a planned batch the slow way: which source offset has which record, which offsets are gaps. */
function walk(batch: PlannedBatch): { records: PlainRecord[]; gaps: [bigint, bigint][] } {
  const content = naiveRecords(batch.bytes)
  expect(content.length).toBe(batch.count)
  const gaps = batch.gaps.map((gap): [bigint, bigint] => [gap.from, gap.to])
  const left = [...batch.gaps]
  let offset = batch.from
  const records = content.map((record, index) => {
    expect(record.offset - (content[0] as PlainRecord).offset).toBe(BigInt(index))
    while (left[0]?.index === index) {
      const gap = left.shift() as (typeof left)[number]
      if (index === 0) expect(gap.to).toBe(offset)
      else {
        expect(gap.from).toBe(offset)
        offset = gap.to
      }
    }
    return { ...record, offset: offset++ }
  })
  expect(left).toEqual([])
  expect(offset).toBe(batch.to)
  return { records, gaps }
}

beforeAll(async () => {
  for (const codec of CODECS) await loadCodec(codec)
})

const scenario = fc.record({
  items: fc.array(item, { minLength: 1, maxLength: 10 }),
  base: fc.constantFrom(0n, 1000n, 2n ** 40n),
  skip: fc.nat({ max: 12 }),
  isolation: fc.constantFrom('read_committed' as const, 'read_uncommitted' as const),
  maxBatchBytes: fc.constantFrom(120, 300, 1_048_588),
  coalesceBelowBytes: fc.constantFrom(0, 150, 16_384),
  drop: fc.nat(),
  carved: fc.option(
    fc.record({
      drops: fc.uniqueArray(fc.nat({ max: 40 }), { maxLength: 6 }),
      cuts: fc.uniqueArray(fc.nat({ max: 40 }), { maxLength: 4 })
    }),
    { nil: null }
  )
})

it('a plan gives every source offset exactly one place and changes no record', () => {
  fc.assert(
    fc.property(scenario, ({ items, base, skip, isolation, maxBatchBytes, coalesceBelowBytes, drop, carved }) => {
      const source = write(items, base)
      const position = base + BigInt(skip) < source.end ? base + BigInt(skip) : base
      const options = { maxBatchBytes, coalesceBelowBytes }
      const read = readSegments(source.data, { position, isolation, abortedTransactions: source.aborted })
      // Offsets that are missing at the end of the log are not in the answer.
      fc.pre(read.segments.length > 0)
      const drops = new Set(carved?.drops.map(offset => base + BigInt(offset)))
      const cuts = carved?.cuts.map(offset => base + BigInt(offset)) ?? []
      const segments = carve(read.segments, { drops, cuts })
      const plan = planBatches(segments, options)
      const wanted = source[isolation === 'read_committed' ? 'committed' : 'uncommitted'].filter(
        r => r.offset >= position && !drops.has(r.offset)
      )

      const found: PlainRecord[] = []
      const places: [bigint, bigint][] = []
      for (const batch of plan.batches) {
        expect(batch.bytes.readUInt32BE(17)).toBe(naiveCrc32c(batch.bytes.subarray(21)))
        const asPlanned = Buffer.from(batch.bytes)
        const { records, gaps } = walk(batch)
        found.push(...records)
        places.push(...gaps, ...records.map((r): [bigint, bigint] => [r.offset, r.offset + 1n]))

        const newest = records.reduce((max, record) => (record.timestamp > max ? record.timestamp : max), -(2n ** 63n))
        expect(batch.maxTimestamp).toBe(newest)
        expect(batch.bytes.readBigInt64BE(35)).toBe(newest)
        expect(batch.bytes.readInt16BE(21) & 8).toBe(0)
        if (batch.via === 'pass') expect(source.batches.some(bytes => bytes.equals(asPlanned))).toBe(true)
        else if (batch.bytes.readInt16BE(21) & 7) {
          expect(neededCodecs(segments, options)).toContain(compressionOf(batch.bytes.readInt16BE(21)))
        }
        expect(batch.bytes.length <= maxBatchBytes || batch.count === 1).toBe(true)
        for (const cut of cuts) expect(batch.from < cut && records.some(record => record.offset >= cut)).toBe(false)
        expect(isControl(batch.bytes.readInt16BE(21))).toBe(false)

        const n = drop % batch.count
        const rest = dropFirstRecords(batch, n)
        const stamped = stampBatch(Buffer.from(rest.bytes), { producerId: 8n, producerEpoch: 0, baseSequence: n })
        expect(stamped.readUInt32BE(17)).toBe(naiveCrc32c(stamped.subarray(21)))
        expect(walk(rest).records).toEqual(records.slice(n))
        expect(rest).toMatchObject({ count: batch.count - n, to: batch.to, from: records[n]?.offset })
        if (n > 0)
          expect(rest.gaps.map(gap => gap.from)).toEqual(batch.gaps.filter(gap => gap.index > n).map(gap => gap.from))
      }
      expect(found).toEqual(wanted)

      if (plan.trailingGap !== null) places.push([plan.trailingGap.from, plan.trailingGap.to])
      places.sort((x, y) => (x[0] < y[0] ? -1 : 1))
      let covered = position
      for (const [from, to] of places) {
        expect(from).toBe(covered)
        expect(to > from).toBe(true)
        covered = to
      }
      expect(covered).toBe(read.next)
      expect(plan.next).toBe(read.next)
      for (const codec of neededCodecs(segments, options)) expect(CODECS).toContain(codec)
    }),
    { numRuns: 600 }
  )
})
