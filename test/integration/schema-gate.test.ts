import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { fetchRequest } from '../../src/kafka/requests/fetch.js'
import type { MirrorEvents } from '../../src/mirror/events.js'
import type { MirrorOptions } from '../../src/mirror/options.js'
import type { SchemasOptions } from '../../src/mirror/schemas/options.js'
import type { Transform } from '../../src/mirror/transform-types.js'
import { OffsetTranslator } from '../../src/offsets/translator.js'
import { isControl, parseBatches } from '../../src/records/batch.js'
import { loadCodec } from '../../src/records/compression.js'
import { decodeRecords } from '../../src/records/decode.js'
import type { DecodedRecord } from '../../src/records/types.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { FakeGate, unreachable } from '../unit/mirror/schemas/fake-gate.js'
import { GUID, withGuid, withId } from '../unit/mirror/schemas/records.js'
import { Bed, eventually, type TestRecord, type WatchedMirror } from './bed.js'

let east: KafkaCluster
let west: KafkaCluster
let bed: Bed

beforeAll(async () => {
  ;[east, west] = await Promise.all([startKafka({ name: 'east' }), startKafka({ name: 'west' }), loadCodec('lz4')])
  bed = new Bed(east, west)
})

afterEach(async () => {
  await bed.stopMirrors()
})

afterAll(async () => {
  await bed?.close()
  await Promise.all([east?.stop(), west?.stop()])
})

/** Records with ids before their values. */
const valued = (id: number, prefix: string, count: number, from = 0): TestRecord[] =>
  Array.from({ length: count }, (_unused, index) => ({
    key: `k${index % 7}`,
    value: withId(id, `${prefix}${from + index}`)
  }))

/** Everything that a read_uncommitted reader sees of a log that has no aborted transactions. */
async function read(cluster: KafkaCluster, topic: string, partition = 0): Promise<DecodedRecord[]> {
  const client = await bed.client(cluster)
  const { start, end } = await bed.bounds(cluster, topic, partition)
  const node = client.leaderOf(topic, partition)?.nodeId ?? -1
  const records: DecodedRecord[] = []
  for (let fetchOffset = start; fetchOffset < end; ) {
    const answer = await client.send(
      { node },
      fetchRequest({
        maxWaitMs: 100,
        minBytes: 1,
        maxBytes: 8 << 20,
        isolation: 'read_uncommitted',
        topics: [{ topic, topicId: '', partitions: [{ partition, fetchOffset, maxBytes: 8 << 20 }] }]
      })
    )
    const batches = parseBatches(answer.partitions[0]?.records ?? Buffer.alloc(0))
    for (const batch of batches)
      if (!isControl(batch.attributes))
        records.push(...decodeRecords(batch).filter(({ offset }) => offset >= fetchOffset))
    fetchOffset = batches.at(-1)?.nextOffset ?? end
  }
  return records
}

/** A value without the five bytes in front of it. */
const textOf = ({ value }: DecodedRecord) => (value === null ? 'null' : value.subarray(5).toString())
const idOf = ({ value }: DecodedRecord) => value?.readInt32BE(1)
const content = ({ key, value, headers, timestamp }: DecodedRecord) => ({ key, value, headers, timestamp })

async function mirror(
  gate: FakeGate,
  topics: MirrorOptions['topics'],
  o: Omit<Partial<MirrorOptions>, 'schemas'> & { schemas?: Partial<SchemasOptions> } = {}
): Promise<WatchedMirror & { missing: Parameters<MirrorEvents['schema:missing']>[0][] }> {
  const { schemas, ...rest } = o
  const watched = bed.watch({ topics, ...rest, schemas: { sync: { gate: () => gate }, topics: /.*/, ...schemas } })
  const missing: Parameters<MirrorEvents['schema:missing']>[0][] = []
  watched.mirror.on('schema:missing', event => void missing.push(event))
  await watched.mirror.start()
  return { ...watched, missing }
}

/** `sources`: where the records of the target topic stand on the source, in order. Every source offset up to the last one is asked for. */
async function expectExact(link: string, topic: string, sources: number[]): Promise<void> {
  const targets = (await read(west, topic)).map(({ offset }) => offset)
  expect(targets).toHaveLength(sources.length)
  const translator = new OffsetTranslator({ source: 'east', target: west.config(), link })
  await translator.connect()
  for (let source = 0; source <= (sources.at(-1) ?? 0); source++) {
    const offset = targets[sources.findIndex(known => known >= source)]
    const answer = await translator.translate({ topic, partition: 0, offset: BigInt(source) })
    expect([source, answer]).toMatchObject([source, { kind: 'exact', offset }])
  }
  await translator.disconnect()
}

