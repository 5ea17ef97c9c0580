import { afterEach, describe, expect, it, vi } from 'vitest'
import { FramePool } from '../../../src/kafka/frame-pool.js'
import type { FetchedPartition } from '../../../src/kafka/requests/fetch.js'
import type { Logger } from '../../../src/logger.js'
import { ByteBudget } from '../../../src/mirror/byte-budget.js'
import type { FetchedLane } from '../../../src/mirror/fetched-lane.js'
import { ByteRate } from '../../../src/mirror/rate-limit.js'
import { SourceFetcher } from '../../../src/mirror/source-fetcher.js'
import { WorkSlices } from '../../../src/mirror/work-slices.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { records } from '../lineage/fake-partition.js'
import { FakeLane } from './fake-lane.js'
import { SessionBroker } from './session-broker.js'

const MB = 1 << 20
const logger: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

class Bench {
  readonly broker = new SessionBroker()
  readonly budget: ByteBudget
  readonly frames = new FramePool()
  readonly lanes: FakeLane[] = []
  readonly lost: unknown[] = []
  readonly throttles: number[] = []
  readonly fetcher: SourceFetcher
  redirected: (lane: FetchedLane, result: FetchedPartition) => boolean = () => false

  constructor(o: { limit?: number; bytesPerSecond?: number } = {}) {
    this.budget = new ByteBudget(o.limit ?? 64 * MB)
    this.fetcher = new SourceFetcher({
      nodeId: 0,
      cluster: this.broker.client,
      logger,
      settings: {
        isolation: 'read_committed',
        budget: this.budget,
        rate: new ByteRate(o.bytesPerSecond),
        frames: this.frames,
        slices: new WorkSlices()
      },
      events: {
        lost: error => this.lost.push(error),
        throttled: ms => this.throttles.push(ms),
        redirected: (lane, result) => this.redirected(lane, result)
      }
    })
  }

  add(topic: string, partitions = 1, priority = 1): FakeLane[] {
    const topicId = this.broker.add(topic, partitions)
    const lanes = Array.from({ length: partitions }, (_none, partition) => {
      const lane = new FakeLane(topic, topicId, partition, this.budget)
      lane.kick = () => this.fetcher.kick(lane)
      this.fetcher.add(lane, priority)
      return lane
    })
    this.lanes.push(...lanes)
    return lanes
  }

  write(lane: FakeLane, bytes = 100, batches = 1): void {
    const log = this.broker.logs.get(`${lane.source.topicId}/${lane.source.partition}`)
    for (let batch = 0; batch < batches; batch++) log?.append(encodeBatch({ records: records(['x'.repeat(bytes)]) }))
  }

  end(lane: FakeLane): bigint {
    return this.broker.logs.get(`${lane.source.topicId}/${lane.source.partition}`)?.end ?? 0n
  }

  async copied(...lanes: FakeLane[]): Promise<void> {
    const behind = () => lanes.find(lane => lane.position !== this.end(lane))
    for (const deadline = Date.now() + 30_000; behind() && Date.now() < deadline; ) await sleep(2)
    expect(behind()?.key).toBeUndefined()
  }
}

let bench: Bench
afterEach(() => bench.fetcher.stop())

