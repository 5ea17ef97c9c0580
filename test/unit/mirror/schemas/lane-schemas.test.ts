import { afterEach, describe, expect, it } from 'vitest'
import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError } from '../../../../src/errors.js'
import { LaneSchemas } from '../../../../src/mirror/schemas/lane-schemas.js'
import type { SchemaTimeoutPolicy } from '../../../../src/mirror/schemas/options.js'
import { TopicSchemas } from '../../../../src/mirror/schemas/read-look.js'
import type { SchemaHold } from '../../../../src/mirror/schemas/schema-hold.js'
import { type SchemaWait, SchemaWaits } from '../../../../src/mirror/schemas/schema-waits.js'
import { decodeRecords } from '../../../../src/records/decode.js'
import type { DecodedRecord, Segment } from '../../../../src/records/types.js'
import { FakeGate, unreachable } from './fake-gate.js'
import { GUID, ids, record, segmentsOf, withGuid, withId } from './records.js'

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const ends: (() => void)[] = []

afterEach(() => {
  for (const end of ends.splice(0)) end()
})

function laneWith(gate: FakeGate, o: { onTimeout?: SchemaTimeoutPolicy; timeoutMs?: number } = {}) {
  const missing: SchemaWait[] = []
  const warnings: unknown[][] = []
  const logger = { ...SILENT, warn: (...what: unknown[]) => void warnings.push(what) }
  const waits = new SchemaWaits({ timeoutMs: o.timeoutMs ?? 60_000, logger, missing: wait => void missing.push(wait) })
  ends.push(() => waits.end())
  const topic = new TopicSchemas('orders', gate)
  const source = { topic: 'orders', topicId: 'id', partition: 3 }
  const make = () => new LaneSchemas({ topic, waits, source, onTimeout: o.onTimeout ?? 'wait' })
  return { lane: make(), make, missing, warnings }
}

/** Resolves when the hold lets go. */
const released = (hold: SchemaHold | undefined) =>
  new Promise<string[]>((resolve, reject) => {
    if (!hold) return reject(new Error('nothing is held'))
    const whys: string[] = []
    ends.push(hold.begin({ released: () => resolve(whys), changed: () => void whys.push(hold.why) }))
  })

const spans = (segments: readonly Segment[]) => segments.map(({ from, to }) => [Number(from), Number(to)])
const now = () => performance.now()

