import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, vi } from 'vitest'
import { FramePool } from '../../../src/kafka/frame-pool.js'
import { ByteBudget } from '../../../src/mirror/byte-budget.js'

const MB = 1 << 20

describe('the memory that all lanes share', () => {
  it('counts a frame whole until the last view of it has ended, and other memory as what it is', () => {
    const budget = new ByteBudget(64 * MB)
    const pool = new FramePool()
    const frame = pool.take(2 * MB)
    const lease = pool.leaseOf(frame)
    if (!lease) throw new Error('no lease')
    budget.charge(lease)
    const one = budget.hold(frame.subarray(0, 100), lease)
    const other = budget.hold(frame.subarray(100, 200), lease)
    const own = budget.hold(Buffer.alloc(500), lease)
    lease.release()
    expect(budget.held).toBe(2 * MB + 500)
    own.release()
    own.release()
    one.release()
    one.abandon()
    expect(budget.held).toBe(2 * MB)
    other.abandon()
    expect(budget.held).toBe(0)
    expect(pool.freeBytes).toBe(0)
  })

  it('sets room aside for answers, and gives it back once', () => {
    const budget = new ByteBudget(8 * MB)
    expect(budget.room).toBe(7 * MB)
    const back = budget.reserve(3 * MB)
    expect(budget.room).toBe(4 * MB)
    back()
    back()
    expect(budget.room).toBe(7 * MB)
  })

  it('lets a lane fill half of what is free, and is for lanes that hold nothing when little is left', () => {
    const budget = new ByteBudget(64 * MB)
    expect(budget.mayHold(31 * MB)).toBe(true)
    const held = budget.hold(Buffer.alloc(41 * MB))
    expect([budget.mayHold(11 * MB), budget.mayHold(13 * MB)]).toEqual([true, false])
    const more = budget.hold(Buffer.alloc(8 * MB))
    expect([budget.scarce, budget.mayHold(1), budget.mayHold(0)]).toEqual([true, false, true])
    // Not at once: it would be scarce and plenty in turn.
    more.release()
    expect(budget.scarce).toBe(true)
    held.release()
    expect(budget.scarce).toBe(false)
  })

  it('tells when there is room again', () => {
    const budget = new ByteBudget(8 * MB)
    let told = 0
    const off = budget.onRoom(() => told++)
    const held = budget.hold(Buffer.alloc(5 * MB))
    const back = budget.reserve(2 * MB)
    expect([budget.room, told]).toEqual([0, 0])
    back()
    expect(told).toBe(1)
    off()
    held.release()
    expect(told).toBe(1)
  })

  it('comes back when the collector takes a frame whose lease nobody has ended', async () => {
    setFlagsFromString('--expose_gc')
    const collect = runInNewContext('gc') as () => void
    const budget = new ByteBudget(64 * MB)
    const pool = new FramePool()
    const forget = (): void => {
      const frame = pool.take(MB)
      const lease = pool.leaseOf(frame)
      if (!lease) throw new Error('no lease')
      budget.charge(lease)
      budget.hold(frame.subarray(0, 100), lease)
      lease.release()
    }
    for (let frame = 0; frame < 10; frame++) forget()
    expect(budget.held).toBe(10 * MB)
    await vi.waitFor(
      () => {
        collect()
        expect(budget.held).toBe(0)
      },
      { timeout: 5_000 }
    )
  })
})
