import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Bed, startBed } from '../faults/campaigns/bed.js'
import { leaders } from '../faults/campaigns/leaders.js'
import { badLink, sourceKill } from '../faults/campaigns/links.js'
import { race } from '../faults/campaigns/race.js'
import { expectExact } from '../faults/campaigns/report.js'

/** The short form of `npm run test:faults`: the same campaigns, so that they cannot rot. */
describe('faults, in short', { timeout: 150_000 }, () => {
  let bed: Bed
  const load = { ratePerSecond: 1_000, mixed: true }
  const common = { seed: 7, partitions: 2, load }

  beforeAll(async () => {
    bed = await startBed({ targetBrokers: 3 })
  })

  afterAll(async () => {
    await bed?.stop()
  })

  it('two racing processes, killed and frozen', async () => {
    const transactional = { ...load, recordsPerTransaction: 20, abortEvery: 4 }
    expectExact(await race({ ...common, name: 'short-race', bed, load: transactional, kills: 2, freezes: 1 }))
  })

  it('a killed leader and a leader flip', async () => {
    const faults = { kills: 1, restarts: 0, freezes: 0, flips: 1, freezeMs: 4_000 }
    expectExact(await leaders({ ...common, ...faults, name: 'short-leaders', bed, mirrors: 1, targetLatencyMs: 10 }))
  })

  it('a bad link', async () => {
    expectExact(await badLink({ ...common, name: 'short-link', bed, rounds: 1, stretchMs: 1_000 }))
  })

  it('a killed source', async () => {
    expectExact(await sourceKill({ ...common, name: 'short-source', bed, mirrors: 1, downMs: 1_000 }))
  })
})