describe('the schema gate of a lane', () => {
  it('asks once, then says at once that everything may go, and hands the segments on as they are', async () => {
    const gate = new FakeGate().both('orders', 1).both('orders', 2)
    const { lane } = laneWith(gate)
    const segments = segmentsOf([ids(1, 2, 1), [record(3, { value: withId(2) })]])
    expect(lane.admitNow(segments, now())).toBeUndefined()
    expect(await lane.admit(segments, now())).toMatchObject({ segments, drops: [] })
    expect(lane.admitNow(segments, now())?.segments).toEqual(segments)
    expect(gate.brought).toEqual([])
  })

  it('asks one question for all the binary data of a read, and never waits for it', async () => {
    const gate = new FakeGate().both('orders', 1)
    const { lane } = laneWith(gate)
    const binary = Array.from({ length: 500 }, (_unused, offset) => record(offset, { value: withId(5_000 + offset) }))
    const segments = segmentsOf([binary])
    expect((await lane.admit(segments, now())).segments).toEqual(segments)
    expect(gate.looks).toBe(1)
    // What is read later says nothing about what was read before: it is asked for anew.
    gate.register('orders', 5_001)
    const later = await lane.admit(segments, now())
    expect(gate.looks).toBe(2)
    expect([later.held?.from, gate.brought]).toEqual([0n, [5_001]])
  })

  it('holds the batch of a record whose schema is missing as a whole, then only the record and what follows', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    gate.onBring = () => Promise.reject(new TwinlogError('TWINLOG_SCHEMA_REGISTRY', 'no room', { retriable: true }))
    const { lane } = laneWith(gate)
    const segments = segmentsOf([
      ids(1, 1),
      [2, 3, 4].map(offset => record(offset, { value: withId(offset === 3 ? 2 : 1) }))
    ])
    const first = await lane.admit(segments, now())
    expect([spans(first.segments), first.held?.from]).toEqual([[[0, 2]], 2n])
    expect(first.held?.why).toBe(
      'schema id 2 of topic orders is not on the target registry yet, it is being copied (the value at offset 3 names it)'
    )
    const whys = await released(first.held)
    expect(whys[0]).toBe(
      'schema id 2 of topic orders is not on the target registry, and copying it fails: no room (the value at offset 3 names it)'
    )
    const second = await lane.admit(segments, now())
    expect([spans(second.segments), second.held?.from]).toEqual([
      [
        [0, 2],
        [2, 3]
      ],
      3n
    ])
    const there = released(second.held)
    await gate.arrive(2)
    await there
    expect((await lane.admit(segments, now())).segments).toEqual(segments)
  })

  it('with other ids on the target it holds the record at once, and rewrites what is before it', async () => {
    const gate = new FakeGate('translate').both('orders', 1, 101).register('orders', 2)
    gate.onBring = () => sleep(50).then(() => 202)
    const { lane } = laneWith(gate)
    const segments = segmentsOf([ids(1, 2, 1)])
    const first = await lane.admit(segments, now())
    expect([spans(first.segments), first.held?.from]).toEqual([[[0, 1]], 1n])
    await released(first.held)
    const { segments: all, held } = await lane.admit(segments, now())
    const targets = all.flatMap(each => (each.kind === 'data' ? decodeRecords(each.batch) : []))
    expect([held, targets.map(({ value }) => value?.readInt32BE(1))]).toEqual([undefined, [101, 202, 101]])
  })

  it('works on a schema once however many lanes wait for it, and again and again', async () => {
    const gate = new FakeGate().register('orders', 2)
    let attempts = 0
    gate.onBring = () => (++attempts < 3 ? Promise.reject(unreachable()) : Promise.resolve(undefined))
    const { make, warnings } = laneWith(gate)
    const segments = segmentsOf([ids(2)])
    const lanes = [make(), make(), make()]
    const holds = await Promise.all(lanes.map(lane => lane.admit(segments, now())))
    await Promise.all(holds.map(({ held }) => released(held)))
    expect(attempts).toBe(3)
    // Two failures, one line of log.
    expect(warnings).toHaveLength(1)
  })

  it('lets go when the schema came another way while copying it fails', async () => {
    const gate = new FakeGate().register('orders', 2)
    gate.onBring = () => new Promise(() => undefined)
    const { lane } = laneWith(gate)
    const { held } = await lane.admit(segmentsOf([ids(2)]), now())
    const free = released(held)
    gate.target.set(2, 2)
    await free
  })

  it('waits for a GUID in a header as for an id', async () => {
    const gate = new FakeGate('translate').register('orders', GUID)
    const { lane } = laneWith(gate)
    const segments = segmentsOf([[record(0, { value: withId(1), headers: [['__value_schema_id', withGuid()]] })]])
    const { held } = await lane.admit(segments, now())
    expect(held?.why).toMatch(`schema GUID ${GUID} of topic orders`)
    await released(held)
    expect(gate.brought).toEqual([GUID])
    expect((await lane.admit(segments, now())).segments).toEqual(segments)
  })

  it('waits while the source registry cannot be asked, and goes on when it answers', async () => {
    const gate = new FakeGate()
    gate.onLook = () => Promise.reject(unreachable('nobody at http://sr:8081'))
    const { lane } = laneWith(gate)
    const segments = segmentsOf([ids(9)])
    const { held } = await lane.admit(segments, now())
    expect(held?.from).toBe(0n)
    const free = released(held)
    await sleep(50)
    expect(held?.why).toBe(
      'the source registry cannot be asked for schema id 9 of topic orders: nobody at http://sr:8081 (the value at offset 0 names it)'
    )
    gate.onLook = () => Promise.resolve()
    await free
    expect((await lane.admit(segments, now())).segments).toEqual(segments)
  })

  it('gives the memory back while an answer takes its time, and does not ask the same again afterwards', async () => {
    const gate = new FakeGate()
    // Always slower than the lane waits with its memory.
    gate.onLook = () => sleep(700).then(() => undefined)
    const { lane } = laneWith(gate)
    const segments = segmentsOf([ids(9, 10)])
    const { held, segments: before } = await lane.admit(segments, now())
    expect([before, held?.from]).toEqual([[], 0n])
    await released(held)
    // Read again, with more behind it.
    const more = [...segments, ...segmentsOf([[record(2, { value: withId(11) })]])]
    const again = await lane.admit(more, now())
    expect([again.segments, again.held]).toEqual([segments, undefined])
    expect(gate.looks).toBe(1)
    const rest = await lane.admit(more.slice(1), now())
    expect(rest.held?.from).toBe(2n)
  })

  it('with `wait` it tells once that time is over, and waits on', async () => {
    const gate = new FakeGate().register('orders', 2)
    gate.onBring = () => Promise.reject(unreachable('target down'))
    const { lane, missing } = laneWith(gate, { timeoutMs: 150 })
    const { held } = await lane.admit(segmentsOf([ids(2)]), now())
    let free = false
    void released(held).then(() => (free = true))
    await sleep(500)
    expect([free, missing.length, missing[0]?.work.named.offset]).toEqual([false, 1, 0n])
    await gate.arrive(2)
    await sleep(200)
    expect(free).toBe(true)
  })

  it('with `stop-partition` everything before the record goes, and the lane stops there with the reason', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    gate.onBring = () => Promise.reject(unreachable('target down'))
    const { lane, missing } = laneWith(gate, { onTimeout: 'stop-partition', timeoutMs: 150 })
    const segments = segmentsOf([ids(1, 1, 2)])
    await released((await lane.admit(segments, now())).held)
    const { segments: before, stopped, held } = await lane.admit(segments, now())
    expect([spans(before), held, stopped?.offset]).toEqual([[[0, 2]], undefined, 2n])
    expect(stopped?.error).toMatchObject({
      code: 'TWINLOG_SCHEMA_REGISTRY',
      topic: 'orders',
      partition: 3,
      offset: 2n,
      schemaId: 2
    })
    expect(stopped?.error.message).toBe(
      'source offset 2 of orders-3: schema id 2, which its value names, is not on the target registry after 150 ms (schemas.timeoutMs): target down'
    )
    expect(missing).toHaveLength(1)
    // Tried again: it stops at once, and goes on as soon as the schema is there.
    expect((await lane.admit(segments, now())).stopped?.offset).toBe(2n)
    await gate.arrive(2)
    expect((await lane.admit(segments, now())).segments).toEqual(segments)
  })

  it('with `dead-letter` it names every record of the read that is left out, each once', async () => {
    const gate = new FakeGate().both('orders', 1).register('orders', 2)
    gate.onBring = () => Promise.reject(unreachable('target down'))
    const { lane } = laneWith(gate, { onTimeout: 'dead-letter', timeoutMs: 150 })
    const both = record(2, { key: withId(2), value: withId(2) })
    const segments = segmentsOf([[...ids(1, 2), both, record(3, { value: withId(1) })]])
    const { held, segments: before } = await lane.admit(segments, now())
    expect([spans(before), held?.from]).toEqual([[[0, 1]], 1n])
    await released(held)
    const { drops, segments: nothing } = await lane.admit(segments, now())
    expect(drops.map(({ offset, error }) => [offset, error.code])).toEqual([
      [1n, 'TWINLOG_SCHEMA_REGISTRY'],
      [2n, 'TWINLOG_SCHEMA_REGISTRY']
    ])
    expect(nothing).toEqual([])
  })

  it('the policy counts as well while the source registry cannot be asked', async () => {
    const gate = new FakeGate().both('orders', 1)
    await gate.knows('orders', 1, now(), 'value')
    gate.onLook = () => Promise.reject(unreachable())
    for (const onTimeout of ['stop-partition', 'dead-letter'] as const) {
      const { lane } = laneWith(gate, { onTimeout, timeoutMs: 150 })
      const segments = segmentsOf([ids(1, 8, 9)])
      await released((await lane.admit(segments, now())).held)
      const { stopped, drops } = await lane.admit(segments, now())
      if (onTimeout === 'stop-partition') expect(stopped?.offset).toBe(1n)
      else expect(drops.map(({ offset }) => offset)).toEqual([1n, 2n])
    }
  })

  it('forgets what it had read before when the lane begins anew', async () => {
    const gate = new FakeGate()
    gate.onLook = () => sleep(600).then(() => undefined)
    const { lane } = laneWith(gate)
    await released((await lane.admit(segmentsOf([ids(9)]), now())).held)
    lane.restarted()
    gate.onLook = () => Promise.resolve()
    gate.register('orders', 9)
    expect((await lane.admit(segmentsOf([ids(9)]), now())).held?.from).toBe(0n)
  })
})

