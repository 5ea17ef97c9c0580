import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { Lane } from '../../../../src/mirror/lane.js'
import { MirrorSchemas } from '../../../../src/mirror/schemas/mirror-schemas.js'
import type { SchemaTimeoutPolicy } from '../../../../src/mirror/schemas/options.js'
import type { MirrorEvents } from '../../../../src/mirror/events.js'
import type { LaneWork } from '../../../../src/mirror/lane-work.js'
import type { RecordErrorPolicy } from '../../../../src/mirror/options.js'
import type { FetchedPartition } from '../../../../src/kafka/requests/fetch.js'
import { encodeBatch } from '../../../../src/records/encode.js'
import { decodeRecords } from '../../../../src/records/decode.js'
import { viewOf } from '../../../../src/records/batch.js'
import type { DecodedRecord, Segment } from '../../../../src/records/types.js'
import { cut, LaneBench, workOf } from '../lane-bench.js'
import { FakeGate, unreachable } from './fake-gate.js'
import { record, withId } from './records.js'

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const sessions: MirrorSchemas[] = []

afterEach(() => {
  for (const session of sessions.splice(0)) session.end()
})

/** A lane behind a gate, and a source log of values with these ids: one list a batch. */
function gated(
  gate: FakeGate,
  batches: number[][],
  o: { onTimeout?: SchemaTimeoutPolicy; timeoutMs?: number; onRecordError?: RecordErrorPolicy } = {}
) {
  const { onTimeout = 'wait', timeoutMs = 60_000, onRecordError = 'stop-partition' } = o
  const missing: Parameters<MirrorEvents['schema:missing']>[0][] = []
  const schemas = new MirrorSchemas({
    options: { sync: { gate: () => gate }, topics: 'orders', timeoutMs, onTimeout, subjectsOf: 'topic' },
    logger: SILENT,
    events: { missing: event => void missing.push(event), warning: () => undefined }
  })
  sessions.push(schemas)
  const source = { topic: 'orders', topicId: 'id', partition: 3 }
  const work: LaneWork = { ...workOf({ onRecordError }), schemas: schemas.ofLane(source)! }
  const bench = new LaneBench({ work })
  let offset = 0
  const log: DecodedRecord[][] = batches.map(ids =>
    ids.map(id => record(offset++, { value: id < 0 ? null : withId(id, `v${offset - 1}`) }))
  )
  const end = BigInt(offset)
  /** What a broker answers: whole batches from the one that holds the position. */
  const answer = (): FetchedPartition => ({
    ...bench.answer(0),
    highWatermark: end,
    lastStableOffset: end,
    records: Buffer.concat(
      log
        .filter(records => (records.at(-1)?.offset ?? 0n) >= bench.lane.position)
        .map(records => encodeBatch({ records, baseOffset: records[0]?.offset ?? 0n }))
    )
  })
  const { lane } = bench
  const fetch = async () => {
    const segments: Segment[] | undefined = lane.wantsFetch ? lane.read(answer(), lane.position) : undefined
    if (segments) await lane.ingest(segments)
  }
  /** Everything that may go out now, acknowledged. */
  const sent = (): string[] => {
    const values: string[] = []
    for (;;) {
      const sends = bench.send()
      if (sends.length === 0) return values
      for (const send of sends) {
        values.push(
          ...decodeRecords(viewOf(send.batch.bytes)).map(({ value }) => value?.subarray(5).toString() ?? 'null')
        )
        bench.appended(send, 100n + send.first)
      }
    }
  }
  bench.begin()
  return { bench, lane, fetch, sent, missing }
}

async function until(check: () => boolean): Promise<void> {
  for (let turn = 0; turn < 200; turn++) {
    if (check()) return
    await sleep(10)
  }
  throw new Error('did not become true in time')
}

const place = (lane: Lane) => [lane.state, lane.position, lane.wantsFetch]

