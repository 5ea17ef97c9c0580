import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Bed, FORGETFUL, startBed } from './campaigns/bed.js'
import { race } from './campaigns/race.js'
import { expectExact } from './campaigns/report.js'

const SEED = Number(process.env.TWINLOG_SEED ?? 1)
const HOUR_MS = 60 * 60 * 1000

describe('records that are older than the target remembers their writer', () => {
  let bed: Bed
  // Frozen longer than a process may be silent: another takes over, and then the sleeper wakes up in the middle of a transaction.
  // Slow links keep batches of both on their way: without fences this repeats thousands of records.
  const faults = { targetLatencyMs: 25, kills: 6, freezes: 4, freezeMs: [2_000, 9_000], exclusive: true } as const
  const old = () => ({ ratePerSecond: 3_000, mixed: true, timestampFrom: Date.now() - HOUR_MS })
  const young = { ratePerSecond: 1_000, mixed: true }

  beforeAll(async () => {
    bed = await startBed({ target: { properties: FORGETFUL } })
  })

  afterAll(async () => {
    await bed?.stop()
  })

  it('two racing processes, killed and frozen, change nothing', async () => {
    expectExact(await race({ ...faults, name: 'old-race', bed, seed: SEED, partitions: 6, load: old() }))
  })

  it('nor do two that share the lanes', async () => {
    const mirror = { workers: undefined }
    expectExact(await race({ ...faults, name: 'old-shared', bed, seed: SEED, partitions: 4, load: old(), mirror }))
  })

  it('nor with old and young records in turns', async () => {
    const load = [{ ...old(), ratePerSecond: 1_000 }, young]
    expectExact(await race({ ...faults, name: 'old-and-young', bed, seed: SEED, partitions: 3, load }))
  })

  it('nor with a transactional source of them', async () => {
    const load = { ...old(), ratePerSecond: 1_500, recordsPerTransaction: 50, abortEvery: 4 }
    const few = { ...faults, kills: 3, freezes: 2 }
    expectExact(await race({ ...few, name: 'old-transactions', bed, seed: SEED, partitions: 2, load }))
  })
})
