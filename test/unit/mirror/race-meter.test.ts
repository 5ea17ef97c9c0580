import { describe, expect, it } from 'vitest'
import { RaceMeter } from '../../../src/mirror/race-meter.js'

describe('a lane that keeps losing to another owner', () => {
  it('pays nothing for the first loss and stays back longer with each further one, up to a limit', () => {
    const races = new RaceMeter(() => 1)
    const pauses: number[] = []
    for (let loss = 0; loss < 12; loss++) {
      races.lost(1_000 + loss)
      pauses.push(races.pauseMs(1_000 + loss))
    }
    expect(pauses).toEqual([0, 20, 40, 80, 160, 320, 500, 500, 500, 500, 500, 500])
  })

  it('forgets losses after a while, and stays back at random', () => {
    const races = new RaceMeter(() => 0.25)
    for (let loss = 0; loss < 4; loss++) races.lost(0)
    expect(races.pauseMs(1)).toBe(20)
    expect(races.pauseMs(10_001)).toBe(0)
  })
})
