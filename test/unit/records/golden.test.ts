import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  controlType,
  hasDeleteHorizon,
  isControl,
  isLogAppendTime,
  isTransactional,
  parseBatches,
  verifyCrc,
  viewOf
} from '../../../src/records/batch.js'
import { compressionOf, loadCodec } from '../../../src/records/compression.js'
import { decodeRecords } from '../../../src/records/decode.js'
import { planBatches } from '../../../src/records/plan.js'
import { readSegments } from '../../../src/records/segments.js'
import { stampBatch } from '../../../src/records/stamp.js'
import type { CompressionName, DecodedRecord, Segment } from '../../../src/records/types.js'
import { plain, type PlainRecord } from './naive.js'

// Log segments of a Kafka 4.1.0 broker, filled by its Java producer; the expectations were printed by Kafka's own MemoryRecords.
interface Fixture {
  note: string
  log: string
  batches: {
    baseOffset: string
    nextOffset: string
    codec: CompressionName
    transactional: boolean
    control: boolean
    logAppendTime: boolean
    deleteHorizon: boolean
    producerId: string
    producerEpoch: number
    baseSequence: number
    maxTimestamp: string
    records: [offset: string, timestamp: string, key: string | null, value: string | null, [string, string | null][]][]
  }[]
}

function fixture(name: string): Fixture & { data: Buffer } {
  const content = JSON.parse(readFileSync(new URL(`fixtures/${name}.json`, import.meta.url), 'utf8')) as Fixture
  return { ...content, data: Buffer.from(content.log, 'hex') }
}

const expected = (batch: Fixture['batches'][number]): PlainRecord[] =>
  batch.records.map(([offset, timestamp, key, value, headers]) => ({
    offset: BigInt(offset),
    timestamp: BigInt(timestamp),
    key,
    value,
    headers
  }))

/** What the capturing program sent to the topics of the codecs. */
function sentRecords(padding: number): PlainRecord[] {
  const start = 1_795_000_000_000
  return Array.from({ length: 12 }, (_, i) => {
    const value = i % 5 === 1 ? null : i % 5 === 2 ? '' : `value-${i}${'x'.repeat(padding)}`
    const key = i % 4 === 3 ? null : i % 4 === 1 ? '' : `k${i}`
    const headers: [string, string | null][] = [
      ['68', '6f6e65'],
      ['68', null],
      ['', ''],
      ['c3a9', 'ff00fe']
    ]
    return {
      offset: BigInt(i),
      timestamp: BigInt(start + i * 7 - (i % 4) * 1000),
      key: key === null ? null : Buffer.from(key).toString('hex'),
      value: value === null ? null : Buffer.from(value).toString('hex'),
      headers: i % 3 === 0 ? headers : []
    }
  })
}

beforeAll(async () => {
  for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as const) await loadCodec(codec)
})

const OPTIONS = { maxBatchBytes: 1_048_588, coalesceBelowBytes: 16_384 }

function planned(segments: Segment[], options = OPTIONS) {
  const plan = planBatches(segments, options)
  const records: DecodedRecord[] = []
  for (const batch of plan.batches) {
    const view = viewOf(stampBatch(batch.bytes, { producerId: 5n, producerEpoch: 0, baseSequence: 0 }))
    expect(verifyCrc(view)).toBe(true)
    expect(view.attributes & ~7).toBe(0)
    records.push(...decodeRecords(view))
  }
  return { plan, records: plain(records) }
}

const readAll = (data: Buffer) =>
  readSegments(data, { position: 0n, isolation: 'read_uncommitted', abortedTransactions: [] })

describe('batches of a real broker', () => {
  it.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)('%s: the Java producer’s records are read', name => {
    const { data } = fixture(name)
    const [batch, ...others] = parseBatches(data)
    expect(others).toEqual([])
    if (batch === undefined) throw new Error('no batch')
    expect(verifyCrc(batch)).toBe(true)
    expect(compressionOf(batch.attributes)).toBe(name)
    expect(plain(decodeRecords(batch))).toEqual(sentRecords(name === 'none' ? 3 : 12_000))
  })

  it.each(['none', 'transactions', 'log-append-time', 'compacted'])(
    '%s: header and records are as Java sees them',
    name => {
      const { data, batches } = fixture(name)
      const views = parseBatches(data)
      expect(views.length).toBe(batches.length)
      views.forEach((view, index) => {
        const batch = batches[index] as Fixture['batches'][number]
        expect(verifyCrc(view)).toBe(true)
        expect({
          baseOffset: String(view.baseOffset),
          nextOffset: String(view.nextOffset),
          codec: compressionOf(view.attributes),
          transactional: isTransactional(view.attributes),
          control: isControl(view.attributes),
          logAppendTime: isLogAppendTime(view.attributes),
          deleteHorizon: hasDeleteHorizon(view.attributes),
          producerId: String(view.producerId),
          producerEpoch: view.producerEpoch,
          baseSequence: view.baseSequence,
          maxTimestamp: String(view.maxTimestamp)
        }).toEqual({ ...batch, records: undefined })
        expect(plain(decodeRecords(view))).toEqual(expected(batch))
      })
    }
  )

  it('cut in the middle a compressed batch is rebuilt with its codec', () => {
    for (const name of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
      const { data } = fixture(name)
      const { segments } = readSegments(data, { position: 7n, isolation: 'read_committed', abortedTransactions: [] })
      const { plan, records } = planned(segments)
      expect(plan.batches).toMatchObject([{ via: 'rebuild', from: 7n, to: 12n, count: 5, gaps: [] }])
      expect(compressionOf(viewOf((plan.batches[0] as { bytes: Buffer }).bytes).attributes)).toBe(name)
      const wanted = sentRecords(name === 'none' ? 3 : 12_000).slice(7)
      expect(records).toEqual(wanted.map(record => ({ ...record, offset: record.offset - 7n })))
    }
  })

  it('LogAppendTime becomes CreateTime with the append time in each record', () => {
    const { data, batches } = fixture('log-append-time')
    const { plan, records } = planned(readAll(data).segments)
    expect(plan.batches).toMatchObject([
      { via: 'rebuild', count: 6, maxTimestamp: BigInt(batches[0]?.maxTimestamp ?? 0) }
    ])
    expect(records).toEqual(batches.flatMap(expected))
  })
})

