import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LaneTransaction } from '../../../src/mirror/lane-transaction.js'
import { FakeCalls, OWN } from './lane-bench.js'

const LINGER_MS = 15

class Bench {
  readonly calls = new FakeCalls()
  readonly log: string[] = []
  readonly errors: unknown[] = []
  idle = true
  readonly transaction = new LaneTransaction(this.calls, {
    epoch: () => OWN,
    changed: () => void this.log.push(`changed: ${this.transaction.state}`),
    committed: () => void this.log.push(`committed: ${this.transaction.state}`),
    failed: error => void this.errors.push(error)
  })

  async opened(): Promise<this> {
    this.transaction.open(performance.now())
    await this.calls.answer()
    return this
  }
}

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }))
afterEach(() => void vi.useRealTimers())

describe('a transaction', () => {
  it('opens, takes records, and is over with the commit', async () => {
    const bench = new Bench()
    const { transaction } = bench
    expect(transaction.state).toBe('closed')
    transaction.open(performance.now())
    expect(transaction.state).toBe('opening')
    await bench.calls.answer()
    expect(transaction.state).toBe('open')
    transaction.sent(100)
    transaction.commit()
    expect(transaction.state).toBe('committing')
    await bench.calls.answer()
    expect(transaction.state).toBe('closed')
    // What was committed is told before anybody looks what can be sent next.
    expect(bench.log).toEqual(['changed: open', 'committed: closed', 'changed: closed'])
    expect(bench.calls.log).toEqual(['begin 900/3', 'commit 900/3'])
  })

  it('asks the coordinator once, however often it is told to', async () => {
    const bench = new Bench()
    for (let time = 0; time < 3; time++) bench.transaction.open(performance.now())
    await bench.calls.answer()
    for (let time = 0; time < 3; time++) bench.transaction.commit()
    expect(bench.calls.log).toEqual(['begin 900/3', 'commit 900/3'])
  })

  it('is full by bytes, or by age from when it was open', async () => {
    const bench = new Bench()
    bench.transaction.open(performance.now())
    vi.advanceTimersByTime(900)
    await bench.calls.answer()
    const { transaction } = bench
    expect(transaction.full(performance.now() + 999)).toBe(false)
    expect(transaction.full(performance.now() + 1_000)).toBe(true)
    transaction.sent((2 << 20) - 1)
    expect(transaction.full(performance.now())).toBe(false)
    transaction.sent(1)
    expect(transaction.full(performance.now())).toBe(true)
    transaction.commit()
    await bench.calls.answer()
    await bench.opened()
    expect(transaction.full(performance.now())).toBe(false)
  })

  it('commits by itself when nothing follows for a moment', async () => {
    const bench = await new Bench().opened()
    bench.transaction.commitSoon(() => bench.idle)
    vi.advanceTimersByTime(LINGER_MS - 1)
    expect(bench.transaction.state).toBe('open')
    vi.advanceTimersByTime(1)
    expect(bench.transaction.state).toBe('committing')
  })

  it('but not when something is on its way then, or was sent meanwhile', async () => {
    const bench = await new Bench().opened()
    bench.idle = false
    bench.transaction.commitSoon(() => bench.idle)
    vi.advanceTimersByTime(LINGER_MS)
    expect(bench.transaction.state).toBe('open')
    bench.idle = true
    bench.transaction.commitSoon(() => bench.idle)
    bench.transaction.sent(1)
    vi.advanceTimersByTime(10 * LINGER_MS)
    expect(bench.transaction.state).toBe('open')
    expect(vi.getTimerCount()).toBe(0)
  })

  it.each(['open', 'commit'] as const)('that cannot %s is broken until a new epoch begins', async step => {
    const bench = new Bench()
    if (step === 'open') bench.transaction.open(performance.now())
    else (await bench.opened()).transaction.commit()
    await bench.calls.answer(new Error('no'))
    expect(bench.errors).toMatchObject([{ message: 'no' }])
    expect(bench.transaction.state).toBe('broken')
    bench.transaction.open(performance.now())
    bench.transaction.commit()
    bench.transaction.commitSoon(() => true)
    expect([bench.transaction.state, bench.calls.log.length]).toEqual(['broken', step === 'open' ? 1 : 2])
    // Whatever became of it: the lane must take a new epoch.
    expect(bench.transaction.abandon()).toBe(true)
    expect(bench.transaction.abandon()).toBe(true)
    bench.transaction.reset()
    expect(bench.transaction.abandon()).toBe(false)
    expect(bench.transaction.state).toBe('closed')
  })

  it.each(['open', 'commit'] as const)('that was abandoned hears nothing of its %s any more', async step => {
    for (const outcome of [undefined, new Error('no')]) {
      const bench = new Bench()
      if (step === 'open') bench.transaction.open(performance.now())
      else (await bench.opened()).transaction.commit()
      bench.log.length = 0
      expect(bench.transaction.abandon()).toBe(true)
      await bench.calls.answer(outcome)
      expect([bench.transaction.state, bench.log, bench.errors]).toEqual(['broken', [], []])
    }
  })

  it('leaves no timer behind when it is abandoned', async () => {
    const bench = await new Bench().opened()
    bench.transaction.commitSoon(() => true)
    bench.transaction.abandon()
    expect(vi.getTimerCount()).toBe(0)
    await vi.advanceTimersByTimeAsync(100)
    expect(bench.calls.log).toEqual(['begin 900/3'])
  })
})
