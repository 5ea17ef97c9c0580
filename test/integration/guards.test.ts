import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { OffsetTranslator } from '../../src/offsets/translator.js'
import type { Transform } from '../../src/mirror/transform-types.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { Bed, eventually, numbered } from './bed.js'

const HOUR_MS = 60 * 60 * 1000

let east: KafkaCluster
let west: KafkaCluster
let oracle: Oracle
let bed: Bed

beforeAll(async () => {
  const forgetful = { 'producer.id.expiration.ms': '5000', 'producer.id.expiration.check.interval.ms': '500' }
  ;[east, west, oracle] = await Promise.all([
    startKafka({ name: 'east' }),
    startKafka({ name: 'west', properties: forgetful }),
    startOracle()
  ])
  bed = new Bed(east, west)
})

afterEach(async () => {
  await bed.stopMirrors()
})

afterAll(async () => {
  await bed?.close()
  await Promise.all([oracle?.close(), east?.stop(), west?.stop()])
})

async function expectEqual(topic: string, count: number): Promise<void> {
  const comparison = await oracle.compare({ source: east.bootstrap, target: west.bootstrap, sourceTopic: topic })
  expect(comparison).toMatchObject({ equal: true, missing: 0, repeated: 0, outOfOrder: 0, altered: 0, extra: 0 })
  expect(comparison.targetCount).toBe(count)
}

const aged = (prefix: string, count: number, ageMs: number, from = 0) =>
  numbered(prefix, count, from).map(record => ({ ...record, timestamp: Date.now() - ageMs }))

describe('records older than the target remembers a producer', () => {
  it('are written in transactions of the lane, and young ones go on with the same id without', async () => {
    await bed.createTopic(east, 'old')
    for (let batch = 0; batch < 20; batch++) await bed.append(east, 'old', aged('o', 50, HOUR_MS, batch * 50))
    const first = await bed.mirror({ link: 'old', topics: 'old' })
    await eventually(() => first.lane('old').reached === 1000n)
    await first.mirror.caughtUp({ timeoutMs: 30_000 })
    await expectEqual('old', 1000)
    await bed.append(east, 'old', numbered('young', 10, 1000))
    await first.mirror.caughtUp({ timeoutMs: 30_000 })
    expect(first.lane('old').guard).toBe('fenced')
    expect(first.lane('old').guardWhy).toMatch(/id of its own/)
    await first.mirror.stop()
    const batches = (await bed.batches(west, 'old')).filter(batch => !batch.control)
    expect(new Set(batches.map(batch => `${batch.producerId}/${batch.producerEpoch}`)).size).toBe(1)
    // The next run, with old and young ones in turns.
    await bed.append(east, 'old', aged('o', 50, HOUR_MS, 1010))
    const second = await bed.mirror({ link: 'old', topics: 'old' })
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    for (let turn = 0; turn < 5; turn++) {
      await bed.append(east, 'old', numbered('young', 5, 1060 + turn * 10))
      await bed.append(east, 'old', aged('o', 5, HOUR_MS, 1065 + turn * 10))
    }
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    await expectEqual('old', 1110)
    const translator = new OffsetTranslator({ source: 'east', target: west.config(), link: 'old' })
    await translator.connect()
    const truth = await oracle.resumeOffsets({
      source: east.bootstrap,
      target: west.bootstrap,
      sourceTopic: 'old',
      partition: 0
    })
    for (let offset = truth.start; offset <= truth.end; offset++)
      expect(await translator.translate({ topic: 'old', partition: 0, offset })).toMatchObject({
        kind: 'exact',
        offset: truth.at(offset)
      })
    await translator.disconnect()
  })

  it('two processes that do not share: one copies, the other takes over when it is gone', async () => {
    await bed.createTopic(east, 'old-two')
    for (let batch = 0; batch < 20; batch++) await bed.append(east, 'old-two', aged('o', 50, HOUR_MS, batch * 50))
    const options = { link: 'old-two', topics: 'old-two', workers: false } as const
    const first = await bed.mirror(options)
    await first.mirror.caughtUp({ timeoutMs: 30_000 })
    const second = await bed.mirror(options)
    expect(second.lane('old-two').state).toBe('waiting')
    expect(second.lane('old-two').why).toMatch(/copies it/)
    await bed.append(east, 'old-two', aged('o', 50, HOUR_MS, 1000))
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    await first.mirror.stop()
    await bed.append(east, 'old-two', aged('o', 50, HOUR_MS, 1050))
    await eventually(() => second.lane('old-two').reached === 1100n)
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    await expectEqual('old-two', 1100)
  })
})

