import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Bed, startBed } from './campaigns/bed.js'
import { race } from './campaigns/race.js'
import { expectExact } from './campaigns/report.js'

const SEED = Number(process.env.TWINLOG_SEED ?? 1)

describe('two mirror processes race for the same lanes', () => {
  let bed: Bed

  beforeAll(async () => {
    bed = await startBed({})
  })

  afterAll(async () => {
    await bed?.stop()
  })

  it('20 SIGKILLs and 5 freezes under live load change nothing', async () => {
    const load = { ratePerSecond: 3_000, mixed: true }
    expectExact(await race({ name: 'race', bed, seed: SEED, partitions: 4, kills: 20, freezes: 5, load }))
  })

  it('nor with a transactional source of commits and aborts', async () => {
    const load = { ratePerSecond: 2_000, mixed: true, recordsPerTransaction: 50, abortEvery: 4 }
    expectExact(await race({ name: 'race-transactions', bed, seed: SEED, partitions: 3, kills: 6, freezes: 2, load }))
  })

  it('nor with a source written one record a batch', async () => {
    const load = { ratePerSecond: 2_000, onePerBatch: true }
    expectExact(await race({ name: 'race-one-a-batch', bed, seed: SEED, partitions: 3, kills: 6, freezes: 2, load }))
  })

  it.each(['lz4', 'zstd'] as const)('nor with a source compressed with %s', async compression => {
    const load = { ratePerSecond: 3_000, mixed: true, compression }
    expectExact(await race({ name: `race-${compression}`, bed, seed: SEED, partitions: 2, kills: 3, freezes: 1, load }))
  })
})
