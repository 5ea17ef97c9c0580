import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { Others, ReadLook, TopicSchemas } from '../../../../src/mirror/schemas/read-look.js'
import { type Obstacle, segmentsBefore, SegmentScan } from '../../../../src/mirror/schemas/segment-scan.js'
import { verifyCrc } from '../../../../src/records/batch.js'
import { loadCodec } from '../../../../src/records/compression.js'
import { decodeRecords } from '../../../../src/records/decode.js'
import type { CompressionName, DecodedRecord, Segment } from '../../../../src/records/types.js'
import { FakeGate } from './fake-gate.js'
import { GUID, ids, record, segmentsOf, someBatches, withGuid, withId } from './records.js'

const CODECS: CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

beforeAll(async () => {
  for (const codec of CODECS) await loadCodec(codec)
})

/** Everything that the gate has not heard of is no schema. */
async function lookWith(gate: FakeGate, seenAt = 0): Promise<ReadLook> {
  // So that it answers at once.
  await gate.knows('orders', -1, performance.now())
  return new ReadLook(new TopicSchemas('orders', gate), seenAt, new Others())
}

async function scan(gate: FakeGate, segments: Segment[]): Promise<{ segments: Segment[]; obstacles: Obstacle[] }> {
  const obstacles: Obstacle[] = []
  const run = new SegmentScan({ look: await lookWith(gate), onObstacle: found => (obstacles.push(found), 'go-on') })
  run.run(segments)
  return { segments: run.rewritten(segments), obstacles }
}

const decoded = (segments: Segment[]): DecodedRecord[] =>
  segments.flatMap(segment =>
    segment.kind === 'gap'
      ? []
      : decodeRecords(segment.batch).filter(({ offset }) => offset >= segment.from && offset < segment.to)
  )

/** The rules once more, in the plainest words: what each record becomes when ids are translated by `map`. */
function rewrittenByHand(given: DecodedRecord, map: ReadonlyMap<number, number>): DecodedRecord {
  const idOf = (bytes: Buffer | null) =>
    bytes !== null && bytes.length >= 5 && bytes[0] === 0 ? bytes.readInt32BE(1) : undefined
  const put = (bytes: Buffer | null) => {
    const target = map.get(idOf(bytes) ?? -1)
    if (bytes === null || target === undefined) return bytes
    const copy = Buffer.from(bytes)
    copy.writeInt32BE(target, 1)
    return copy
  }
  const result = { ...given, headers: [...given.headers] }
  for (const part of ['key', 'value'] as const) {
    const name = `__${part}_schema_id`
    const named = given.headers.flatMap(([header, value], index) =>
      header.toString() === name && map.has(idOf(value) ?? -1) ? [index] : []
    )
    for (const index of named) {
      const [header, value] = given.headers[index]!
      result.headers[index] = [header, put(value)]
    }
    if (named.length === 0) result[part] = put(given[part])
  }
  return result
}