describe('lanes whose plan is not a pure function of the source log', () => {
  it('a compacted topic is copied behind a fence, again in the next run', async () => {
    await bed.createTopic(east, 'compacted', 1, { 'cleanup.policy': 'compact' })
    await bed.append(east, 'compacted', numbered('c', 300))
    const first = await bed.mirror({ link: 'compacted', topics: 'compacted' })
    await first.mirror.caughtUp({ timeoutMs: 30_000 })
    expect(first.lane('compacted')).toMatchObject({ guard: 'fenced', guardWhy: 'the source topic is compacted' })
    await first.mirror.stop()
    await bed.append(east, 'compacted', numbered('c', 300, 300))
    const second = await bed.mirror({ link: 'compacted', topics: 'compacted' })
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    await expectEqual('compacted', 600)
  })

  it('a filter, then a wider one: each record is judged once, translation stays exact', async () => {
    await bed.createTopic(east, 'filtered')
    await bed.append(east, 'filtered', numbered('f', 100))
    const odd: Transform = record => (Number(String(record.value).slice(1)) % 2 === 1 ? record : null)
    const first = await bed.mirror({ link: 'filtered', topics: 'filtered', transform: odd })
    await first.mirror.caughtUp({ timeoutMs: 30_000 })
    expect(first.lane('filtered')).toMatchObject({ guard: 'fenced', reached: 100n, targetEnd: expect.any(BigInt) })
    await first.mirror.stop()
    await bed.append(east, 'filtered', numbered('f', 100, 100))
    const second = await bed.mirror({ link: 'filtered', topics: 'filtered', transform: record => [record, record] })
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    const copied = await oracle.read({ cluster: west.bootstrap, topic: 'filtered', partition: 0 })
    const values = copied.map(record => String(record.value))
    const expected = [
      ...Array.from({ length: 50 }, (_unused, index) => `f${index * 2 + 1}`),
      ...Array.from({ length: 200 }, (_unused, index) => `f${100 + (index >> 1)}`)
    ]
    expect(values).toEqual(expected)
    const translator = new OffsetTranslator({ source: 'east', target: west.config(), link: 'filtered' })
    await translator.connect()
    for (let offset = 0n; offset <= 200n; offset++) {
      const first = expected.findIndex(value => Number(value.slice(1)) >= Number(offset))
      const record = copied[first]
      const resume = record ? record.offset : (copied.at(-1)?.offset ?? 0n) + 1n
      expect(await translator.translate({ topic: 'filtered', partition: 0, offset })).toMatchObject({
        kind: 'exact',
        offset: resume
      })
    }
    await translator.disconnect()
  })

  it('records that are routed go to lanes of their own', async () => {
    await bed.createTopic(east, 'routed', 2)
    for (const partition of [0, 1]) await bed.append(east, 'routed', numbered(`p${partition}-`, 60), { partition })
    const transform: Transform = record => {
      const number = Number(String(record.value).split('-')[1])
      if (number % 3 === 1) record.topic = 'routed-one'
      if (number % 3 === 2) Object.assign(record, { topic: 'routed-two', partition: 0 })
      return record
    }
    const { mirror } = await bed.mirror({ link: 'routed', topics: 'routed', transform })
    await mirror.caughtUp({ timeoutMs: 30_000 })
    await eventually(() => mirror.status().lanes.length === 6)
    await mirror.caughtUp({ timeoutMs: 30_000 })
    const read = async (topic: string, partition: number) =>
      (await oracle.read({ cluster: west.bootstrap, topic, partition })).map(record => String(record.value))
    for (const partition of [0, 1]) {
      const of = (rest: number) => Array.from({ length: 20 }, (_unused, index) => `p${partition}-${index * 3 + rest}`)
      expect(await read('routed', partition)).toEqual(of(0))
      expect(await read('routed-one', partition)).toEqual(of(1))
      expect((await read('routed-two', 0)).filter(value => value.startsWith(`p${partition}-`))).toEqual(of(2))
    }
    await mirror.stop()
    for (const partition of [0, 1]) await bed.append(east, 'routed', numbered(`p${partition}-`, 60, 60), { partition })
    const again = await bed.mirror({ link: 'routed', topics: 'routed', transform })
    await again.mirror.caughtUp({ timeoutMs: 30_000 })
    expect((await read('routed-two', 0)).length).toBe(80)
    expect(new Set(await read('routed-two', 0)).size).toBe(80)
  })

  it('eight partitions into one: everything of each is there, in its order', async () => {
    await bed.createTopic(east, 'many', 8)
    const transform: Transform = record => ({ ...record, topic: 'one', partition: 0 })
    const { mirror } = await bed.mirror({ link: 'many', topics: 'many', transform })
    for (let batch = 0; batch < 25; batch++)
      for (let partition = 0; partition < 8; partition++)
        await bed.append(east, 'many', numbered(`p${partition}-`, 20, batch * 20), { partition })
    await mirror.caughtUp({ timeoutMs: 60_000 })
    const values = (await oracle.read({ cluster: west.bootstrap, topic: 'one', partition: 0 })).map(({ value }) =>
      String(value)
    )
    for (let partition = 0; partition < 8; partition++) {
      const expected = Array.from({ length: 500 }, (_unused, index) => `p${partition}-${index}`)
      expect(values.filter(value => value.startsWith(`p${partition}-`))).toEqual(expected)
    }
    expect(values).toHaveLength(4000)
  })

  it('caughtUp() waits for routes that another process has opened', async () => {
    await bed.createTopic(east, 'dealt', 4)
    const numbers = Array.from({ length: 4 }, (_unused, partition) => partition)
    // The lane of a route sees a record after the main lane, and takes its time in the second process.
    const routing = (pauseMs: number): Transform => {
      const seen = new Set<string>()
      return async record => {
        const value = String(record.value)
        if (seen.has(value) && value.endsWith('-299')) await new Promise(resolve => setTimeout(resolve, pauseMs))
        seen.add(value)
        return { ...record, topic: Number(value.split('-')[1]) < 150 ? 'dealt' : 'dealt-late' }
      }
    }
    const first = await bed.mirror({ link: 'dealt', topics: 'dealt', transform: routing(0) })
    const second = await bed.mirror({ link: 'dealt', topics: 'dealt', transform: routing(8_000) })
    const mirrors = [first, second]
    await eventually(() => mirrors.every(({ mirror }) => mirror.status().lanes.length === 2))
    for (const partition of numbers) await bed.append(east, 'dealt', numbered(`p${partition}-`, 300), { partition })
    await first.mirror.caughtUp({ timeoutMs: 60_000 })
    for (const partition of numbers) {
      const late = await oracle.read({ cluster: west.bootstrap, topic: 'dealt-late', partition })
      expect(late).toHaveLength(150)
    }
    await second.mirror.caughtUp({ timeoutMs: 20_000 })
  })
})
