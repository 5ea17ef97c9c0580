import { afterAll, beforeAll, describe, it } from 'vitest'
import { startShapesBed, type ShapesBed } from './bed.js'
import { shapesFor } from './catalog.js'
import { expectSame, reportTable, type Row } from './report.js'
import { runShapes } from './run.js'
import { COMPRESSIONS, type Mode } from './shape.js'

/** Every shape of log × every compression × (empty target, resumed target), compared by the oracle. */
describe('every shape of log is copied as it is', () => {
  const rows: Row[] = []
  let bed: ShapesBed

  beforeAll(async () => {
    bed = await startShapesBed()
  })

  afterAll(async () => {
    await bed?.stop()
    if (rows.length > 0) console.log(reportTable(rows))
  })

  const modes: Mode[] = ['empty', 'resumed']
  for (const [index, compression] of [...COMPRESSIONS, 'mixed' as const].entries()) {
    const shapes = shapesFor(compression)
    if (shapes.length === 0) continue
    it.each(modes)(`${compression}, %s target`, async mode => {
      const firstStop = index % 2 === 0 ? 'rest' : 'middle'
      const found = await runShapes({ bed, shapes, compression, mode, firstStop })
      rows.push(...found)
      expectSame(found)
    })
  }
})
