import { describe, expect, it } from 'vitest'
import { LagClock, RateMeter } from '../../../src/mirror/lane-status.js'

describe('LagClock', () => {
  it('tells how long the oldest offset that is not reached has been waiting', () => {
    const clock = new LagClock()
    clock.observe(10n, 10n, 0)
    expect(clock.lagMs(10n, 5_000)).toBe(0)
    clock.observe(20n, 10n, 1_000)
    clock.observe(30n, 10n, 3_000)
    expect(clock.lagMs(10n, 4_000)).toBe(3_000)
    expect(clock.lagMs(20n, 4_000)).toBe(1_000)
    expect(clock.lagMs(30n, 4_000)).toBe(0)
  })

  it('never makes a long outage look short, in bounded memory', () => {
    const clock = new LagClock()
    for (let second = 1; second <= 3_600; second++) clock.observe(BigInt(second * 100), 0n, second * 1_000)
    expect(clock.lagMs(0n, 3_600_000)).toBe(3_599_000)
    // Half of it copied: what is copied now was written half an hour ago.
    expect(clock.lagMs(180_000n, 3_600_000)).toBeGreaterThanOrEqual(1_799_000)
  })
})

describe('RateMeter', () => {
  it('counts the last seconds only', () => {
    const meter = new RateMeter()
    for (let second = 0; second < 20; second++) meter.add(100, 1_000, second * 1_000)
    const { recordsPerSecond, bytesPerSecond } = meter.rates(20_000)
    expect(recordsPerSecond).toBe(100)
    expect(bytesPerSecond).toBe(1_000)
    expect(meter.rates(60_000)).toEqual({ recordsPerSecond: 0, bytesPerSecond: 0 })
  })
})
