import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteRate } from '../../../src/mirror/rate-limit.js'

describe('bytes a second', () => {
  it('is no limit when none is given', () => {
    const rate = new ByteRate(undefined, () => 0)
    rate.spend(1e12)
    expect([rate.available, rate.waitMs(1e9)]).toEqual([Number.POSITIVE_INFINITY, 0])
  })

  it('lets one second go at once and then waits for what was spent too much', () => {
    let now = 0
    const rate = new ByteRate(1000, () => now)
    expect(rate.available).toBe(1000)
    rate.spend(1500)
    expect([rate.available, rate.waitMs(), rate.waitMs(100)]).toEqual([0, 501, 600])
    now = 600
    expect(rate.available).toBe(100)
    // More than a second's worth is never there at once.
    now = 60_000
    expect([rate.available, rate.waitMs(5000)]).toEqual([1000, 0])
  })

  it('is exact over any time, whatever the sizes: never more than rate × time + one second + one answer, and no less when asked for', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 20, maxLength: 200 }), sizes => {
        let now = 0
        const rate = new ByteRate(10_000, () => now)
        let spent = 0
        for (const size of sizes) {
          now += rate.waitMs()
          rate.spend(size)
          spent += size
          expect(spent).toBeLessThanOrEqual((now / 1000) * 10_000 + 10_000 + size)
          // Nobody waits longer than the bytes before him need.
          expect(spent).toBeGreaterThan((now / 1000) * 10_000 - 20)
        }
      })
    )
  })
})
