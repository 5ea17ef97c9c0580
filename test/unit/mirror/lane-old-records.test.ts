import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Send } from '../../../src/mirror/lane-buffer.js'
import { isTransactional, viewOf } from '../../../src/records/batch.js'
import { cut, DAY_MS, EPOCH, LaneBench, OWN } from './lane-bench.js'

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }))
afterEach(() => void vi.useRealTimers())

const old = () => ({ timestampMs: Date.now() - 2 * DAY_MS })

/** A lane with an id of its own, and so many batches of old records in memory. */
const withOld = (batches: number, next = 0n) =>
  new LaneBench().begin({ epoch: OWN, next, targetEnd: 100n + next }).fetch(batches, old())

/** The same with its transaction open. */
async function opened(batches: number): Promise<LaneBench> {
  const bench = withOld(batches)
  expect(bench.send()).toEqual([])
  await bench.calls.answer()
  return bench
}

const marks = (send: Send | undefined) => {
  const view = viewOf((send as Send).batch.bytes)
  const { producerId, producerEpoch, baseSequence } = view
  return [producerId, producerEpoch, baseSequence, isTransactional(view.attributes)]
}

describe('records that are older than the target remembers a producer', () => {
  it('wait until the lane has a producer id of its own', () => {
    const bench = new LaneBench().begin().fetch(2, old())
    expect(bench.send()).toEqual([])
    expect(bench.host.recoveries).toMatchObject([{ retriable: true, message: expect.stringContaining('transactions') }])
    expect([bench.lane.troubles.wantsOwnId, bench.lane.troubles.broken]).toEqual([true, false])
    expect(bench.lane.state).toBe('starting')
  })

  it('wait for that until young ones before them have arrived', () => {
    const bench = new LaneBench().begin().fetch(1).fetch(1, old())
    const [young] = bench.send()
    expect(bench.lane.peek()).toBeUndefined()
    expect(bench.host.recoveries).toEqual([])
    bench.appended(young, 100n)
    expect(bench.lane.peek()).toBeUndefined()
    expect(bench.host.recoveries).toHaveLength(1)
  })

  it('say so before they are taken: they need a request of their own', async () => {
    const bench = await opened(1)
    expect(bench.lane.peek()?.transactionalId).toBe('twinlog.link.lane')
  })

  it('go out in a transaction of that id, and nothing is acknowledged before its commit', async () => {
    const bench = withOld(3)
    expect([bench.send(), bench.calls.log, bench.host.recoveries]).toEqual([[], ['begin 900/3'], []])
    await bench.calls.answer()
    const [first] = bench.send()
    expect(first?.transactionalId).toBe('twinlog.link.lane')
    expect(marks(first)).toEqual([900n, 3, 0, true])
    bench.appended(first, 100n)
    const rest = bench.send()
    expect(rest.map(marks)).toEqual([
      [900n, 3, 2, true],
      [900n, 3, 4, true]
    ])
    rest.forEach((send, index) => bench.appended(send, 102n + 2n * BigInt(index)))
    expect([bench.pair, bench.lane.drained, bench.lane.settled]).toEqual([{ next: 0n, targetEnd: 100n }, false, true])
    expect(bench.lane.guard.guard).toBe('transactional')
    expect(bench.lane.reached).toBe(0n)
    // Nothing follows for a moment.
    expect(bench.lane.peek()).toBeUndefined()
    vi.advanceTimersByTime(15)
    expect(bench.calls.log).toEqual(['begin 900/3', 'commit 900/3'])
    bench.lane.takeDirty()
    await bench.calls.answer()
    expect([bench.pair, bench.lane.drained, bench.lane.reached]).toEqual([{ next: 6n, targetEnd: 106n }, true, 6n])
    expect(bench.lane.takeDirty()).toBe(true)
    expect(bench.lane.state).toBe('caught-up')
  })

  it('are followed by young ones in plain batches of the same id, the sequence going on', async () => {
    const bench = await opened(1)
    bench.fetch(2)
    bench.appended(bench.send()[0], 100n)
    expect(bench.send()).toEqual([])
    expect(bench.calls.log.at(-1)).toBe('commit 900/3')
    // Not before the markers are in the log.
    expect(bench.send()).toEqual([])
    await bench.calls.answer()
    const young = bench.send()
    expect(young.map(send => [...marks(send), send.transactionalId])).toEqual([
      [900n, 3, 2, false, undefined],
      [900n, 3, 4, false, undefined]
    ])
    bench.appended(young[0], 103n)
    expect(bench.lane.guard.guard).toBe('fenced')
    expect(bench.pair).toEqual({ next: 4n, targetEnd: 105n })
  })

  it('go on in the next transaction when one is full', async () => {
    const bench = await opened(3)
    bench.appended(bench.send()[0], 100n)
    const [second] = [bench.lane.peek() && bench.lane.take()]
    vi.advanceTimersByTime(1_000)
    expect(bench.lane.peek()).toBeUndefined()
    expect(bench.calls.log).toHaveLength(1)
    bench.appended(second, 102n)
    expect(bench.lane.peek()).toBeUndefined()
    expect(bench.calls.log).toEqual(['begin 900/3', 'commit 900/3'])
    await bench.calls.answer()
    expect(bench.pair).toEqual({ next: 4n, targetEnd: 104n })
    expect(bench.lane.peek()).toBeUndefined()
    expect(bench.calls.log).toEqual(['begin 900/3', 'commit 900/3', 'begin 900/3'])
    await bench.calls.answer()
    expect(marks(bench.send()[0])).toEqual([900n, 3, 4, true])
  })

  it('are plain on a target that writes its own time stamps', () => {
    const bench = new LaneBench({ limits: { logAppendTime: true } }).begin().fetch(1, old())
    expect(bench.send().map(marks)).toEqual([[70n, 0, 0, false]])
  })

  it('are in transactions from when the target begins to take theirs', () => {
    // Symptom: a lane judged by the configs of when it was made.
    const bench = new LaneBench({ limits: { logAppendTime: true } }).begin().fetch(1, old())
    bench.lane.reconfigure({ limits: { logAppendTime: false } })
    expect([bench.send(), bench.lane.troubles.wantsOwnId]).toEqual([[], true])
  })
})

