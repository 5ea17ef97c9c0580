import type { Segment } from '../records/types.js'
import type { LaneWork } from './lane-work.js'

/** Holes that no transaction explains: compaction made them, or the log lost something. */
export function hasHoles(segments: readonly Segment[]): boolean {
  return segments.some(
    segment =>
      (segment.kind === 'gap' && (segment.reason === 'hole' || segment.reason === 'empty')) ||
      (segment.kind === 'data' && segment.batch.count !== segment.batch.lastOffsetDelta + 1)
  )
}

/** Producer ids of which the source has to be asked whose they are. */
export function unclassified(segments: readonly Segment[], classify: LaneWork['classify']): bigint[] {
  const ids = new Set<bigint>()
  let last = -1n
  for (const segment of segments) {
    if (segment.kind !== 'data') continue
    const { producerId } = segment.batch
    if (producerId < 0n || producerId === last) continue
    last = producerId
    if (typeof classify(producerId) !== 'string') ids.add(producerId)
  }
  return [...ids]
}

/** Batches that a link wrote and that are not sent on become gaps. Every id is classified by now. */
export function leaveOut(segments: Segment[], classify: LaneWork['classify']): Segment[] {
  const skips = (segment: Segment) =>
    segment.kind === 'data' && segment.batch.producerId >= 0n && classify(segment.batch.producerId) === 'skip'
  if (!segments.some(skips)) return segments
  return segments.map(segment =>
    skips(segment) ? { kind: 'gap', from: segment.from, to: segment.to, reason: 'forwarded' } : segment
  )
}
