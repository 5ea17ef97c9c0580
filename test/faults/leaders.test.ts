import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Bed, startBed } from './campaigns/bed.js'
import { leaders } from './campaigns/leaders.js'
import { expectExact } from './campaigns/report.js'

const SEED = Number(process.env.TWINLOG_SEED ?? 1)

describe('a target of three brokers, replication 3, min ISR 2, five batches of each lane on their way', () => {
  let bed: Bed
  // 10 ms each way keep the pipeline full at a modest rate.
  const common = { partitions: 4, load: { ratePerSecond: 2_000, mixed: true }, targetLatencyMs: 10, freezeMs: 6_000 }

  beforeAll(async () => {
    bed = await startBed({ targetBrokers: 3 })
  })

  afterAll(async () => {
    await bed?.stop()
  })

  it('leaders killed, restarted, frozen and flipped under one mirror process change nothing', async () => {
    const faults = { kills: 3, restarts: 2, freezes: 1, flips: 1 }
    expectExact(await leaders({ ...common, ...faults, name: 'leaders', bed, seed: SEED, mirrors: 1 }))
  })

  it('nor under two that race', async () => {
    const faults = { kills: 2, restarts: 1, freezes: 1, flips: 1 }
    expectExact(await leaders({ ...common, ...faults, name: 'leaders-race', bed, seed: SEED + 1, mirrors: 2 }))
  })

  it('nor with a source of commits and aborts', async () => {
    const load = { ratePerSecond: 2_000, mixed: true, recordsPerTransaction: 50, abortEvery: 4 }
    const faults = { kills: 1, restarts: 0, freezes: 1, flips: 1 }
    expectExact(
      await leaders({ ...common, ...faults, load, name: 'leaders-transactions', bed, seed: SEED + 2, mirrors: 2 })
    )
  })
})
