import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Bed, startBed } from './campaigns/bed.js'
import { leaders } from './campaigns/leaders.js'
import { expectExact } from './campaigns/report.js'

const SEED = Number(process.env.TWINLOG_SEED ?? 1)
const HOUR_MS = 60 * 60 * 1000

describe('source and target of three brokers, replication 3, min ISR 2', () => {
  let bed: Bed
  const load = { ratePerSecond: 1_500, mixed: true }
  const transactions = { ...load, recordsPerTransaction: 50, abortEvery: 4 }
  const old = () => ({ ...load, timestampFrom: Date.now() - 25 * HOUR_MS })
  const common = { partitions: 4, mirrors: 1, freezeMs: 6_000, seed: SEED }
  // One process at a time has a lane with old records, and those are written in transactions.
  const fenced = { exclusive: true, mirrors: 2, mirror: { workers: undefined } }

  beforeAll(async () => {
    bed = await startBed({ sourceBrokers: 3, targetBrokers: 3 })
  })

  afterAll(async () => {
    await bed?.stop()
  })

  it('a rolling restart of the source, its leaders killed and frozen', async () => {
    const faults = { side: 'source', rolling: 1, kills: 1, freezes: 1 } as const
    expectExact(await leaders({ ...common, ...faults, name: 'source-rolling', bed, load: transactions }))
  })

  it('a rolling restart of the target', async () => {
    expectExact(await leaders({ ...common, name: 'target-rolling', bed, load, rolling: 1, mirrors: 2 }))
  })

  it('a rolling restart of the target, and leaders frozen and killed, under old records', async () => {
    const faults = { rolling: 1, kills: 1, freezes: 1 }
    expectExact(await leaders({ ...common, ...fenced, ...faults, name: 'target-old', bed, load: old() }))
  })

  it('the coordinators of the transactions and of the group are killed', async () => {
    expectExact(await leaders({ ...common, ...fenced, name: 'coordinators', bed, load: old(), coordinators: 1 }))
  })

  it('the controllers are killed', async () => {
    expectExact(await leaders({ ...common, name: 'target-controller', bed, load, controllers: 1 }))
    expectExact(
      await leaders({ ...common, name: 'source-controller', bed, load: transactions, side: 'source', controllers: 1 })
    )
  })
})
