import { controlType, isControl, isTransactional } from '../records/batch.js'
import type { BatchView } from '../records/types.js'

/** What became of the transaction in which a batch was written; `open`: no marker of its producer follows in what was read. */
export type Outcome = 'committed' | 'aborted' | 'open'

/** For each of these batches, in offset order; one that was not written in a transaction is committed as it stands. */
export function outcomes(batches: readonly BatchView[]): Outcome[] {
  const next = new Map<bigint, Outcome>()
  const found: Outcome[] = []
  for (let index = batches.length - 1; index >= 0; index--) {
    const batch = batches[index] as BatchView
    const end = endOf(batch)
    if (end) next.set(batch.producerId, end)
    found[index] = isTransactional(batch.attributes) ? (next.get(batch.producerId) ?? 'open') : 'committed'
  }
  return found
}

/** Takes out of `waiting` each producer whose transaction ends in these batches, the first end of each; answers who committed. */
export function firstEnds(batches: readonly BatchView[], waiting: Set<bigint>): bigint[] {
  return batches.flatMap(batch => {
    const end = endOf(batch)
    return end && waiting.delete(batch.producerId) && end === 'committed' ? [batch.producerId] : []
  })
}

function endOf(batch: BatchView): Outcome | undefined {
  if (!isControl(batch.attributes)) return undefined
  const type = controlType(batch)
  return type === 'commit' ? 'committed' : type === 'abort' ? 'aborted' : undefined
}
