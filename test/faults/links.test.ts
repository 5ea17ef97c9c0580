import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Bed, startBed } from './campaigns/bed.js'
import { badLink, sourceKill } from './campaigns/links.js'
import { expectExact } from './campaigns/report.js'

const SEED = Number(process.env.TWINLOG_SEED ?? 1)
const HOUR_MS = 60 * 60 * 1000

describe('trouble between the clusters', () => {
  let bed: Bed

  beforeAll(async () => {
    bed = await startBed({})
  })

  afterAll(async () => {
    await bed?.stop()
  })

  const plain = { ratePerSecond: 2_000, mixed: true }
  const transactions = { ...plain, recordsPerTransaction: 50, abortEvery: 4 }
  const old = () => ({ ...plain, timestampFrom: Date.now() - 25 * HOUR_MS })

  it.each([
    ['plain records', 'bad-link', plain],
    ['a source of transactions', 'bad-link-transactions', transactions],
    ['old records', 'bad-link-old', undefined]
  ] as const)('links that end, break, swallow, delay and throttle change nothing: %s', async (_what, name, load) => {
    const bad = { sides: ['target', 'source'], rounds: 1, stretchMs: 3_000 } as const
    expectExact(await badLink({ name, bed, seed: SEED, partitions: 3, load: load ?? old(), ...bad }))
  })

  it('a source that is killed and comes back loses nothing that it still has', async () => {
    expectExact(
      await sourceKill({
        name: 'source-killed',
        bed,
        seed: SEED,
        partitions: 3,
        load: plain,
        mirrors: 2,
        downMs: 3_000
      })
    )
  })

  it('nor does one with open transactions', async () => {
    const name = 'source-killed-transactions'
    const load = transactions
    expectExact(await sourceKill({ name, bed, seed: SEED, partitions: 3, load, mirrors: 1, downMs: 3_000 }))
  })
})
