import { COMPACTION_SHAPES } from './catalog/compaction.js'
import { LAYOUT_SHAPES } from './catalog/layout.js'
import { RECORD_SHAPES } from './catalog/records.js'
import { SIZE_SHAPES } from './catalog/sizes.js'
import { TIME_SHAPES } from './catalog/times.js'
import { TRANSACTION_SHAPES } from './catalog/transactions.js'
import type { Compression, Shape } from './shape.js'

const ALL: readonly Shape[] = [
  ...RECORD_SHAPES,
  ...SIZE_SHAPES,
  ...TRANSACTION_SHAPES,
  ...COMPACTION_SHAPES,
  ...TIME_SHAPES,
  ...LAYOUT_SHAPES
]

/** `TWINLOG_SHAPES=compacted,time-.*` runs those only. */
function wanted(): (shape: Shape) => boolean {
  const names = process.env.TWINLOG_SHAPES?.split(',').map(name => new RegExp(`^(${name})$`))
  return shape => names?.some(name => name.test(shape.name)) ?? true
}

export function shapesFor(compression: Compression | 'mixed'): Shape[] {
  return ALL.filter(wanted()).filter(({ compressions }) =>
    compression === 'mixed' || compressions === 'mixed'
      ? compressions === compression
      : (compressions?.includes(compression) ?? true)
  )
}

export function shapesNamed(names: readonly string[]): Shape[] {
  return names.map(name => {
    const shape = ALL.find(each => each.name === name)
    if (shape === undefined) throw new Error(`there is no shape ${name}`)
    return shape
  })
}
