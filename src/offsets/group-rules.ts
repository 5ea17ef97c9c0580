import type { GroupPosition } from '../lineage/state-values.js'

/** Kafka drops the offsets of an idle group after 7 days: unchanged ones are committed again each day. */
const RECOMMIT_MS = 24 * 60 * 60 * 1000

export type GroupVerdict = 'write' | 'nothing' | 'diverged'

/**
 * Whether a translated position may be committed on the target: over nothing, or over what was written by us. A commit that is
 * neither is somebody else's, and theirs to keep. `previous` counts as ours because it is noted before it is committed.
 */
export function judgeCommit(o: {
  wanted: bigint
  present: bigint | undefined
  noted: GroupPosition | undefined
  now: number
}): GroupVerdict {
  const ours = o.present === undefined || o.present === o.noted?.written || o.present === o.noted?.previous
  if (o.present === o.wanted) {
    if (o.noted?.written !== o.wanted) return 'nothing'
    return o.now - o.noted.writtenAtMs > RECOMMIT_MS ? 'write' : 'nothing'
  }
  return ours ? 'write' : 'diverged'
}
