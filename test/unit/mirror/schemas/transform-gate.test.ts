import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { LaneSchemas } from '../../../../src/mirror/schemas/lane-schemas.js'
import type { SchemaTimeoutPolicy } from '../../../../src/mirror/schemas/options.js'
import { TopicSchemas } from '../../../../src/mirror/schemas/read-look.js'
import { SchemaWaits } from '../../../../src/mirror/schemas/schema-waits.js'
import { type RecordFailure, transformSegments } from '../../../../src/mirror/transform/run-transform.js'
import type { Transform } from '../../../../src/mirror/transform-types.js'
import { viewOf } from '../../../../src/records/batch.js'
import { decodeRecords } from '../../../../src/records/decode.js'
import { FakeGate, unreachable } from './fake-gate.js'
import { ids, record, segmentsOf, withId } from './records.js'

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const SOURCE = { topic: 'orders', topicId: 'id', partition: 0 }
const all: SchemaWaits[] = []

afterEach(() => {
  for (const waits of all.splice(0)) waits.end()
})

/** Runs a transform behind the gate; again and again with the same lane. */
function laneWith(
  gate: FakeGate,
  transform: Transform,
  o: { onTimeout?: SchemaTimeoutPolicy; timeoutMs?: number } = {}
) {
  const waits = new SchemaWaits({ timeoutMs: o.timeoutMs ?? 60_000, logger: SILENT, missing: () => undefined })
  all.push(waits)
  const topic = new TopicSchemas('orders', gate)
  const schemas = new LaneSchemas({ topic, waits, source: SOURCE, onTimeout: o.onTimeout ?? 'wait' })
  const failures: RecordFailure[] = []
  return {
    failures,
    run: async (segments: ReturnType<typeof segmentsOf>) => {
      const result = await transformSegments(segments, {
        transform,
        source: SOURCE,
        mine: () => 'mine',
        timeoutMs: 1_000,
        signal: new AbortController().signal,
        onError: failure => (failures.push(failure), Promise.resolve('drop')),
        admit: schemas.records(segments, performance.now()),
        maxBatchBytes: 100_000
      })
      const values = result.batches
        .flatMap(({ bytes }) => decodeRecords(viewOf(bytes)))
        .map(({ value }) => (value === null ? null : `${value.readInt32BE(1)} ${value.subarray(5).toString()}`))
      return { ...result, values }
    }
  }
}

const same: Transform = given => given

describe('a transform behind the schema gate', () => {
  it('sees the ids of the source, and what it returns gets those of the target', async () => {
    const gate = new FakeGate('translate').both('orders', 1, 101).both('orders', 2, 102)
    const seen: number[] = []
    const once = withId(2, 'same buffer each time')
    const transform: Transform = given => {
      if (given.value === null) return given
      seen.push(given.value.readInt32BE(1))
      return [given, { ...given, value: once }, { ...given, value: null }]
    }
    const { run } = laneWith(gate, transform)
    const { values } = await run(segmentsOf([[...ids(1, 2), record(2)]]))
    expect(seen).toEqual([1, 2])
    expect(values).toEqual([
      '101 v0',
      '102 same buffer each time',
      null,
      '102 v1',
      '102 same buffer each time',
      null,
      null
    ])
    expect(once.readInt32BE(1)).toBe(2)
  })

  it.each<[string, Transform]>([
    ['synchronous', same],
    ['asynchronous', async given => (await sleep(Math.random() * 5), given)]
  ])('plans what is before a record that waits, and nothing of it or behind it (%s)', async (_name, transform) => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    gate.onBring = () => sleep(100).then(() => undefined)
    const { run } = laneWith(gate, transform)
    const segments = segmentsOf([ids(1, 1, 2, 1)])
    const first = await run(segments)
    expect([first.values, first.next, first.held?.from, first.stopped]).toEqual([['1 v0', '1 v1'], 2n, 2n, undefined])
    await new Promise<void>(resolve => void first.held?.begin({ released: resolve, changed: () => undefined }))
    expect((await run(segments)).values).toEqual(['1 v0', '1 v1', '2 v2', '1 v3'])
  })

  it('waits for no schema of a record that it leaves out', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    const { run } = laneWith(gate, given => (given.value?.readInt32BE(1) === 2 ? null : given))
    const { values, held } = await run(segmentsOf([ids(1, 2, 1)]))
    expect([values, held, gate.brought]).toEqual([['1 v0', '1 v2'], undefined, []])
  })

  it('stops at the record, or hands it over as it stands on the source, when the time is over', async () => {
    for (const onTimeout of ['stop-partition', 'dead-letter'] as const) {
      const gate = new FakeGate().both('orders', 1).register('orders', 2)
      gate.onBring = () => Promise.reject(unreachable())
      const transform: Transform = given => {
        given.headers.push(['seen', null])
        return given
      }
      const { run, failures } = laneWith(gate, transform, { onTimeout, timeoutMs: 100 })
      const segments = segmentsOf([ids(1, 2, 2, 1)])
      const { held } = await run(segments)
      await new Promise<void>(resolve => void held?.begin({ released: resolve, changed: () => undefined }))
      const { values, next, stopped, dropped } = await run(segments)
      if (onTimeout === 'stop-partition') {
        expect([values, next, stopped?.offset, stopped?.error.code]).toEqual([
          ['1 v0'],
          1n,
          1n,
          'TWINLOG_SCHEMA_REGISTRY'
        ])
        continue
      }
      expect([values, next, dropped]).toEqual([['1 v0', '1 v3'], 4n, 2])
      expect(failures.map(({ offset, record: given }) => [offset, given?.headers])).toEqual([
        [1n, []],
        [2n, []]
      ])
    }
  })
})
