import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Bed, startBed } from '../faults/campaigns/bed.js'
import { gapContinues, recreatedWhileRunning } from '../faults/campaigns/cases.js'
import { judgeFilters, NumberedLoad } from '../faults/campaigns/judges.js'
import { leaders } from '../faults/campaigns/leaders.js'
import { badLink, sourceKill } from '../faults/campaigns/links.js'
import { race } from '../faults/campaigns/race.js'
import { replaceAll } from '../faults/campaigns/replace.js'
import { expectClean, expectExact } from '../faults/campaigns/report.js'
import { play } from '../faults/campaigns/scene.js'

const HOUR_MS = 60 * 60 * 1000

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
    expectExact(await race({ ...common, name: 'short-race', bed, load: transactional, kills: 1, freezes: 1 }))
  })

  it('the same with records that the target does not remember', async () => {
    const old = { ...load, timestampFrom: Date.now() - 25 * HOUR_MS }
    expectExact(
      await race({
        ...common,
        name: 'short-old',
        bed,
        load: old,
        kills: 1,
        freezes: 1,
        exclusive: true,
        targetLatencyMs: 25
      })
    )
  })

  it('a filter that is replaced, process by process, by another one', async () => {
    const records = new NumberedLoad({ bed, partitions: 2, keys: 60 })
    const report = await replaceAll({
      name: 'short-filters',
      bed,
      seed: 7,
      partitions: 2,
      mirrors: 1,
      exclusive: true,
      mirror: { workers: undefined, transform: 'without-thirds' },
      next: { transform: 'without-fifths' },
      pauseMs: 500,
      produce: records.start,
      judge: topic =>
        judgeFilters(bed, records, topic, {
          partitions: 2,
          before: number => number % 3 !== 0,
          after: number => number % 5 !== 0,
          mostChanges: 1
        })
    })
    expectClean(report)
  })

  it('a killed leader and a leader flip', async () => {
    const faults = { kills: 1, flips: 1 }
    expectExact(await leaders({ ...common, ...faults, name: 'short-leaders', bed, mirrors: 1, targetLatencyMs: 10 }))
  })

  it('a bad link', async () => {
    expectExact(await badLink({ ...common, name: 'short-link', bed, rounds: 1, stretchMs: 1_000 }))
  })

  it('a killed source', async () => {
    expectExact(await sourceKill({ ...common, name: 'short-source', bed, mirrors: 1, downMs: 1_000 }))
  })

  it('records that were deleted before they were copied', () => play(bed, 'short-gap', {}, gapContinues))

  it('a source topic that is created again', () => play(bed, 'short-recreated', {}, recreatedWhileRunning))
})
