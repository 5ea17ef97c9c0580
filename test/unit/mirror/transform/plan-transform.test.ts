import { expect, it } from 'vitest'
import { TwinlogError } from '../../../../src/errors.js'
import type { Transform } from '../../../../src/mirror/transform-types.js'
import { LaneTransform, type LaneTransformOptions } from '../../../../src/mirror/transform/plan-transform.js'
import { batchOf, record, segmentsOf, TOPIC, walk } from './walk.js'

const segments = () => segmentsOf(batchOf([0, 1, 2, 3, 4, 5].map(offset => record(offset, `v${offset}`))))
const { signal } = new AbortController()

/** Even offsets stay, odd ones go to `eu`; offset 4 goes to both. */
const byRegion: Transform = (given, { offset }) =>
  offset === 4n ? [given, { ...given, topic: 'eu' }] : offset % 2n === 0n ? given : { ...given, topic: 'eu' }

function laneTo(target: { topic: string; partition: number }, more: Partial<LaneTransformOptions> = {}) {
  return new LaneTransform({
    transform: byRegion,
    source: TOPIC,
    target,
    fallback: TOPIC,
    partitionsOf: topic => (topic === 'eu' ? 2 : 4),
    learnTopic: async () => undefined,
    hasLane: () => false,
    timeoutMs: 1000,
    onError: async () => 'drop',
    limits: { maxBatchBytes: 10_000 },
    ...more
  })
}

const sources = (plan: Awaited<ReturnType<LaneTransform['plan']>>) =>
  walk(plan.batches, 0n).placed.map(({ source }) => Number(source))

it('each lane keeps its own outputs, and together they keep all of them', async () => {
  const home = await laneTo(TOPIC).plan(segments(), { signal })
  expect(sources(home)).toEqual([0, 2, 4])
  expect(home).toMatchObject({ next: 6n, newRoutes: [{ topic: 'eu', partition: 1, firstOffset: 1n }] })
  const eu = await laneTo({ topic: 'eu', partition: 1 }).plan(segments(), { signal })
  expect(sources(eu)).toEqual([1, 3, 4, 5])
  expect(eu.newRoutes).toEqual([{ ...TOPIC, firstOffset: 0n }])
})

it('names no route that has a lane', async () => {
  const plan = await laneTo(TOPIC, { hasLane: ({ topic, partition }) => topic === 'eu' && partition === 1 }).plan(
    segments(),
    { signal }
  )
  expect(plan.newRoutes).toEqual([])
})

it('names no route behind a stop', async () => {
  const transform: Transform = (given, context) => {
    if (context.offset === 1n) throw new Error('no')
    return byRegion(given, context)
  }
  const plan = await laneTo(TOPIC, { transform, onError: async () => 'stop' }).plan(segments(), { signal })
  expect(plan).toMatchObject({ next: 1n, newRoutes: [], stopped: { offset: 1n } })
})

it('makes a topic known before it routes there, once', async () => {
  const counts = new Map<string, number>()
  const learnt: string[] = []
  const learnTopic = async (topic: string) => {
    learnt.push(topic)
    await new Promise(resolve => setImmediate(resolve))
    counts.set(topic, 8)
  }
  const options = { partitionsOf: (topic: string) => counts.get(topic), learnTopic }
  const plan = await laneTo(TOPIC, options).plan(segments(), { signal })
  expect(learnt).toEqual(['eu'])
  expect(sources(plan)).toEqual([0, 2, 4])
  expect(plan.newRoutes).toEqual([{ topic: 'eu', partition: 3, firstOffset: 1n }])
})

it('looks at a topic anew before it refuses one of its partitions', async () => {
  let partitions = 4
  const learnt: string[] = []
  const grown = {
    transform: (given => ({ ...given, partition: 5 })) as Transform,
    partitionsOf: () => partitions,
    learnTopic: async (topic: string) => {
      learnt.push(topic)
      if (learnt.length === 2) partitions = 6
    }
  }
  const failures: string[] = []
  const plan = await laneTo(
    { topic: 'orders', partition: 5 },
    {
      ...grown,
      onError: async ({ offset, error }) => {
        failures.push(`${offset} ${error.code}`)
        return 'drop'
      }
    }
  ).plan(segments(), { signal })
  expect(failures).toEqual(['0 TWINLOG_RECORD_REJECTED'])
  expect(learnt).toEqual(['orders', 'orders'])
  expect(sources(plan)).toEqual([1, 2, 3, 4, 5])
})

it('fails as a whole while a topic cannot be made known', async () => {
  const partitionsOf = () => undefined
  const unknown = laneTo(TOPIC, { partitionsOf }).plan(segments(), { signal })
  await expect(unknown).rejects.toMatchObject({ code: 'TWINLOG_UNKNOWN_TOPIC', topic: 'eu', retriable: true })
  const error = new TwinlogError('TWINLOG_UNAUTHORIZED', 'may not create topics')
  const refused = laneTo(TOPIC, { partitionsOf, learnTopic: () => Promise.reject(error) }).plan(segments(), { signal })
  await expect(refused).rejects.toBe(error)
})
