import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { TwinlogError } from '../../../../src/errors.js'
import type { MirrorRecord, Transform } from '../../../../src/mirror/transform-types.js'
import { type RecordFailure, transformSegments } from '../../../../src/mirror/transform/run-transform.js'
import { carve } from '../../../../src/records/carve.js'
import { compressionOf, loadCodec } from '../../../../src/records/compression.js'
import { dropFirstRecords } from '../../../../src/records/plan.js'
import { sourceOffsetAt } from '../../../../src/records/rewrite.js'
import type { DecodedRecord } from '../../../../src/records/types.js'
import { recordContent } from '../../records/arbitraries.js'
import { patched, plain } from '../../records/naive.js'
import { batchOf, type Placed, segmentsOf, TOPIC, walk } from './walk.js'

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const SMALL_LIMIT = 2600
/** Does not fit into the small limit, however it is compressed. */
const NOISE = Buffer.concat(
  Array.from({ length: 188 }, (_, index) => createHash('sha256').update(String(index)).digest())
)

/** What the function under test does with a record, and what is to come of it. */
const act = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ kind: 'same' as const }) },
  { weight: 3, arbitrary: fc.constantFrom(...(['change', 'rebuild', 'drop'] as const).map(kind => ({ kind }))) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('expand' as const),
      partitions: fc.array(fc.option(fc.constantFrom(7, 8), { nil: undefined }), { maxLength: 4 })
    })
  },
  { weight: 1, arbitrary: fc.constantFrom(...(['throw', 'wrong', 'huge', 'refused'] as const).map(kind => ({ kind }))) }
)
type Act = (typeof act extends fc.Arbitrary<infer T> ? T : never) & { partitions?: (number | undefined)[] }

const slot = fc.record({
  content: recordContent,
  act,
  waits: fc.nat({ max: 3 }),
  stops: fc.boolean(),
  hole: fc.nat({ max: 9 })
})
const scenario = fc.record({
  batches: fc.array(
    fc.record({
      slots: fc.array(slot, { minLength: 1, maxLength: 8 }),
      codec: fc.constantFrom(...CODECS),
      appendTime: fc.option(fc.constantFrom(5n, 1_795_000_000_000n), { nil: null, freq: 6 }),
      missing: fc.nat({ max: 2 }),
      epoch: fc.nat({ max: 3 })
    }),
    { minLength: 1, maxLength: 8 }
  ),
  base: fc.constantFrom(0n, 500n, 2n ** 40n),
  sameCodec: fc.boolean(),
  asynchronous: fc.boolean(),
  slowRoutes: fc.boolean(),
  stopping: fc.boolean(),
  maxBatchBytes: fc.constantFrom(SMALL_LIMIT, 1_048_588),
  preferredBatchBytes: fc.constantFrom(undefined, 0, 400),
  drops: fc.uniqueArray(fc.nat({ max: 30 }), { maxLength: 3 }),
  cuts: fc.uniqueArray(fc.nat({ max: 30 }), { maxLength: 3 })
})

const header: [Buffer, Buffer | null] = [Buffer.from('added'), null]
const expanded = (offset: bigint, index: number) => Buffer.from(`${offset}/${index}`)

/** The function that a user would write. */
function perform({ kind, partitions = [] }: Act, record: MirrorRecord, offset: bigint): unknown {
  switch (kind) {
    case 'same':
      return record
    case 'change':
      record.value = Buffer.from('changed')
      record.headers.push(['added', null])
      return record
    case 'rebuild':
      return { ...record, headers: record.headers.map(([name, value]) => [name, value]) }
    case 'drop':
      return offset % 2n === 0n ? null : []
    case 'expand':
      return partitions.map((partition, index) => ({
        ...record,
        value: expanded(offset, index),
        timestamp: 1000n + BigInt(index),
        partition
      }))
    case 'throw':
      throw new Error('no')
    case 'wrong':
      return offset % 2n === 0n ? undefined : { ...record, key: 'text' }
    case 'huge':
      return { ...record, value: NOISE }
    case 'refused':
      return { ...record, partition: 99 }
  }
}

/** The same in words of the oracle: outputs of this lane, or undefined for a record error. */
function expectedOf({ kind, partitions = [] }: Act, record: DecodedRecord, maxBatchBytes: number) {
  switch (kind) {
    case 'same':
    case 'rebuild':
      return [record]
    case 'change':
      return [{ ...record, value: Buffer.from('changed'), headers: [...record.headers, header] }]
    case 'drop':
      return []
    case 'expand':
      return partitions.flatMap((partition, index) =>
        partition === 8 ? [] : [{ ...record, value: expanded(record.offset, index), timestamp: 1000n + BigInt(index) }]
      )
    case 'huge':
      return maxBatchBytes === SMALL_LIMIT ? undefined : [{ ...record, value: NOISE }]
    default:
      return undefined
  }
}

beforeAll(async () => {
  for (const codec of CODECS) await loadCodec(codec)
})

