import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Lane } from '../../../src/mirror/lane.js'
import { LaneCare } from '../../../src/mirror/lane-care.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { dataBatch } from '../lineage/fake-partition.js'
import { cut, LaneBench } from './lane-bench.js'
import { SILENT } from './lane-process.js'

const east = () => {
  const cluster = new FakeCluster('east')
  cluster.createTopic('orders', 4)
  return cluster
}

let care: LaneCare
let cluster: FakeCluster
const started: Lane[] = []
function look(...benches: LaneBench[]): void {
  const lanes = new Map(benches.map((bench, index) => [`${index}`, bench.lane]))
  care = new LaneCare({ source: cluster.client, lanes, start: lane => void started.push(lane), logger: SILENT })
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_700_000_000_000 })
  cluster = east()
  started.length = 0
})
afterEach(() => {
  care.stop()
  vi.useRealTimers()
})
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)

describe('a lane that failed', () => {
  it('is tried again after about a second, then less and less often, until it has copied something', async () => {
    const bench = new LaneBench().begin()
    look(bench)
    const pauses: number[] = []
    for (let time = 0; time < 8; time++) {
      bench.lane.fail(cut())
      const since = Date.now()
      started.length = 0
      while (started.length === 0 && Date.now() - since < 60_000) await pass(500)
      pauses.push(Date.now() - since)
      expect([bench.lane.state, bench.lane.error]).toEqual(['starting', undefined])
      bench.begin()
    }
    expect(pauses[0]).toBeGreaterThanOrEqual(750)
    expect(pauses[0]).toBeLessThanOrEqual(2_000)
    expect(pauses.at(-1)).toBeGreaterThan(20_000)
    expect(pauses.at(-1)).toBeLessThan(39_000)
    bench.fetch(1)
    bench.appended(bench.send()[0], 100n)
    bench.lane.fail(cut())
    await pass(2_500)
    expect(bench.lane.state).toBe('starting')
  })

  it('is left alone while something of it is on its way', async () => {
    const bench = new LaneBench().begin().fetch(1)
    look(bench)
    const [send] = bench.send()
    bench.lane.fail(cut())
    await pass(10_000)
    expect(started).toEqual([])
    bench.lane.unanswered(send as NonNullable<typeof send>, cut())
    await pass(500)
    expect(started).toEqual([bench.lane])
  })

  it('is not tried again once it is stopped', async () => {
    const bench = new LaneBench().begin()
    look(bench)
    bench.lane.fail(cut())
    bench.lane.stop()
    await pass(60_000)
    expect(started).toEqual([])
  })
})

describe('a lane that another process copies', () => {
  it('is looked at every second', async () => {
    const bench = new LaneBench()
    look(bench)
    bench.lane.standBy('process other copies it')
    expect(bench.lane.status()).toMatchObject({ state: 'waiting', why: 'process other copies it' })
    await pass(5_000)
    expect(started.length).toBeGreaterThanOrEqual(4)
    expect(started.length).toBeLessThanOrEqual(6)
    bench.begin()
    started.length = 0
    await pass(5_000)
    expect([started, bench.lane.standsBy]).toEqual([[], false])
  })
})

describe('a lane that an open transaction holds up', () => {
  it('names who keeps it open', async () => {
    const log = cluster.partition('orders', 3)
    log.append(dataBatch(6))
    log.produce(dataBatch(2, { producerId: 5n, producerEpoch: 0, baseSequence: 0, transactional: true }))
    log.produce(dataBatch(2, { producerId: 9n, producerEpoch: 0, baseSequence: 0, transactional: true }))
    const bench = new LaneBench().begin({ next: 6n, targetEnd: 106n })
    bench.lane.read(bench.answer(0, { highWatermark: 10n, lastStableOffset: 6n }), 6n)
    expect([bench.lane.state, bench.lane.heldAt]).toEqual(['waiting', 6n])
    look(bench)
    await pass(3_000)
    expect(bench.lane.status().why).toMatch(/producer id 5 .*offset 6/)
  })
})
