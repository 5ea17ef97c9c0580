import { KAFKA_ERRORS } from '../kafka/protocol-errors.js'
import {
  type GroupTranslation,
  GroupTranslationReport,
  type GroupTranslationPartition,
  resumeOffset,
  type Translation
} from '../offsets/translation.js'
import type { GroupPosition } from '../control/control-records.js'
import { type Answer, largestPositions, positionKey } from '../control/moves.js'

/**
 * One position per group and partition. Two instances can name the same partition when it changed hands shortly before the move:
 * the larger position counts, because everything below it was handled by one of them. What nobody reported is taken from
 * `committed` (a switchover reads it from the old cluster).
 */
export function mergePositions(answers: Iterable<Answer>, committed: readonly GroupPosition[] = []): GroupPosition[] {
  const reported = largestPositions([...answers].flatMap(answer => answer.positions))
  const known = new Set(reported.map(positionKey))
  return [...reported, ...committed.filter(position => !known.has(positionKey(position)))]
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

/** Which positions of these topics the groups would not find on the target, and why; `codes` says what the broker answered. */
export function missingPositions(
  groups: readonly GroupTranslation[],
  topics: readonly string[],
  codes: ReadonlyMap<GroupTranslationPartition, number>
): string[] {
  return groups.flatMap(({ groupId, partitions }) =>
    partitions
      .filter(partition => !partition.applied && topics.includes(partition.source.topic))
      .map(partition => {
        const { topic, partition: number, offset } = partition.source
        return `group ${groupId} at offset ${offset} of ${topic}-${number}: ${whyMissing(partition, codes.get(partition))}`
      })
  )
}

function whyMissing({ target, refused }: GroupTranslationPartition, code: number | undefined): string {
  if (target.kind === 'unknown') return `the offset has no translation (${target.reason})`
  if (refused === 'active') return 'the group has members on the target'
  if (refused === 'diverged') return 'somebody else overwrites it on the target'
  return `the target refused the commit: ${KAFKA_ERRORS.get(code ?? -1)?.name ?? 'no answer'} (${code ?? 'none'})`
}
