import { afterAll, beforeAll, describe, it } from 'vitest'
import { EAGER_CLEANER } from '../support/compaction.js'
import { type Bed, startBed } from './campaigns/bed.js'
import { judgeCompacted, judgeFilters, NumberedLoad } from './campaigns/judges.js'
import { race } from './campaigns/race.js'
import { expectClean } from './campaigns/report.js'
import { replaceAll } from './campaigns/replace.js'

const SEED = Number(process.env.TWINLOG_SEED ?? 1)

describe('lanes whose plan is not a function of the source log alone', () => {
  let bed: Bed

  beforeAll(async () => {
    bed = await startBed({ source: { properties: EAGER_CLEANER } })
  })

  afterAll(async () => {
    await bed?.stop()
  })

  // The cleaner is always at it: what one owner has read is gone when the next one reads.
  const sourceConfigs = {
    'cleanup.policy': 'compact',
    'segment.ms': '300',
    'min.compaction.lag.ms': '0',
    'min.cleanable.dirty.ratio': '0.01'
  }
  // Compaction there would hide repetitions.
  const createTopics = { configs: { 'cleanup.policy': 'delete', 'segment.ms': '604800000' } }

  it.each([
    ['race for the lanes', false],
    ['share the lanes', undefined]
  ] as const)('a source that is compacted between the reads of two owners that %s', async (_how, workers) => {
    const partitions = 3
    const load = new NumberedLoad({ bed, partitions, keys: 60 })
    const report = await race({
      name: workers === false ? 'compacted-race' : 'compacted-shared',
      bed,
      seed: SEED,
      partitions,
      kills: 6,
      freezes: 3,
      freezeMs: [2_000, 8_000],
      exclusive: true,
      sourceConfigs,
      mirror: { workers, createTopics },
      produce: load.start,
      judge: topic => judgeCompacted(bed, load, topic, partitions)
    })
    expectClean(report)
  })

  it.each([
    ['race for the lanes', false, 2],
    ['share the lanes', undefined, 3]
  ] as const)('a rolling change of a filter in processes that %s', async (_how, workers, mirrors) => {
    const partitions = 6
    const load = new NumberedLoad({ bed, partitions, keys: 60 })
    const report = await replaceAll({
      name: workers === false ? 'filters-race' : 'filters-shared',
      bed,
      seed: SEED,
      partitions,
      mirrors,
      exclusive: true,
      mirror: { workers, transform: 'without-thirds' },
      next: { transform: 'without-fifths' },
      pauseMs: 3_000,
      produce: load.start,
      judge: topic =>
        judgeFilters(bed, load, topic, {
          partitions,
          before: number => number % 3 !== 0,
          after: number => number % 5 !== 0,
          // Each process that comes or goes may move a lane once.
          mostChanges: mirrors * 4
        })
    })
    expectClean(report)
  })
})
