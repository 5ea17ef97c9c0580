import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Lane } from '../../../src/mirror/lane.js'
import { LaneCare } from '../../../src/mirror/lane-care.js'
import { TargetContact } from '../../../src/mirror/target-contact.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { cut, DAY_MS, LaneBench, OWN } from './lane-bench.js'
import { SILENT } from './lane-process.js'

const HOUR_MS = 3_600_000

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }))
afterEach(() => void vi.useRealTimers())

/** Somebody sets the clock; no time passes. */
const jump = (ms: number) => void vi.setSystemTime(Date.now() + ms)
const JUMPS = [
  ['an hour ahead', HOUR_MS],
  ['an hour back', -HOUR_MS]
] as const

describe.each(JUMPS)('a clock that jumps %s', (_how, ms) => {
  let care: LaneCare | undefined
  const started: Lane[] = []

  afterEach(() => care?.stop())

  function look(bench: LaneBench): void {
    const cluster = new FakeCluster('east')
    started.length = 0
    care = new LaneCare({
      source: cluster.client,
      lanes: new Map([['0', bench.lane]]),
      start: lane => void started.push(lane),
      logger: SILENT
    })
  }

  it('neither hastens nor delays the next attempt of a lane that failed', async () => {
    const bench = new LaneBench().begin()
    look(bench)
    bench.lane.fail(cut())
    jump(ms)
    await vi.advanceTimersByTimeAsync(500)
    expect(started).toEqual([])
    await vi.advanceTimersByTimeAsync(1_500)
    expect(started).toEqual([bench.lane])
  })

  it('does not hide the lanes of others', async () => {
    const bench = new LaneBench()
    look(bench)
    bench.lane.standBy('process other copies it')
    await vi.advanceTimersByTimeAsync(1_500)
    jump(ms)
    started.length = 0
    await vi.advanceTimersByTimeAsync(4_000)
    expect(started.length).toBeGreaterThanOrEqual(3)
    expect(started.length).toBeLessThanOrEqual(5)
  })

  it('shows neither in the lag nor in the rates', () => {
    const bench = new LaneBench().begin()
    for (let second = 0; second < 4; second++) {
      bench.fetch(1)
      bench.appended(bench.send()[0], 100n + 2n * BigInt(second))
      vi.advanceTimersByTime(1_000)
    }
    bench.fetch(1)
    const before = bench.lane.status()
    vi.advanceTimersByTime(300)
    jump(ms)
    expect(bench.lane.status()).toMatchObject({ lagMs: 300, lagRecords: 2n })
    expect(bench.lane.status().recordsPerSecond).toBeGreaterThan(0)
    expect(bench.lane.status().recordsPerSecond).toBeLessThanOrEqual(before.recordsPerSecond)
    vi.advanceTimersByTime(10_000)
    expect(bench.lane.status()).toMatchObject({ lagMs: 10_300, recordsPerSecond: 0, bytesPerSecond: 0 })
  })

  it('leaves no transaction open', async () => {
    const old = { timestampMs: Date.now() - 2 * DAY_MS }
    const bench = new LaneBench().begin({ epoch: OWN }).fetch(1, old)
    bench.send()
    await bench.calls.answer()
    const [first] = bench.send()
    jump(ms)
    vi.advanceTimersByTime(1_000)
    bench.fetch(1, old)
    bench.appended(first, 100n)
    // A second has passed, so more must wait for the next transaction.
    expect(bench.lane.peek()).toBeUndefined()
    expect(bench.calls.log).toEqual(['begin 900/3', 'commit 900/3'])
  })
})

describe('how long the target was not heard', () => {
  const now = (wall: number, monotonic: number) => ({ wall, monotonic })

  it('counts while the clock is set back', () => {
    const contact = new TargetContact(DAY_MS)
    contact.asked(now(10 * HOUR_MS, 0))
    expect(contact.mustAskFirst(now(10 * HOUR_MS + 59 * 60_000, 59 * 60_000))).toBe(false)
    expect(contact.mustAskFirst(now(9 * HOUR_MS + 61 * 60_000, 61 * 60_000))).toBe(true)
    // Of the last batch's time stamp as well.
    contact.acknowledged(10 * HOUR_MS - 17 * HOUR_MS, now(10 * HOUR_MS, 0))
    expect(contact.mayBeForgotten(now(9.5 * HOUR_MS, HOUR_MS / 2))).toBe(false)
    expect(contact.mayBeForgotten(now(9.5 * HOUR_MS, 1.1 * HOUR_MS))).toBe(true)
  })

  it('counts while the machine sleeps, which the monotonic clock may not notice', () => {
    const contact = new TargetContact(DAY_MS)
    contact.asked(now(0, 0))
    expect(contact.mustAskFirst(now(2 * HOUR_MS, 1_000))).toBe(true)
    expect(contact.mayBeForgotten(now(19 * HOUR_MS, 1_000))).toBe(true)
  })
})