describe('the outputs of a transform', () => {
  const outputs = (...values: (Buffer | null)[]): DecodedRecord[] => values.map(value => record(0, { value }))

  it('get the ids of the target in memory of their own', async () => {
    const gate = new FakeGate('translate').both('orders', 1, 101).both('orders', 2, 102)
    const { lane } = laneWith(gate)
    const admit = lane.records(segmentsOf([ids(1)]), now())
    const shared = withId(1)
    const records = [
      ...outputs(shared, shared, null),
      record(0, { key: withId(2), headers: [['__value_schema_id', withId(2, '')]], value: withId(1) })
    ]
    expect(await admit(records, 0n)).toBeUndefined()
    expect(records.map(({ value }) => value?.readInt32BE(1))).toEqual([101, 101, undefined, 1])
    expect(records[3]?.key?.readInt32BE(1)).toBe(102)
    expect(records[3]?.headers[0]?.[1]?.readInt32BE(1)).toBe(102)
    expect(shared.readInt32BE(1)).toBe(1)
  })

  it('wait, stop or are left out as other records are', async () => {
    for (const onTimeout of ['wait', 'stop-partition', 'dead-letter'] as const) {
      const gate = new FakeGate().both('orders', 1).register('orders', 2)
      gate.onBring = () => Promise.reject(unreachable())
      const { lane } = laneWith(gate, { onTimeout, timeoutMs: 150 })
      const segments = segmentsOf([ids(1, 2)])
      expect(await lane.records(segments, now())(outputs(withId(1)), 0n)).toBeUndefined()
      const first = await lane.records(segments, now())(outputs(withId(2)), 1n)
      expect(first).toMatchObject({ kind: 'hold', held: { from: 1n } })
      if (first?.kind !== 'hold') return
      if (onTimeout === 'wait') ends.push(first.held.begin({ released: () => undefined, changed: () => undefined }))
      else await released(first.held)
      await sleep(300)
      const kinds = { wait: 'hold', 'stop-partition': 'stop', 'dead-letter': 'drop' }
      expect(await lane.records(segments, now())(outputs(withId(2)), 1n)).toMatchObject({ kind: kinds[onTimeout] })
    }
  })

  it('are held when the source registry cannot be asked, and do not spin', async () => {
    const gate = new FakeGate()
    gate.onLook = () => Promise.reject(unreachable())
    const { lane } = laneWith(gate)
    const found = await lane.records(segmentsOf([ids(7)]), now())(outputs(withId(7)), 0n)
    expect(found).toMatchObject({ kind: 'hold' })
    expect(gate.looks).toBeLessThan(4)
  })

  it('remember for all records of a read when they were read', async () => {
    const gate = new FakeGate()
    gate.onLook = () => sleep(700).then(() => undefined)
    const { lane } = laneWith(gate)
    const segments = segmentsOf([ids(7, 8, 9)])
    const found = await lane.records(segments, now())(outputs(withId(7)), 0n)
    if (found?.kind !== 'hold') throw new Error('not held')
    await released(found.held)
    const admit = lane.records(segments, now())
    for (const [offset, id] of [7, 8, 9].entries())
      expect(await admit(outputs(withId(id)), BigInt(offset))).toBeUndefined()
    expect(gate.looks).toBe(1)
  })
})