describe('a lane with a schema gate', () => {
  it('waits before a record whose schema is missing, without memory and without fetching, and says why', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    gate.onBring = () => Promise.reject(unreachable('target down'))
    const { lane, fetch, sent } = gated(gate, [[1, 1], [2, 1], [1]])
    await fetch()
    expect(place(lane)).toEqual(['waiting', 2n, false])
    expect(sent()).toEqual(['v0', 'v1'])
    expect([lane.bytes, lane.reached, lane.status().guard]).toEqual([0, 2n, 'stable'])
    await until(() => lane.status().why?.includes('target down') === true)
    expect(lane.status().why).toBe(
      'schema id 2 of topic orders is not on the target registry, and copying it fails: target down (the value at offset 2 names it)'
    )
    await gate.arrive(2)
    await until(() => lane.wantsFetch)
    expect(lane.state).toBe('copying')
    await fetch()
    expect(sent()).toEqual(['v2', 'v3', 'v4'])
    expect(lane.state).toBe('caught-up')
  })

  it('copies what a paused lane had fetched, waits on while it is paused, and shows it again afterwards', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    gate.onBring = () => new Promise(() => undefined)
    const { lane, fetch, sent } = gated(gate, [[1], [2]])
    await fetch()
    lane.pause()
    expect(sent()).toEqual(['v0'])
    expect(lane.state).toBe('paused')
    lane.resume()
    expect(lane.state).toBe('waiting')
    lane.pause()
    gate.target.set(2, 2)
    await sleep(200)
    lane.resume()
    await fetch()
    expect(sent()).toEqual(['v1'])
  })

  it('ignores an answer that was on its way when the waiting began', async () => {
    const gate = new FakeGate().register('orders', 2)
    gate.onBring = () => new Promise(() => undefined)
    const { bench, lane, fetch } = gated(gate, [[2]])
    await fetch()
    expect(lane.read(bench.answer(1), lane.position)).toBeUndefined()
  })

  it('begins to wait anew after an error, and lets go when it is stopped', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    let ended = false
    gate.onBring = (_id, signal) =>
      new Promise((_resolve, reject) => signal?.addEventListener('abort', () => ((ended = true), reject(cut()))))
    const { bench, lane, fetch, sent } = gated(gate, [[1], [2]])
    await fetch()
    expect(sent()).toEqual(['v0'])
    lane.unreachable(cut())
    bench.begin({ next: 1n, targetEnd: 101n })
    expect([lane.state, lane.wantsFetch]).toEqual(['copying', true])
    await fetch()
    expect(lane.state).toBe('waiting')
    expect(gate.brought).toEqual([2])
    lane.stop()
    for (const session of sessions.splice(0)) session.end()
    expect([lane.state, ended]).toEqual(['stopped', true])
  })

  it('fails after the time-out with `stop-partition`, with everything before the record copied, and goes on later', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    gate.onBring = () => Promise.reject(unreachable('target down'))
    const { bench, lane, fetch, sent, missing } = gated(gate, [[1, 2]], { onTimeout: 'stop-partition', timeoutMs: 150 })
    await fetch()
    expect([lane.state, sent()]).toEqual(['waiting', []])
    await until(() => lane.wantsFetch)
    await fetch()
    expect(sent()).toEqual(['v0'])
    expect(lane.state).toBe('failed')
    expect(lane.error).toMatchObject({ code: 'TWINLOG_SCHEMA_REGISTRY', schemaId: 2, offset: 1n, topic: 'orders' })
    expect(missing).toMatchObject([{ topic: 'orders', partition: 3, schemaId: 2, part: 'value' }])
    lane.retry()
    bench.begin({ next: 1n, targetEnd: 101n })
    await fetch()
    expect(lane.state).toBe('failed')
    await gate.arrive(2)
    lane.retry()
    bench.begin({ next: 1n, targetEnd: 101n })
    await fetch()
    expect(sent()).toEqual(['v1'])
    expect(missing).toHaveLength(1)
  })

  it('leaves records out with `dead-letter`, as they stand on the source, and goes on behind them', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    gate.onBring = () => Promise.reject(unreachable('target down'))
    const o = { onTimeout: 'dead-letter', timeoutMs: 150, onRecordError: { deadLetterTopic: 'dlq' } } as const
    const { bench, lane, fetch, sent } = gated(gate, [[1, 2, 1], [2, 2], [1]], o)
    await fetch()
    await until(() => lane.wantsFetch)
    await fetch()
    await until(() => lane.bytes > 0)
    expect([lane.position, sent()]).toEqual([6n, ['v0', 'v2', 'v5']])
    expect(
      bench.host.left.map(({ offset, record: given, error }) => [
        offset,
        given?.value?.subarray(5).toString(),
        error.code
      ])
    ).toEqual([
      [1n, 'v1', 'TWINLOG_SCHEMA_REGISTRY'],
      [3n, 'v3', 'TWINLOG_SCHEMA_REGISTRY'],
      [4n, 'v4', 'TWINLOG_SCHEMA_REGISTRY']
    ])
    expect(bench.host.gaps.flatMap(({ gaps }) => gaps)).toEqual([
      { ordinal: 1n, from: 1n, length: 1n },
      { ordinal: 2n, from: 3n, length: 2n }
    ])
  })

  it('leaves a record in while the word about it cannot be written', async () => {
    const gate = new FakeGate().register('orders', 2)
    gate.onBring = () => Promise.reject(unreachable('target down'))
    const o = { onTimeout: 'dead-letter', timeoutMs: 100, onRecordError: { deadLetterTopic: 'dlq' } } as const
    const { bench, lane, fetch } = gated(gate, [[2]], o)
    bench.host.onDropped = () => Promise.reject(cut())
    await fetch()
    await until(() => lane.wantsFetch)
    await fetch()
    expect(bench.host.recoveries).toHaveLength(1)
    expect([lane.position, bench.host.left]).toEqual([0n, []])
  })

  it('does not look into a damaged batch twice: it is damaged, gate or not', async () => {
    const gate = new FakeGate().both('orders', 1)
    const { bench, lane } = gated(gate, [[1]])
    const answer = bench.answer(1)
    // The first record's length.
    answer.records[61] = 0x7f
    const segments = lane.read(answer, 0n)!
    await lane.ingest(segments)
    expect(lane.error).toMatchObject({ code: 'TWINLOG_CORRUPT_BATCH', offset: 0n })
  })
})