describe('a real log with transactions', () => {
  // Offsets: 0 a · 1 b · 2 a · 3 commit a · 4 abort b · 5 b · 6 commit b · 7 a · 8 abort a · 9 plain
  const a = 6n
  const b = 7n
  const aborted = [
    { producerId: a, firstOffset: 7n },
    { producerId: b, firstOffset: 1n }
  ]

  it('markers say what they end', () => {
    const controls = parseBatches(fixture('transactions').data).filter(view => isControl(view.attributes))
    expect(controls.map(controlType)).toEqual(['commit', 'abort', 'commit', 'abort'])
  })

  it('read_committed leaves out aborted records and markers, although the broker’s list is not sorted', () => {
    const { data } = fixture('transactions')
    const { segments, next } = readSegments(data, {
      position: 0n,
      isolation: 'read_committed',
      abortedTransactions: aborted
    })
    expect(next).toBe(10n)
    expect(segments.map(s => `${s.from}-${s.to} ${s.kind === 'gap' ? s.reason : 'data'}`)).toEqual([
      '0-1 data',
      '1-2 aborted',
      '2-3 data',
      '3-4 marker',
      '4-5 marker',
      '5-6 data',
      '6-7 marker',
      '7-8 aborted',
      '8-9 marker',
      '9-10 data'
    ])
    const { plan, records } = planned(segments)
    expect(records.map(record => Buffer.from(record.value ?? '', 'hex').toString())).toEqual([
      'committed-0',
      'committed-2',
      'committed-5',
      'plain-9'
    ])
    expect(plan.batches).toMatchObject([
      {
        via: 'coalesce',
        from: 0n,
        to: 10n,
        gaps: [
          { index: 1, from: 1n, to: 2n },
          { index: 2, from: 3n, to: 5n },
          { index: 3, from: 6n, to: 9n }
        ]
      }
    ])
  })

  it('read_uncommitted keeps aborted records; markers are still gaps', () => {
    const { data } = fixture('transactions')
    const options = { position: 1n, isolation: 'read_uncommitted', abortedTransactions: aborted } as const
    const { segments } = readSegments(data, options)
    expect(segments.filter(s => s.kind === 'gap').map(s => s.from)).toEqual([3n, 4n, 6n, 8n])
    expect(planned(segments).plan.batches.map(batch => batch.count)).toEqual([5])
  })

  it('a position behind an abort’s data still knows who is aborted', () => {
    const { data } = fixture('transactions')
    const options = { position: 2n, isolation: 'read_committed', abortedTransactions: aborted } as const
    const { segments } = readSegments(data, options)
    expect(segments[0]).toMatchObject({ kind: 'data', from: 2n })
    expect(segments.find(s => s.from === 5n)).toMatchObject({ kind: 'data' })
  })
})

describe('a real compacted log', () => {
  it('holes, empty batches and delete horizons: each record comes out as Java reads it, each missing offset is a gap', () => {
    const { data, batches } = fixture('compacted')
    const { segments, next } = readAll(data)
    expect(next).toBe(26n)
    expect(segments.find(s => s.from === 20n)).toMatchObject({ kind: 'gap', reason: 'empty', to: 21n })
    for (const coalesceBelowBytes of [0, 16_384]) {
      const { plan, records } = planned(segments, { ...OPTIONS, coalesceBelowBytes })
      const wanted = batches.flatMap(expected)
      expect(records.map(record => ({ ...record, offset: 0n }))).toEqual(
        wanted.map(record => ({ ...record, offset: 0n }))
      )
      expect(plan.batches[0]).toMatchObject({
        via: 'rebuild',
        from: 1n,
        to: 10n,
        count: 7,
        maxTimestamp: 1_795_000_000_009n,
        gaps: [
          { index: 0, from: 0n, to: 1n },
          { index: 3, from: 4n, to: 5n },
          { index: 6, from: 8n, to: 9n }
        ]
      })
      expect(plan.batches.length).toBe(coalesceBelowBytes === 0 ? 7 : 2)
    }
  })
})
