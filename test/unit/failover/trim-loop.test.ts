import { describe, expect, it } from 'vitest'
import { StandbyProgress } from '../../../src/failover/trim-loop.js'

const at = (reached: bigint | undefined) => ({ reached: () => Promise.resolve(reached) })
const standbys = (to: Record<string, { reached(): Promise<bigint | undefined> } | undefined>, from = 'east') => ({
  from,
  to: new Map(Object.entries(to))
})

describe('the progress of the standby clusters', () => {
  it('is that of the slowest', async () => {
    const progress = new StandbyProgress()
    expect(await progress.reachedByAll(standbys({ west: at(9n), north: at(4n) }), 't', 0)).toBe(4n)
    expect(await progress.reachedByAll(standbys({ west: at(9n) }), 't', 0)).toBe(9n)
  })

  it('is unknown while one of them has no lane: a failover to it would lose everything', async () => {
    const progress = new StandbyProgress()
    expect(await progress.reachedByAll(standbys({ west: at(9n), north: at(undefined) }), 't', 0)).toBeUndefined()
    expect(await progress.reachedByAll(standbys({ west: at(undefined), north: at(9n) }), 't', 0)).toBeUndefined()
  })

  it('counts one that does not answer with what was known of it, and as nothing when nothing was', async () => {
    const progress = new StandbyProgress()
    const away = standbys({ west: at(9n), north: undefined })
    expect(await progress.reachedByAll(away, 't', 0)).toBeUndefined()
    await progress.reachedByAll(standbys({ west: at(9n), north: at(4n) }), 't', 0)
    expect(await progress.reachedByAll(away, 't', 0)).toBe(4n)
    expect(await progress.reachedByAll(away, 't', 1)).toBeUndefined()
  })

  it('does not take offsets of another active cluster for those of this one', async () => {
    const progress = new StandbyProgress()
    await progress.reachedByAll(standbys({ west: at(9n), north: at(4n) }), 't', 0)
    const moved = standbys({ east: at(2n), north: undefined }, 'west')
    expect(await progress.reachedByAll(moved, 't', 0)).toBeUndefined()
    expect(await progress.reachedByAll(standbys({ east: at(2n), north: at(3n) }, 'west'), 't', 0)).toBe(2n)
  })
})