describe('fetching from one broker', () => {
  it('costs nothing for idle lanes: one request names all of them, the others only what has changed', async () => {
    bench = new Bench()
    const lanes = bench.add('idle', 2000)
    const [busy] = bench.add('busy') as [FakeLane]
    bench.fetcher.start()
    await vi.waitFor(() => expect(lanes.every(lane => lane.answers.length === 1)).toBe(true))
    const before = bench.broker.requests.length
    for (let record = 0; record < 20; record++) {
      bench.write(busy)
      await bench.copied(busy)
    }
    const since = bench.broker.requests.slice(before)
    expect(since.length).toBeLessThanOrEqual(22)
    expect(since.flatMap(({ asked }) => asked).every(key => key === `${busy.source.topicId}/0`)).toBe(true)
    expect(since.flatMap(({ forgotten }) => forgotten)).toEqual([])
    expect(lanes.every(lane => lane.answers.length === 1)).toBe(true)
    expect(since.at(-1)?.maxWaitMs).toBe(500)
    await sleep(1_100)
    expect(bench.broker.requests.length - before - since.length).toBeLessThanOrEqual(4)
  })

  it('goes on for the others while one lane takes its time, and comes back to it', async () => {
    bench = new Bench()
    const [slow, ...others] = bench.add('orders', 4) as [FakeLane, ...FakeLane[]]
    let done = (): void => undefined
    slow.planning = () =>
      new Promise(resolve => {
        done = resolve
      })
    bench.fetcher.start()
    for (const lane of [slow, ...others]) bench.write(lane)
    await bench.copied(...others)
    for (let turn = 0; turn < 5; turn++) {
      for (const lane of others) bench.write(lane)
      await bench.copied(...others)
    }
    bench.write(slow)
    expect([slow.position, slow.answers.length]).toEqual([0n, 1])
    const asked = bench.broker.requests.map(({ forgotten }) => forgotten).flat()
    expect(asked).toContain(`${slow.source.topicId}/0`)
    slow.planning = () => Promise.resolve()
    done()
    await bench.copied(slow)
    expect(slow.errors).toEqual([])
  })

  it('asks less and less often for a lane that stands still, and not at all for one that is paused', async () => {
    bench = new Bench()
    const [stuck, idle] = bench.add('orders', 2) as [FakeLane, FakeLane]
    stuck.quick = false
    stuck.room = 1
    bench.fetcher.start()
    bench.write(stuck)
    await bench.copied(stuck)
    await sleep(1_500)
    // Polls of 10, 20, 40 … ms up to 500.
    expect(bench.broker.requests.length).toBeLessThan(16)
    expect(idle.answers).toHaveLength(1)
    stuck.paused = true
    stuck.acknowledge()
    await sleep(600)
    const before = bench.broker.requests.length
    await sleep(600)
    expect(bench.broker.requests.length - before).toBeLessThanOrEqual(3)
  })

  it('goes on without a session where the broker has no room for one', async () => {
    bench = new Bench()
    bench.broker.room = 0
    const lanes = bench.add('orders', 10)
    bench.fetcher.start()
    for (let turn = 0; turn < 3; turn++) {
      for (const lane of lanes) bench.write(lane)
      await bench.copied(...lanes)
    }
    expect(bench.broker.requests.every(({ epoch, sessionId }) => epoch === 0 && sessionId === 0)).toBe(true)
  })

  it.each([70, 71, 106])('opens another session after error %i, on the same connection', async error => {
    bench = new Bench()
    const lanes = bench.add('orders', 3)
    bench.fetcher.start()
    for (const lane of lanes) bench.write(lane)
    await bench.copied(...lanes)
    bench.broker.failNext = error
    for (const lane of lanes) bench.write(lane)
    await bench.copied(...lanes)
    expect([bench.broker.connections, bench.lost]).toEqual([1, []])
  })

  it('tells everything anew about a lane that begins again', async () => {
    bench = new Bench()
    const [lane, other] = bench.add('orders', 2) as [FakeLane, FakeLane]
    bench.fetcher.start()
    await vi.waitFor(() => expect(lane.answers).toHaveLength(1))
    bench.fetcher.add(lane)
    await vi.waitFor(() => expect(lane.answers).toHaveLength(2), { timeout: 3_000 })
    expect(other.answers).toHaveLength(1)
  })

  it('leaves a partition with an error alone for a while, longer each time, and the others feel nothing', async () => {
    bench = new Bench()
    const [broken, fine] = bench.add('orders', 2) as [FakeLane, FakeLane]
    const key = `${broken.source.topicId}/0`
    bench.broker.override = at => (at === key ? { errorCode: 3, records: Buffer.alloc(0) } : undefined)
    bench.fetcher.start()
    for (let turn = 0; turn < 40; turn++) {
      bench.write(fine)
      await bench.copied(fine)
      await sleep(10)
    }
    expect(broken.answers.length).toBeGreaterThan(1)
    expect(broken.answers.length).toBeLessThan(8)
    bench.broker.override = undefined
    bench.write(broken)
    await bench.copied(broken)
  })

  it('fails a lane whose records cannot be read, and no other', async () => {
    bench = new Bench()
    const [bad, fine] = bench.add('orders', 2) as [FakeLane, FakeLane]
    bad.read = () => {
      throw new Error('not a batch')
    }
    bench.write(bad)
    bench.write(fine)
    bench.fetcher.start()
    await bench.copied(fine)
    await vi.waitFor(() => expect(bad.errors).toHaveLength(1))
  })

  it('says that a quota holds it back, and asks nothing meanwhile', async () => {
    bench = new Bench()
    const [lane] = bench.add('orders') as [FakeLane]
    bench.broker.throttleMs = 300
    bench.write(lane)
    bench.fetcher.start()
    await vi.waitFor(() => expect(bench.throttles).toEqual([300]))
    bench.write(lane)
    await bench.copied(lane)
    const [first, second] = bench.broker.requests.map(({ atMs }) => atMs)
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(280)
  })

  it('sends the rack only where it was told to', async () => {
    bench = new Bench()
    bench.add('orders')
    bench.fetcher.start()
    await vi.waitFor(() => expect(bench.broker.requests[0]?.rackId).toBe(''))
  })

  it('keeps to the bytes a second over all lanes', async () => {
    bench = new Bench({ bytesPerSecond: 200_000 })
    const lanes = bench.add('orders', 4)
    for (const lane of lanes) bench.write(lane, 10_000, 20)
    const startedAt = performance.now()
    bench.fetcher.start()
    await bench.copied(...lanes)
    const seconds = (performance.now() - startedAt) / 1000
    // 800 kB, of which the first 200 kB (and one answer) are free.
    expect(seconds).toBeGreaterThan(2.2)
    expect(seconds).toBeLessThan(8)
  }, 20_000)

  it('serves higher priorities first while more is there than can be had, and starves nobody', async () => {
    bench = new Bench({ limit: 8 * MB })
    const low = bench.add('low', 4, 1)
    const [high] = bench.add('high', 1, 5) as [FakeLane]
    for (const lane of [...low, high]) bench.write(lane, 400_000, 16)
    let behind: number[] = []
    const { kick } = high
    high.kick = () => {
      if (high.position === 16n && behind.length === 0) behind = low.map(lane => Number(lane.position))
      kick()
    }
    bench.fetcher.start()
    await bench.copied(high)
    // With equal shares they would be nearly through, too.
    expect(behind.reduce((sum, position) => sum + position, 0)).toBeLessThan(4 * 14)
    expect(Math.max(...behind)).toBeGreaterThan(0)
    await bench.copied(...low)
  }, 20_000)
})

