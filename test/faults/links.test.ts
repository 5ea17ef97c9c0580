import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Bed, startBed } from './campaigns/bed.js'
import { badLink, sourceKill } from './campaigns/links.js'
import { expectExact } from './campaigns/report.js'

const SEED = Number(process.env.TWINLOG_SEED ?? 1)

describe('trouble between the clusters', () => {
  let bed: Bed

  beforeAll(async () => {
    bed = await startBed({})
  })

  afterAll(async () => {
    await bed?.stop()
  })

  it('a link that ends, breaks, swallows, delays and throttles changes nothing', async () => {
    const load = { ratePerSecond: 2_000, mixed: true }
    expectExact(await badLink({ name: 'bad-link', bed, seed: SEED, partitions: 3, load, rounds: 2, stretchMs: 3_000 }))
  })

  it('a source that is killed and comes back loses nothing that it still has', async () => {
    const load = { ratePerSecond: 2_000, mixed: true }
    expectExact(
      await sourceKill({ name: 'source-killed', bed, seed: SEED, partitions: 3, load, mirrors: 2, downMs: 3_000 })
    )
  })

  it('nor does one with open transactions', async () => {
    const load = { ratePerSecond: 2_000, mixed: true, recordsPerTransaction: 50, abortEvery: 4 }
    const name = 'source-killed-transactions'
    expectExact(await sourceKill({ name, bed, seed: SEED, partitions: 3, load, mirrors: 1, downMs: 3_000 }))
  })
})
