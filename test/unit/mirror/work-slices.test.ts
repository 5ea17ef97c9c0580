import { describe, expect, it } from 'vitest'
import { WorkSlices } from '../../../src/mirror/work-slices.js'

function work(ms: number): void {
  for (const until = performance.now() + ms; performance.now() < until; ) continue
}

describe('work in the event loop of somebody else', () => {
  it('gives the loop a turn between slices, however many wait for theirs', async () => {
    const slices = new WorkSlices(5)
    let turns = 0
    let going = true
    const count = (): void => {
      turns += 1
      if (going) setImmediate(count)
    }
    setImmediate(count)
    const lane = async () => {
      for (let piece = 0; piece < 3; piece++) {
        await slices.turn()
        work(6)
      }
    }
    await Promise.all(Array.from({ length: 10 }, lane))
    going = false
    // Thirty pieces that each fill a slice: as many turns, not ten lanes in one.
    expect(turns).toBeGreaterThanOrEqual(28)
  })

  it('does not wait within a slice', async () => {
    const slices = new WorkSlices(1_000)
    await slices.turn()
    let turned = false
    setImmediate(() => {
      turned = true
    })
    for (let piece = 0; piece < 100; piece++) await slices.turn()
    expect(turned).toBe(false)
  })

  it('serves those who wait in their order', async () => {
    const slices = new WorkSlices(0)
    const order: number[] = []
    await Promise.all(
      [1, 2, 3, 4].map(async number => {
        await slices.turn()
        order.push(number)
      })
    )
    expect(order).toEqual([1, 2, 3, 4])
  })
})