describe('a transaction that comes to nothing', () => {
  /** One batch answered, one on its way. */
  async function half(): Promise<{ bench: LaneBench; second: Send }> {
    const bench = await opened(3)
    bench.appended(bench.send()[0], 100n)
    const second = bench.lane.peek() && bench.lane.take()
    return { bench, second: second as Send }
  }

  it('because a connection is cut leaves nothing acknowledged, and the lane uncertain', async () => {
    const { bench, second } = await half()
    bench.lane.unanswered(second, cut())
    expect([bench.pair.next, bench.lane.troubles.broken]).toEqual([0n, true])
    expect(bench.host.recoveries).toHaveLength(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('leaves nothing acknowledged either when answers come later', async () => {
    const { bench, second } = await half()
    bench.lane.unreachable(cut())
    bench.appended(second, 102n)
    expect([bench.pair, bench.host.recoveries.length]).toEqual([{ next: 0n, targetEnd: 100n }, 1])
  })

  it.each(['begin', 'commit'])('because it cannot %s is tried again under a new epoch', async step => {
    const bench = withOld(1)
    bench.send()
    if (step === 'commit') {
      await bench.calls.answer()
      bench.appended(bench.send()[0], 100n)
      bench.lane.peek()
      vi.advanceTimersByTime(15)
    }
    await bench.calls.answer(new Error('no coordinator'))
    expect([bench.pair, bench.lane.troubles.broken]).toEqual([{ next: 0n, targetEnd: 100n }, true])
    expect(bench.host.recoveries).toMatchObject([
      { retriable: true, message: expect.stringContaining('no coordinator') }
    ])
    bench.begin({ epoch: { ...OWN, epoch: 4 } })
    expect(bench.lane.troubles.broken).toBe(false)
    bench.fetch(1, old())
    expect(bench.send()).toEqual([])
    expect(bench.calls.log.at(-1)).toBe('begin 900/4')
    await bench.calls.answer()
    expect(marks(bench.send()[0])).toEqual([900n, 4, 0, true])
  })

  it('is not taken for committed by an answer that comes when the lane has a new epoch', async () => {
    const bench = await opened(1)
    bench.appended(bench.send()[0], 100n)
    bench.lane.peek()
    vi.advanceTimersByTime(15)
    bench.lane.unreachable(cut())
    bench.begin({ epoch: { ...OWN, epoch: 4 } })
    await bench.calls.answer()
    expect(bench.pair).toEqual({ next: 0n, targetEnd: 100n })
    expect(bench.lane.drained).toBe(true)
  })

  it.each<[string, (bench: LaneBench) => void]>([
    ['fails', bench => bench.lane.fail(cut())],
    ['is stopped', bench => bench.lane.stop()]
  ])('because the lane %s acknowledges nothing', async (_name, end) => {
    const { bench, second } = await half()
    end(bench)
    bench.appended(second, 102n)
    expect([bench.pair, bench.lane.bytes, bench.lane.troubles.broken]).toEqual([{ next: 0n, targetEnd: 100n }, 0, true])
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a paused lane', () => {
  it('still commits what it has sent', async () => {
    const bench = await opened(1)
    bench.lane.pause()
    bench.appended(bench.send()[0], 100n)
    bench.lane.peek()
    vi.advanceTimersByTime(15)
    await bench.calls.answer()
    expect([bench.pair, bench.lane.state]).toEqual([{ next: 2n, targetEnd: 102n }, 'paused'])
  })
})

describe('an id of the lane’s own', () => {
  it('is not asked for again while the lane keeps it', () => {
    const bench = new LaneBench().begin({ epoch: OWN }).fetch(3)
    expect(bench.send()).toHaveLength(1)
    expect([bench.calls.log, bench.host.recoveries]).toEqual([[], []])
    expect(EPOCH.own).toBeUndefined()
  })
})