describe('a record whose schema is not on the target', () => {
  it('waits, and only its lane', async () => {
    for (const topic of ['held', 'free']) await bed.createTopic(east, topic)
    const gate = new FakeGate().both('held', 1).register('held', 2).both('free', 1)
    let release: () => void = () => undefined
    gate.onBring = () => new Promise(resolve => (release = () => resolve(undefined)))
    await bed.append(east, 'held', [...valued(1, 'h', 5), ...valued(2, 'h', 1, 5), ...valued(1, 'h', 5, 6)])
    const { mirror: running, lane, laneIs } = await mirror(gate, ['held', 'free'], { link: 'held' })
    await laneIs('held', 'waiting')
    expect(lane('held').why).toBe(
      'schema id 2 of topic held is not on the target registry yet, it is being copied (the value at offset 5 names it)'
    )
    await bed.append(east, 'free', valued(1, 'f', 100))
    await eventually(() => lane('free').reached === 100n)
    await eventually(() => lane('held').reached === 5n)
    expect([lane('held').state, (await read(west, 'held')).length]).toEqual(['waiting', 5])
    release()
    await running.caughtUp({ timeoutMs: 30_000 })
    expect(lane('held')).toMatchObject({ guard: 'stable', state: 'caught-up' })
    expect((await read(west, 'held')).map(content)).toEqual((await read(east, 'held')).map(content))
  })

  it('keeps its batch together when the schema comes soon: it passes as it is', async () => {
    await bed.createTopic(east, 'whole')
    const gate = new FakeGate().both('whole', 1).register('whole', 2)
    gate.onBring = () => sleep(200).then(() => undefined)
    const large = Array.from({ length: 50 }, (_unused, index) => ({
      value: withId(index === 30 ? 2 : 1, randomBytes(1000))
    }))
    await bed.append(east, 'whole', large, { compression: 'lz4' })
    const { mirror: running, events } = await mirror(gate, 'whole', { link: 'whole' })
    await running.caughtUp({ timeoutMs: 30_000 })
    expect(events['lane:state'].map(({ to }) => to)).toContain('waiting')
    const [source, target] = await Promise.all([bed.batches(east, 'whole'), bed.batches(west, 'whole')])
    expect(target.map(({ count, bytes }) => [count, bytes])).toEqual(source.map(({ count, bytes }) => [count, bytes]))
    expect((await read(west, 'whole')).map(content)).toEqual((await read(east, 'whole')).map(content))
  })

  it('with `wait` its lane waits on, with one event, whatever comes before it in its batch goes, and a restart changes nothing', async () => {
    await bed.createTopic(east, 'waits', 2)
    const gate = new FakeGate().both('waits', 1).register('waits', 2)
    gate.onBring = () => Promise.reject(unreachable('west registry is down'))
    for (const partition of [0, 1])
      await bed.append(east, 'waits', [...valued(1, 'w', 10), ...valued(2, 'w', 10, 10)], { partition })
    const first = await mirror(gate, 'waits', { link: 'waits', schemas: { timeoutMs: 300 } })
    await eventually(() => first.lane('waits', 0).reached === 10n && first.lane('waits', 1).reached === 10n)
    expect(first.lane('waits')).toMatchObject({
      state: 'waiting',
      why: expect.stringContaining('west registry is down')
    })
    expect(first.missing).toMatchObject([
      { topic: 'waits', schemaId: 2, part: 'value', error: { code: 'TWINLOG_SCHEMA_REGISTRY' } }
    ])
    await first.mirror.stop()
    const second = await mirror(gate, 'waits', { link: 'waits' })
    await second.laneIs('waits', 'waiting', 1)
    await gate.arrive(2)
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    for (const partition of [0, 1])
      expect((await read(west, 'waits', partition)).map(content)).toEqual(
        (await read(east, 'waits', partition)).map(content)
      )
  })

  it('with `stop-partition` fails its lane, which goes on when the schema is there', async () => {
    await bed.createTopic(east, 'stops')
    const gate = new FakeGate().both('stops', 1).register('stops', 2)
    gate.onBring = () => Promise.reject(unreachable('west registry is down'))
    await bed.append(east, 'stops', [...valued(1, 's', 3), ...valued(2, 's', 3, 3)])
    const o = { timeoutMs: 300, onTimeout: 'stop-partition' } as const
    const { mirror: running, laneIs, lane } = await mirror(gate, 'stops', { link: 'stops', schemas: o })
    await laneIs('stops', 'failed')
    expect(lane('stops')).toMatchObject({
      reached: 3n,
      error: { code: 'TWINLOG_SCHEMA_REGISTRY', schemaId: 2, offset: 3n }
    })
    await gate.arrive(2)
    await laneIs('stops', 'caught-up')
    await running.caughtUp({ timeoutMs: 30_000 })
    expect((await read(west, 'stops')).map(textOf)).toEqual(['s0', 's1', 's2', 's3', 's4', 's5'])
  })

  it('with `dead-letter` goes there, the lane goes on without it, and offsets translate exactly', async () => {
    await bed.createTopic(east, 'dead')
    const gate = new FakeGate().both('dead', 1).register('dead', 2)
    gate.onBring = () => Promise.reject(unreachable('west registry is down'))
    await bed.append(east, 'dead', [...valued(1, 'd', 2), ...valued(2, 'd', 2, 2), ...valued(1, 'd', 2, 4)])
    const {
      mirror: running,
      lane,
      missing
    } = await mirror(gate, 'dead', {
      link: 'dead',
      onRecordError: { deadLetterTopic: 'dead-letters' },
      schemas: { timeoutMs: 300, onTimeout: 'dead-letter' }
    })
    await running.caughtUp({ timeoutMs: 30_000 })
    expect(lane('dead')).toMatchObject({ guard: 'fenced', guardWhy: expect.stringContaining('for want of a schema') })
    expect(missing).toHaveLength(1)
    expect((await read(west, 'dead')).map(textOf)).toEqual(['d0', 'd1', 'd4', 'd5'])
    const letters = await read(west, 'dead-letters')
    expect(letters.map(textOf)).toEqual(['d2', 'd3'])
    const headers = new Map(letters[0]?.headers.map(([name, value]) => [String(name), String(value)]))
    expect(headers.get('twinlog.error.code')).toBe('TWINLOG_SCHEMA_REGISTRY')
    expect(headers.get('twinlog.source.offset')).toBe('2')
    // Once it is there, nothing more is left out.
    await gate.arrive(2)
    await bed.append(east, 'dead', valued(2, 'd', 1, 6))
    await running.caughtUp({ timeoutMs: 30_000 })
    expect((await read(west, 'dead')).map(textOf)).toEqual(['d0', 'd1', 'd4', 'd5', 'd6'])
    await expectExact('dead', 'dead', [0, 1, 4, 5, 6])
  })

  it('is copied exactly once by two processes that race, whatever comes when', async () => {
    await bed.createTopic(east, 'race')
    const gates = [new FakeGate(), new FakeGate()]
    for (const gate of gates) gate.onBring = () => sleep(20 + Math.random() * 120).then(() => undefined)
    const options = { link: 'race', workers: false } as const
    const both = await Promise.all(gates.map(gate => mirror(gate, 'race', options)))
    let written = 0
    for (let id = 1; id <= 25; id++) {
      for (const gate of gates) gate.register('race', id)
      const records = Array.from(
        { length: 20 },
        () => valued(1 + Math.floor(Math.random() * id), `r${written++}`, 1)[0]!
      )
      await bed.append(east, 'race', records, { compression: id % 2 === 0 ? 'lz4' : 'none' })
    }
    await Promise.all(both.map(({ mirror: running }) => running.caughtUp({ timeoutMs: 30_000 })))
    expect(both.map(({ lane }) => lane('race').guard)).toEqual(['stable', 'stable'])
    expect((await read(west, 'race')).map(content)).toEqual((await read(east, 'race')).map(content))
  })
})

