import { controlType, isControl, isTransactional, parseBatches } from './batch.js'
import type { Segment } from './types.js'

export interface ReadOptions {
  /** Source offset that was asked for: what lies before it is left out. */
  position: bigint
  isolation: 'read_committed' | 'read_uncommitted'
  /** As the fetch answer lists them. Brokers do not sort them. */
  abortedTransactions: readonly { producerId: bigint; firstOffset: bigint }[]
}

/**
 * Cuts a fetch answer into records and gaps without leaving an offset out. Aborted transactions are recognised as in the Java
 * consumer: a producer is aborted from the first offset of its listed transaction to its next abort marker. `leaderEpoch` is the
 * latest of everything read, markers included: the source finds a truncation by it, and would see one where a marker is behind it.
 */
export function readSegments(
  data: Buffer,
  options: ReadOptions
): { segments: Segment[]; next: bigint; leaderEpoch: number } {
  const committed = options.isolation === 'read_committed'
  const aborted = [...options.abortedTransactions].sort((a, b) =>
    a.firstOffset < b.firstOffset ? -1 : a.firstOffset > b.firstOffset ? 1 : 0
  )
  const abortedProducers = new Set<bigint>()
  let listed = 0
  const segments: Segment[] = []
  let next = options.position
  let leaderEpoch = -1

  for (const batch of parseBatches(data)) {
    const control = isControl(batch.attributes)
    let skipped = false
    if (committed && batch.producerId >= 0n) {
      for (
        let entry = aborted[listed];
        entry !== undefined && entry.firstOffset < batch.nextOffset;
        entry = aborted[listed]
      ) {
        abortedProducers.add(entry.producerId)
        listed++
      }
      if (control) {
        if (controlType(batch) === 'abort') abortedProducers.delete(batch.producerId)
      } else {
        skipped = isTransactional(batch.attributes) && abortedProducers.has(batch.producerId)
      }
    }
    // A fetch from the middle of a batch returns the whole batch.
    if (batch.nextOffset <= next) continue
    if (batch.baseOffset > next) {
      segments.push({ kind: 'gap', from: next, to: batch.baseOffset, reason: 'hole' })
      next = batch.baseOffset
    }
    const to = batch.nextOffset
    if (control) segments.push({ kind: 'gap', from: next, to, reason: 'marker' })
    else if (skipped) segments.push({ kind: 'gap', from: next, to, reason: 'aborted' })
    else if (batch.count === 0) segments.push({ kind: 'gap', from: next, to, reason: 'empty' })
    else segments.push({ kind: 'data', batch, from: next, to })
    next = to
    leaderEpoch = Math.max(leaderEpoch, batch.partitionLeaderEpoch)
  }
  return { segments, next, leaderEpoch }
}
