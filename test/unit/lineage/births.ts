import type { BirthEntry } from '../../../src/lineage/state-values.js'

/** A birth entry; what does not matter is filled in. */
export function birth(o: Partial<BirthEntry> = {}): BirthEntry {
  return {
    sourceTopic: 'orders',
    sourceTopicId: 's',
    sourcePartition: 0,
    targetTopic: 'orders',
    targetTopicId: 't',
    targetPartition: 0,
    planDigest: 'd',
    first: 0n,
    targetEnd: 0n,
    producerId: 70n,
    epoch: 0,
    ...o
  }
}
