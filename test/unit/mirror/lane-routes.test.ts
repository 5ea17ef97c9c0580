import { describe, expect, it } from 'vitest'
import { LaneState } from '../../../src/lineage/lane-state.js'
import { LaneRoutes } from '../../../src/mirror/lane-routes.js'
import type { LaneSpec } from '../../../src/mirror/lane-types.js'
import { birth } from '../lineage/births.js'

const place = (topic: string, partition = 0) => ({ topic, topicId: `id of ${topic}`, partition })
const MAIN: LaneSpec = {
  source: place('orders', 2),
  target: place('orders', 2),
  maxBatchBytes: 1_000,
  compacted: true,
  logAppendTime: false
}

class Bench {
  readonly opened: LaneSpec[] = []
  learnt = 0
  failure: Error | undefined
  readonly routes = new LaneRoutes({
    ensureTarget: async topic => {
      this.learnt++
      return { topicId: `id of ${topic}`, partitions: 4, maxBatchBytes: 500, logAppendTime: true }
    },
    addRouted: async spec => {
      if (this.failure) throw this.failure
      this.opened.push(spec)
    }
  })
}

const route = (topic: string, partition: number, firstOffset: bigint) => ({ topic, partition, firstOffset })

describe('the routes of a source partition', () => {
  it('fall back to its own target', () => {
    const { routes } = new Bench()
    expect(routes.fallbackOf(MAIN.source)).toEqual({ topic: 'orders', partition: 2 })
    routes.add({ ...MAIN, target: place('copied', 1) })
    expect(routes.fallbackOf(MAIN.source)).toMatchObject({ topic: 'copied', partition: 1 })
    expect(routes.has(MAIN.source, { topic: 'copied', partition: 1 })).toBe(true)
    expect(routes.has(place('orders', 3), { topic: 'copied', partition: 1 })).toBe(false)
  })

  it('open a lane each, once, where the first record takes them', async () => {
    const bench = new Bench()
    bench.routes.add(MAIN)
    await bench.routes.open(MAIN, [route('audit', 1, 40n), route('orders', 2, 41n), route('audit', 3, 42n)])
    await bench.routes.open(MAIN, [route('audit', 1, 50n)])
    expect(bench.opened).toMatchObject([
      { target: { ...place('audit', 1) }, first: 40n, routed: true, compacted: true, maxBatchBytes: 500 },
      { target: { ...place('audit', 3) }, first: 42n, routed: true, logAppendTime: true }
    ])
    expect([bench.learnt, bench.routes.partitionsOf('audit')]).toEqual([1, 4])
    // A route is not the partition's own target.
    expect(bench.routes.fallbackOf(MAIN.source)).toMatchObject({ topic: 'orders' })
  })

  it('met by two lanes at once are opened once, and neither passes before the beginning is written down', async () => {
    let write: () => void = () => undefined
    const opened: LaneSpec[] = []
    const routes = new LaneRoutes({
      ensureTarget: async topic => ({
        topicId: `id of ${topic}`,
        partitions: 4,
        maxBatchBytes: 500,
        logAppendTime: false
      }),
      addRouted: spec => {
        opened.push(spec)
        return new Promise(resolve => (write = resolve))
      }
    })
    const passed: string[] = []
    const both = ['main', 'routed'].map(async name => {
      await routes.open(MAIN, [route('audit', 1, 40n)])
      passed.push(name)
    })
    await new Promise(resolve => setTimeout(resolve, 5))
    expect([opened.length, passed]).toEqual([1, []])
    expect(routes.has(MAIN.source, { topic: 'audit', partition: 1 })).toBe(false)
    write()
    await Promise.all(both)
    expect(passed).toEqual(['main', 'routed'])
  })

  it('that could not be opened are tried again', async () => {
    const bench = new Bench()
    bench.failure = new Error('no')
    await expect(bench.routes.open(MAIN, [route('audit', 1, 40n)])).rejects.toThrow('no')
    expect(bench.routes.has(MAIN.source, { topic: 'audit', partition: 1 })).toBe(false)
    bench.failure = undefined
    await bench.routes.open(MAIN, [route('audit', 1, 40n)])
    expect(bench.opened).toHaveLength(1)
  })

  it('are known from the state topic; one whose target topic was deleted since begins where it had begun', async () => {
    const bench = new Bench()
    const state = (targetTopic: string, o: Parameters<typeof birth>[0] = {}) => {
      const lane = new LaneState(targetTopic)
      const source = { sourceTopicId: 'id of orders', sourcePartition: 2 }
      const target = { targetTopic, targetTopicId: `id of ${targetTopic}`, targetPartition: 2, first: 7n }
      lane.addBirth(birth({ ...source, ...target, ...o }))
      return lane
    }
    const known = await bench.routes.known(MAIN, [
      state('orders'),
      state('audit'),
      state('gone', { targetTopicId: 'former id' }),
      state('foreign', { sourcePartition: 1 }),
      new LaneState('without a birth')
    ])
    expect(known).toMatchObject([
      { target: place('audit', 2), first: 7n, routed: true },
      { target: place('gone', 2), first: 7n, routed: true }
    ])
  })

  it('are forgotten with it', async () => {
    const bench = new Bench()
    bench.routes.add(MAIN)
    bench.routes.forget(MAIN.source)
    expect(bench.routes.has(MAIN.source, MAIN.target)).toBe(false)
  })
})
