import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import type { LaneState } from '../../../src/lineage/lane-state.js'
import type { Lane } from '../../../src/mirror/lane.js'
import { keyOf } from '../../../src/mirror/lane-factory.js'
import { LaneRoutes } from '../../../src/mirror/lane-routes.js'
import { LaneSet } from '../../../src/mirror/lane-set.js'
import { type LaneSpec, shareIdOf } from '../../../src/mirror/lane-types.js'

const place = (topic: string, partition = 0) => ({ topic, topicId: `id of ${topic}`, partition })
const specOf = (topic: string): LaneSpec => ({
  source: place(topic),
  target: place(topic),
  maxBatchBytes: 1_000,
  compacted: false,
  logAppendTime: false
})

/** A lane that only knows what was asked of it. */
class FakeLane {
  state = 'starting'
  drained = true
  needsRecovery = false
  error: unknown
  constructor(readonly spec: LaneSpec) {}
  get key() {
    return keyOf(this.spec)
  }
  get source() {
    return this.spec.source
  }
  get over() {
    return this.state === 'stopped' || this.state === 'failed'
  }
  pause = () => void (this.state = 'paused')
  resume = () => void (this.state = 'copying')
  replan = () => undefined
  stop(_why: string, error?: unknown) {
    this.state = 'stopped'
    this.error = error
  }
  fail(error: unknown) {
    this.state = 'failed'
    this.error = error
  }
}

class Bench {
  readonly started: string[] = []
  readonly transformed = new Set<string>()
  /** Thrown where the lanes that a transform has opened are looked for. */
  failure: TwinlogError | undefined
  readonly set: LaneSet

  constructor() {
    const routes = new LaneRoutes({
      ensureTarget: () => Promise.reject(new Error('nothing is routed here')),
      addRouted: () => Promise.resolve()
    })
    this.set = new LaneSet(routes, {
      make: spec => new FakeLane(spec) as unknown as Lane,
      start: async lanes => {
        for (const lane of lanes as unknown as FakeLane[]) {
          lane.state = 'copying'
          this.started.push(lane.source.topic)
        }
      },
      bear: () => Promise.resolve(),
      reconfigure: () => false,
      removed: () => undefined,
      writeCheckpoints: () => Promise.resolve(),
      isPaused: () => false,
      isTransformed: topic => this.transformed.has(topic),
      bornLanes: async (): Promise<Iterable<LaneState>> => {
        if (this.failure) throw this.failure
        return []
      }
    })
  }

  lane(topic: string): FakeLane | undefined {
    return this.set.lanes.get(keyOf(specOf(topic))) as unknown as FakeLane | undefined
  }
}

describe('the lanes of a process', () => {
  it('are started although one of them has trouble, and that one is tried again in the next round', async () => {
    const bench = new Bench()
    bench.transformed.add('b')
    bench.failure = new TwinlogError('TWINLOG_UNREACHABLE', 'not now', { retriable: true })
    await bench.set.add(['a', 'b', 'c'].map(specOf))
    expect(bench.started).toEqual(['a', 'c'])
    expect(bench.lane('b')).toMatchObject({ state: 'stopped', error: { code: 'TWINLOG_UNREACHABLE' } })
    bench.failure = undefined
    await bench.set.add([])
    expect(bench.started).toEqual(['a', 'c', 'b'])
    expect(bench.lane('b')?.state).toBe('copying')
  })

  it('hand over what goes to another process, and keep what comes back before that is done', async () => {
    const bench = new Bench()
    await bench.set.add(['a', 'b'].map(specOf))
    const [a, b] = [bench.lane('a'), bench.lane('b')]
    if (b) b.drained = false
    await bench.set.assign(new Set([shareIdOf(place('a'))]))
    expect([a?.state, b?.state]).toEqual(['copying', 'paused'])
    expect(bench.set.elsewhere().map(({ source }) => source.topic)).toEqual(['b'])
    await bench.set.assign('all')
    expect(b?.state).toBe('copying')
    expect(bench.lane('b')).toBe(b)
    await bench.set.assign(new Set([shareIdOf(place('a'))]))
    if (b) b.drained = true
    await expect.poll(() => bench.lane('b')).toBeUndefined()
    expect(b?.state).toBe('stopped')
  })

  it('that cannot be copied show in every process', async () => {
    const bench = new Bench()
    await bench.set.assign(new Set())
    const refused = new TwinlogError('TWINLOG_UNKNOWN_TOPIC', 'not there')
    await bench.set.add([{ ...specOf('a'), target: { ...place('a'), topicId: '' }, refused }])
    expect([...bench.set.lanes.values()]).toMatchObject([{ state: 'failed', error: refused }])
    expect(bench.set.shareIds).toEqual([])
  })
})