describe('the look at records on their way', () => {
  it('never alters anything while no id in them is known', async () => {
    await fc.assert(
      fc.asyncProperty(someBatches, fc.constantFrom(...CODECS), async (batches, codec) => {
        const segments = segmentsOf(batches, codec)
        const copies = segments.map(segment => (segment.kind === 'data' ? Buffer.from(segment.batch.bytes) : undefined))
        const result = await scan(new FakeGate('translate'), segments)
        expect(result.obstacles).toEqual([])
        expect(result.segments).toEqual(segments)
        for (const [index, segment] of result.segments.entries())
          if (segment.kind === 'data') expect(segment.batch.bytes.equals(copies[index]!)).toBe(true)
      })
    )
  })

  it('changes exactly the four bytes of ids that are known, and back again gives the same bytes', async () => {
    const map = new Map([
      [1, 2],
      [2, 7],
      [4, 0x01020304]
    ])
    const there = new FakeGate('translate')
    const back = new FakeGate('translate')
    for (const [source, target] of map) {
      there.both('orders', source, target)
      back.both('orders', target, source)
    }
    await fc.assert(
      fc.asyncProperty(someBatches, fc.constantFrom(...CODECS), async (given, codec) => {
        // Ids that become others' names would not come back.
        const batches = given
          .map(records =>
            records.filter(
              ({ key, value, headers }) =>
                ![key, value, ...headers.map(([, content]) => content)].some(
                  bytes => bytes?.[0] === 0 && bytes.length >= 5 && [7, 0x01020304].includes(bytes.readInt32BE(1))
                )
            )
          )
          .filter(({ length }) => length > 0)
        fc.pre(batches.length > 0 && batches.every((records, index) => index === 0 || records.length > 0))
        let offset = 0
        for (const records of batches) for (const each of records) each.offset = BigInt(offset++)
        const segments = segmentsOf(batches, codec)
        const before = decoded(segments)
        const result = await scan(there, segments)
        expect(result.obstacles).toEqual([])
        expect(decoded(result.segments)).toEqual(before.map(each => rewrittenByHand(each, map)))
        for (const [index, segment] of result.segments.entries()) {
          if (segment.kind === 'gap') continue
          const source = segments[index] as Segment & { kind: 'data' }
          expect(verifyCrc(segment.batch)).toBe(true)
          const same = [
            'baseOffset',
            'attributes',
            'firstTimestamp',
            'maxTimestamp',
            'count',
            'partitionLeaderEpoch'
          ] as const
          for (const field of same) expect(segment.batch[field]).toBe(source.batch[field])
        }
        // The source's own bytes are still what they were.
        expect(decoded(segments)).toEqual(before)
        const again = await scan(back, result.segments)
        expect(decoded(again.segments)).toEqual(before)
        if (codec !== 'none') return
        for (const [index, segment] of again.segments.entries()) {
          const source = segments[index]
          if (segment.kind === 'data' && source?.kind === 'data')
            expect(segment.batch.bytes.equals(source.batch.bytes)).toBe(true)
        }
      })
    )
  })

  it('asks for each id once however many records name it, and for keys and values apart', async () => {
    const gate = new FakeGate('translate').both('orders', 7, 8, 'value')
    const asked: string[] = []
    const topic = new TopicSchemas('orders', {
      ...gate,
      ids: 'translate',
      knows: (name, id, _seenAt, part) => (asked.push(`${name} ${id} ${part}`), part === 'value'),
      targetIdOf: () => 8,
      knowsGuid: () => false,
      hasGuid: () => false,
      bring: () => Promise.resolve(),
      bringGuid: () => Promise.resolve(),
      learn: () => undefined,
      onTranslated: () => () => undefined
    })
    // Eight bytes of a Long that happen to begin like an id.
    const long = Buffer.from([0, 0, 0, 0, 7, 1, 2, 3])
    const records = Array.from({ length: 100 }, (_unused, offset) => record(offset, { key: long, value: withId(7) }))
    const segments = segmentsOf([records])
    const run = new SegmentScan({ look: new ReadLook(topic, 0), onObstacle: () => 'go-on' })
    run.run(segments)
    expect(asked).toEqual(['orders 7 key', 'orders 7 value'])
    const after = decoded(run.rewritten(segments))
    expect(after.every(({ key, value }) => key?.equals(long) === true && value?.readInt32BE(1) === 8)).toBe(true)
  })

  it('lets a header that names a schema decide, and then leaves the payload alone whatever it begins with', async () => {
    const gate = new FakeGate('translate').both('orders', 1, 101).both('orders', 2, 102).both('orders', GUID)
    const value = withId(1)
    const by = async (headers: [string, Buffer | null][]) => {
      const { segments } = await scan(gate, segmentsOf([[record(0, { value, headers })]]))
      const [only] = decoded(segments)
      return {
        value: only?.value?.readInt32BE(1),
        headers: only?.headers.map(([, content]) => content?.toString('hex'))
      }
    }
    const name = '__value_schema_id'
    expect(await by([[name, withId(2, '')]])).toEqual({ value: 1, headers: ['0000000066'] })
    expect(await by([[name, withId(2, Buffer.from([2, 4]))]])).toEqual({ value: 1, headers: ['00000000660204'] })
    expect(await by([[name, withGuid()]])).toEqual({ value: 1, headers: [withGuid().toString('hex')] })
    // One that says nothing: of another part, too short, of another magic, of a schema that nobody knows.
    expect((await by([['__key_schema_id', withId(2, '')]])).value).toBe(101)
    expect((await by([[name, Buffer.from([0, 0, 0, 2])]])).value).toBe(101)
    expect((await by([[name, Buffer.from([2, 0, 0, 0, 2])]])).value).toBe(101)
    expect((await by([[name, null]])).value).toBe(101)
    expect((await by([[name, withId(9, '')]])).value).toBe(101)
    // The first and the last one are read by different clients.
    expect(
      await by([
        [name, withId(1, '')],
        ['a', null],
        [name, withId(2, '')]
      ])
    ).toEqual({
      value: 1,
      headers: ['0000000065', undefined, '0000000066']
    })
  })

  it('tells what keeps a record back, and goes on or not as it is told', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2).register('orders', GUID)
    const records = [
      ...ids(1, 2, 1),
      record(3, { key: withId(2), value: withId(1) }),
      record(4, { value: withId(1), headers: [['__value_schema_id', withGuid()]] })
    ]
    const { obstacles } = await scan(gate, segmentsOf([records]))
    expect(obstacles).toEqual([
      { offset: 1n, part: 'value', ref: 2, status: 'missing' },
      { offset: 3n, part: 'key', ref: 2, status: 'missing' },
      { offset: 4n, part: 'value', ref: GUID, status: 'missing' }
    ])
    const first: Obstacle[] = []
    const run = new SegmentScan({ look: await lookWith(gate), onObstacle: found => (first.push(found), 'enough') })
    run.run(segmentsOf([records.slice(0, 2), records.slice(2)]))
    expect(first).toHaveLength(1)
  })

  it('looks only at records that are wanted of a batch', async () => {
    const gate = new FakeGate().register('orders', 2)
    const [whole] = segmentsOf([ids(2, 0, 2, 0, 2, 0)]) as [Segment & { kind: 'data' }]
    const wanted: Segment[] = [
      { ...whole, from: 1n, to: 2n },
      { kind: 'gap', from: 2n, to: 3n, reason: 'dropped' },
      { ...whole, from: 3n, to: 5n }
    ]
    const { obstacles } = await scan(gate, wanted)
    expect(obstacles.map(({ offset }) => offset)).toEqual([4n])
  })

  it('finds out damage, and does not bless it', async () => {
    const gate = new FakeGate('translate').both('orders', 1, 2)
    const [segment] = segmentsOf([ids(1, 1)]) as [Segment & { kind: 'data' }]
    segment.batch.bytes[segment.batch.bytes.length - 2]! ^= 1
    await expect(scan(gate, [segment])).rejects.toMatchObject({ code: 'TWINLOG_CORRUPT_BATCH', offset: 0n })
    const [short] = segmentsOf([ids(1, 1)]) as [Segment & { kind: 'data' }]
    const cut = { ...short, batch: { ...short.batch, bytes: short.batch.bytes.subarray(0, 70) } }
    await expect(scan(gate, [cut])).rejects.toMatchObject({ code: 'TWINLOG_CORRUPT_BATCH', offset: 0n })
  })

  it('cuts a stretch of the log at an offset', () => {
    const segments = segmentsOf([ids(1, 1), [record(2)]])
    expect(segmentsBefore(segments, 0n)).toEqual([])
    expect(segmentsBefore(segments, 1n).map(({ from, to }) => [from, to])).toEqual([[0n, 1n]])
    expect(segmentsBefore(segments, 2n)).toEqual(segments.slice(0, 1))
    expect(segmentsBefore(segments, 9n)).toEqual(segments)
  })
})