describe('ids that differ between the registries', () => {
  it('become those of the target, and nothing else changes; the map outlives the process', async () => {
    await bed.createTopic(east, 'ids')
    const gate = new FakeGate('translate').register('ids', 1).register('ids', 2).register('ids', GUID)
    const at = Date.now()
    const records: TestRecord[] = [
      { key: withId(1, 'key'), value: withId(2, 'value') },
      { key: withId(1, 'key'), value: null },
      { key: null, value: withId(2, '') },
      { key: '', value: '' },
      // What only looks like it: unknown, too short, of the text kind.
      { key: Buffer.from([0, 1, 2, 3, 4, 5]), value: withId(77, 'binary') },
      { key: Buffer.from([0, 0, 0, 2]), value: 'text' },
      // Protobuf's message indexes, and payloads of which the header speaks.
      { value: withId(2, Buffer.from([4, 0, 2, 9])) }
    ].map((given, index) => ({ ...given, timestamp: at - index }))
    await bed.append(east, 'ids', records)
    const headed: [string, Buffer | null][][] = [
      [['__value_schema_id', withId(1, '')]],
      [
        ['__value_schema_id', withGuid()],
        ['trace', null],
        ['trace', Buffer.from('t')]
      ],
      [['__key_schema_id', withId(2, Buffer.from([0]))]]
    ]
    for (const headers of headed) await bed.append(east, 'ids', [{ value: withId(2, 'v'), headers: headers as never }])
    const first = await mirror(gate, 'ids', { link: 'ids' })
    await first.mirror.caughtUp({ timeoutMs: 30_000 })
    expect(first.lane('ids')).toMatchObject({ guard: 'fenced', guardWhy: 'schema ids are rewritten' })
    const source = await read(east, 'ids')
    const expected = source.map(content)
    const put = (bytes: Buffer | null | undefined, id: number) => void bytes?.writeInt32BE(id, 1)
    put(expected[0]?.key, 1001)
    put(expected[0]?.value, 1002)
    put(expected[1]?.key, 1001)
    put(expected[2]?.value, 1002)
    put(expected[6]?.value, 1002)
    put(expected[7]?.headers[0]?.[1], 1001)
    put(expected[9]?.headers[0]?.[1], 1002)
    put(expected[9]?.value, 1002)
    expect((await read(west, 'ids')).map(content)).toEqual(expected)
    await first.mirror.stop()
    // Another process with a registry client that knows nothing yet.
    const fresh = new FakeGate('translate').register('ids', 1).register('ids', 2).register('ids', 3)
    fresh.onBring = () => sleep(300).then(() => undefined)
    await bed.append(east, 'ids', [...valued(1, 'a', 3), ...valued(3, 'a', 3, 3)])
    const second = await mirror(fresh, 'ids', { link: 'ids' })
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    expect(fresh.learnt.sort((a, b) => a.sourceId - b.sourceId)).toEqual([
      { sourceId: 1, targetId: 1001 },
      { sourceId: 2, targetId: 1002 }
    ])
    expect(fresh.brought).toEqual([3])
    // The target's registry was built anew.
    const warned = second.events.warning.length
    await fresh.arrive(1, 5001)
    await bed.append(east, 'ids', valued(1, 'a', 2, 6))
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    expect(second.events.warning.slice(warned)).toMatchObject([{ message: expect.stringContaining('was 1001') }])
    expect((await read(west, 'ids')).slice(source.length).map(idOf)).toEqual([
      1001, 1001, 1001, 1003, 1003, 1003, 5001, 5001
    ])
    const total = source.length + 8
    await expectExact(
      'ids',
      'ids',
      Array.from({ length: total }, (_unused, offset) => offset)
    )
  })

  it('work together with routes, old records and compaction, and a restart in the middle of it', async () => {
    await bed.createTopic(east, 'mixed')
    await bed.createTopic(east, 'compact', 1, { 'cleanup.policy': 'compact' })
    await bed.createTopic(east, 'old')
    const old = Date.now() - 48 * 3_600_000
    const batches = async (from: number) => {
      await bed.append(east, 'mixed', [...valued(1, 'm', 3, from), ...valued(2, 'm', 3, from + 3)])
      await bed.append(
        east,
        'compact',
        valued(1, 'c', 6, from).map((given, index) => ({ ...given, key: `c${from + index}` }))
      )
      await bed.append(
        east,
        'old',
        [...valued(1, 'o', 3, from), ...valued(2, 'o', 3, from + 3)].map(given => ({ ...given, timestamp: old }))
      )
    }
    const even: Transform = record =>
      Number(record.value?.subarray(6).toString()) % 2 === 0 ? { ...record, topic: 'mixed-even' } : [record, record]
    const gateOf = (withTwo: boolean) => {
      const gate = new FakeGate('translate')
      for (const topic of ['mixed', 'compact', 'old']) for (const id of [1, 2]) gate.register(topic, id)
      if (!withTwo) gate.onBring = id => (id === 2 ? Promise.reject(unreachable()) : Promise.resolve(undefined))
      return gate
    }
    await batches(0)
    const o = { link: 'mixed', transform: { mixed: even } }
    const first = await mirror(gateOf(false), ['mixed', 'compact', 'old'], o)
    await first.laneIs('mixed', 'waiting')
    await first.laneIs('old', 'waiting')
    await eventually(() => first.lane('old').reached === 3n)
    await eventually(() => first.lane('compact').reached === 6n)
    expect(first.lane('compact').guardWhy).toBe('the source topic is compacted; schema ids are rewritten')
    expect(first.lane('old').guard).toBe('transactional')
    await first.mirror.stop()
    await batches(6)
    const second = await mirror(gateOf(true), ['mixed', 'compact', 'old'], o)
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    const whole = async (topic: string) => (await read(west, topic)).map(given => `${idOf(given)} ${textOf(given)}`)
    expect(await whole('mixed-even')).toEqual(['1001 m0', '1001 m2', '1002 m4', '1001 m6', '1001 m8', '1002 m10'])
    const odd = ['1001 m1', '1002 m3', '1002 m5', '1001 m7', '1002 m9', '1002 m11']
    expect(await whole('mixed')).toEqual(odd.flatMap(value => [value, value]))
    expect(await whole('compact')).toEqual(Array.from({ length: 12 }, (_unused, index) => `1001 c${index}`))
    const ids = Array.from({ length: 12 }, (_unused, index) => (index % 6 < 3 ? 1001 : 1002))
    expect(await whole('old')).toEqual(ids.map((id, index) => `${id} o${index}`))
  })
})
