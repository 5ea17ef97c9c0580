import { afterAll, beforeAll, describe, it } from 'vitest'
import { startShapesBed, type ShapesBed } from '../shapes/bed.js'
import { shapesNamed } from '../shapes/catalog.js'
import { expectSame } from '../shapes/report.js'
import { runShapes } from '../shapes/run.js'

/** The short form of `npm run test:shapes`: some shapes and compressions, so that the campaign cannot rot. */
describe('shapes, in short', () => {
  let bed: ShapesBed

  beforeAll(async () => {
    bed = await startShapesBed()
  })

  afterAll(async () => {
    await bed?.stop()
  })

  it('onto an empty target', async () => {
    const shapes = shapesNamed([
      'odd-records',
      'transactions',
      'compacted',
      'log-start',
      'log-append-time-source',
      'time-old',
      'uncommitted'
    ])
    expectSame(await runShapes({ bed, shapes, compression: 'zstd', mode: 'empty', firstStop: 'rest' }))
  })

  it('onto a target where another Mirror has begun', async () => {
    const shapes = shapesNamed([
      'broker-limit',
      'transactions-open',
      'compacted-again',
      'time-future',
      'log-append-time-target'
    ])
    expectSame(await runShapes({ bed, shapes, compression: 'lz4', mode: 'resumed', firstStop: 'middle' }))
  })
})