describe('memory between source and target', () => {
  it('stays within its limit with lanes that stand still, and 1,000 others go on', async () => {
    bench = new Bench({ limit: 16 * MB })
    const stalled = bench.add('stalled', 20)
    for (const lane of stalled) {
      lane.quick = false
      bench.write(lane, 200_000, 10)
    }
    const lanes = bench.add('fine', 1000)
    for (const lane of lanes) bench.write(lane, 2_000, 2)
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, bench.budget.held)
    }, 1)
    bench.fetcher.start()
    await bench.copied(...lanes)
    for (let turn = 0; turn < 2; turn++) {
      for (const lane of lanes) bench.write(lane, 1_000)
      await bench.copied(...lanes)
    }
    clearInterval(watch)
    expect(most).toBeLessThanOrEqual(16 * MB)
    const held = stalled.reduce((sum, lane) => sum + lane.bytes, 0)
    expect(held).toBeGreaterThan(4 * MB)
    // What is pinned is at most three times what is needed.
    expect(bench.budget.held).toBeLessThanOrEqual(3 * held + MB)
    for (const lane of stalled) lane.quick = true
    for (const lane of stalled) lane.acknowledge()
    await bench.copied(...stalled)
    await vi.waitFor(() => expect(bench.budget.held).toBe(0))
  }, 60_000)

  it('is not pinned by a small part of a large answer', async () => {
    bench = new Bench()
    const [small, ...large] = bench.add('orders', 5) as [FakeLane, ...FakeLane[]]
    small.quick = false
    bench.write(small, 1_000)
    for (const lane of large) bench.write(lane, 450_000)
    bench.fetcher.start()
    await bench.copied(small, ...large)
    await vi.waitFor(() => expect(bench.budget.held).toBeLessThan(3_000))
    expect(bench.budget.held).toBeGreaterThan(1_000)
    small.acknowledge()
    expect(bench.budget.held).toBe(0)
  })
})
