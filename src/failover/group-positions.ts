import {
  GroupTranslationReport,
  type GroupTranslationPartition,
  resumeOffset,
  type Translation
} from '../offsets/translation.js'
import type { GroupPosition } from '../control/control-records.js'
import type { Answer } from '../control/moves.js'

/**
 * One position per group and partition. Two instances can name the same partition when it changed hands shortly before the move:
 * the larger position counts, because everything below it was handled by one of them. What nobody reported is taken from
 * `committed` (a switchover reads it from the old cluster).
 */
export function mergePositions(answers: Iterable<Answer>, committed: readonly GroupPosition[] = []): GroupPosition[] {
  const merged = new Map<string, GroupPosition>()
  const key = (p: GroupPosition) => JSON.stringify([p.groupId, p.topic, p.partition])
  for (const position of [...answers].flatMap(answer => answer.positions)) {
    const known = merged.get(key(position))
    if (!known || known.offset < position.offset) merged.set(key(position), position)
  }
  for (const position of committed) {
    if (!merged.has(key(position))) merged.set(key(position), position)
  }
  return [...merged.values()]
}

/**
 * The offset to commit on the target; `undefined` when the answer names none. Beyond what was mirrored: those records were
 * handled, they are only not there, and the lane's end skips nothing.
 */
export function targetPosition(
  translation: Translation
): { topic: string; partition: number; offset: bigint } | undefined {
  const offset = resumeOffset(translation)
  if (offset === undefined || translation.kind === 'unknown') return undefined
  return { topic: translation.topic, partition: translation.partition, offset }
}

/** Positions and their translations, group by group; nothing is applied yet. */
export function planGroups(
  positions: readonly GroupPosition[],
  translations: readonly Translation[],
  at: Date
): GroupTranslationReport[] {
  const groups = new Map<string, GroupTranslationPartition[]>()
  positions.forEach(({ groupId, topic, partition, offset }, index) => {
    const target = translations[index] ?? { kind: 'unknown', reason: 'state-lost' }
    const partitions = groups.get(groupId) ?? []
    const refused = target.kind === 'unknown' ? { refused: 'unknown' as const } : {}
    partitions.push({ source: { topic, partition, offset }, target, applied: false, ...refused })
    groups.set(groupId, partitions)
  })
  return [...groups].map(([groupId, partitions]) => new GroupTranslationReport(groupId, partitions, at))
}