it('planned batches hold what the function makes of each record, at the right source offsets', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async given => {
      const { maxBatchBytes, base, stopping } = given
      let end = base
      const slots = new Map<bigint, { record: DecodedRecord; act: Act; waits: number; stops: boolean; epoch: number }>()
      const logs: Buffer[] = []
      for (const entry of given.batches) {
        end += BigInt(entry.missing)
        const records: DecodedRecord[] = []
        for (const { content, act, waits, stops, hole } of entry.slots) {
          if (hole === 0 && records.length > 0) end += 1n
          records.push({ ...content, offset: end })
          const timestamp = entry.appendTime ?? content.timestamp
          slots.set(end, { record: { ...content, timestamp, offset: end }, act, waits, stops, epoch: entry.epoch })
          end += 1n
        }
        const bytes = batchOf(records, given.sameCodec ? 'gzip' : entry.codec)
        bytes.writeInt32BE(entry.epoch, 12)
        logs.push(
          patched(bytes, target => {
            if (entry.appendTime === null) return
            target.writeInt16BE(target.readInt16BE(21) | 8, 21)
            target.writeBigInt64BE(entry.appendTime, 35)
          })
        )
      }
      const drops = new Set(given.drops.map(offset => base + BigInt(offset)))
      const cuts = given.cuts.map(offset => base + BigInt(offset))
      const segments = carve(segmentsOf(...logs), { drops, cuts })
      const start = segments[0]?.from as bigint
      const before = Buffer.concat(logs)

      const wanted: Placed[] = []
      const wantedFailures: bigint[] = []
      let wantedNext = end
      for (const [offset, { record, act, stops }] of slots) {
        if (drops.has(offset)) continue
        const outputs = expectedOf(act, record, maxBatchBytes)
        if (outputs === undefined) {
          wantedFailures.push(offset)
          if (!stopping || !stops) continue
          wantedNext = offset
          break
        }
        plain(outputs).forEach(({ offset: source, ...content }, index) =>
          wanted.push({ source, index, record: content })
        )
      }

      const transform: Transform = (record, context) => {
        expect({ ...context, signal: undefined }).toEqual({ ...TOPIC, offset: context.offset, signal: undefined })
        const slot = slots.get(context.offset)
        if (slot === undefined) throw new Error(`nobody wrote offset ${context.offset}`)
        const { act, waits } = slot
        if (!given.asynchronous || waits === 0) return perform(act, record, context.offset) as MirrorRecord
        return (async () => {
          for (let turn = 0; turn < waits; turn++) await new Promise(resolve => setImmediate(resolve))
          return perform(act, record, context.offset) as MirrorRecord
        })()
      }
      const failures: RecordFailure[] = []
      const verdict = (partition: number | undefined) => {
        if (partition === 99) throw new TwinlogError('TWINLOG_RECORD_REJECTED', 'there is no partition 99')
        return partition === 8 ? ('other' as const) : ('mine' as const)
      }
      const result = await transformSegments(segments, {
        transform,
        source: TOPIC,
        mine: given.slowRoutes ? async ({ partition }) => verdict(partition) : ({ partition }) => verdict(partition),
        timeoutMs: 60_000,
        signal: new AbortController().signal,
        maxBatchBytes,
        preferredBatchBytes: given.preferredBatchBytes,
        onError: async failure => {
          failures.push({ ...failure, record: failure.record && { ...failure.record } })
          const { record } = slots.get(failure.offset) as { record: DecodedRecord }
          expect(plain([failure.record as DecodedRecord])).toEqual(plain([record]))
          return stopping && slots.get(failure.offset)?.stops ? 'stop' : 'drop'
        }
      })

      const { placed, covered } = walk(result.batches, start)
      expect(placed).toEqual(wanted)
      expect(result.next).toBe(wantedNext)
      expect(covered <= wantedNext).toBe(true)
      expect(failures.map(failure => failure.offset)).toEqual(wantedFailures)
      const isStopped = wantedNext !== end
      expect(result.dropped).toBe(wantedFailures.length - (isStopped ? 1 : 0))
      if (isStopped) expect(result.stopped).toMatchObject({ offset: wantedNext, error: failures.at(-1)?.error })
      else expect(result.stopped).toBeUndefined()
      expect(Buffer.concat(logs).equals(before)).toBe(true)

      let at = 0
      for (const batch of result.batches) {
        const inside = placed.slice(at, at + batch.count)
        const previous = placed[at - 1]
        at += batch.count
        expect(inside[0]?.index).toBe(0)
        expect(previous === undefined || previous.source < (inside[0]?.source as bigint)).toBe(true)
        expect(batch.bytes.length).toBeLessThanOrEqual(maxBatchBytes)
        for (const cut of cuts) expect(batch.from < cut && (inside.at(-1)?.source as bigint) >= cut).toBe(false)
        const epochs = inside.map(({ source }) => slots.get(source)?.epoch as number)
        expect(batch.sourceLeaderEpoch).toBeGreaterThanOrEqual(Math.max(...epochs))
        inside.forEach(({ source }, index) => expect(sourceOffsetAt(batch, index)).toBe(source))
        const codec = compressionOf(batch.bytes.readInt16BE(21))
        for (const { source } of inside) {
          const log = logs.find(bytes => bytes.readBigInt64BE(0) <= source && source <= lastOf(bytes)) as Buffer
          expect(compressionOf(log.readInt16BE(21))).toBe(codec)
        }
        const half = inside.findIndex(({ index }, position) => position > 0 && index === 0)
        if (half > 0) {
          const rest = dropFirstRecords(batch, half)
          expect(walk([rest], rest.from).placed).toEqual(inside.slice(half))
        }
      }
    }),
    { numRuns: 300 }
  )
})

const lastOf = (bytes: Buffer) => bytes.readBigInt64BE(0) + BigInt(bytes.readInt32BE(23))
