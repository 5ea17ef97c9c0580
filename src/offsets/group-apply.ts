import type { ClusterClient } from '../kafka/cluster.js'
import type { LinkState } from '../lineage/link-state.js'
import type { GroupPosition } from '../lineage/state-values.js'
import type { Logger } from '../logger.js'
import {
  type CommittedPosition,
  commitOffsets,
  committedOffsets,
  partitionKey,
  UNKNOWN_MEMBER_ID
} from './group-offsets.js'
import { judgeCommit } from './group-rules.js'
import {
  type GroupTranslation,
  GroupTranslationReport,
  type GroupTranslationPartition,
  resumeOffset
} from './translation.js'

interface Wanted {
  index: number
  source: GroupTranslationPartition['source']
  target: CommittedPosition
}

/** Commits translated positions under the rules of group sync: noted in the state first, so that they are known as ours afterwards. */
export async function applyPositions(o: {
  cluster: ClusterClient
  state: LinkState
  logger: Logger
  translation: GroupTranslation
  /** Metadata of the source's commits, by source partition. */
  metadata?: Map<string, string | null>
  /** `note`: the group is in use on the target, so only the source's commits are remembered. */
  mode: 'apply' | 'note' | 'dry-run'
}): Promise<GroupTranslation> {
  const { groupId, partitions } = o.translation
  const result = partitions.map(partition => ({ ...partition }))
  const wanted = partitions.flatMap((partition, index): Wanted[] => {
    const offset = resumeOffset(partition.target)
    if (offset === undefined || partition.target.kind === 'unknown') {
      ;(result[index] as GroupTranslationPartition).refused = 'unknown'
      return []
    }
    const { topic, partition: number } = partition.target
    const metadata = o.metadata?.get(partitionKey(partition.source)) ?? null
    return [{ index, source: partition.source, target: { topic, partition: number, offset, metadata } }]
  })
  const present = new Map(
    (await committedOffsets(o.cluster, groupId)).map(position => [partitionKey(position), position.offset])
  )
  const noted = new Map(
    ((await o.state.refreshGroup(groupId))?.positions ?? []).map(position => [targetKey(position), position])
  )
  const judged = wanted.filter(({ index, target }) => {
    const key = partitionKey(target)
    const verdict = judgeCommit({
      wanted: target.offset,
      present: present.get(key),
      noted: noted.get(key),
      now: Date.now()
    })
    const entry = result[index] as GroupTranslationPartition
    if (verdict === 'diverged') entry.refused = 'diverged'
    if (verdict === 'nothing') entry.applied = true
    return verdict === 'write'
  })
  const writes = o.mode === 'apply' ? judged : []
  if (o.mode !== 'dry-run') await note(o.state, groupId, wanted, writes, noted, present)
  if (writes.length === 0) return new GroupTranslationReport(groupId, result)
  const codes = await commitOffsets(
    o.cluster,
    groupId,
    writes.map(write => write.target)
  )
  for (const { index, target } of writes) {
    const code = codes.get(partitionKey(target))
    const entry = result[index] as GroupTranslationPartition
    entry.applied = code === 0
    if (code === UNKNOWN_MEMBER_ID) entry.refused = 'active'
    else if (code !== 0) o.logger.warn({ groupId, ...target, code }, 'the target refused a translated offset')
  }
  return new GroupTranslationReport(groupId, result)
}

/** Remembers the source's commits and what is about to be written for them; unchanged entries cost nothing. */
async function note(
  state: LinkState,
  groupId: string,
  wanted: Wanted[],
  writes: Wanted[],
  noted: Map<string, GroupPosition>,
  present: Map<string, bigint>
): Promise<void> {
  const next = new Map(noted)
  let changed = false
  for (const want of wanted) {
    const key = partitionKey(want.target)
    const before = noted.get(key)
    const write = writes.includes(want)
    if (before?.source === want.source.offset && !write) continue
    changed = true
    next.set(key, {
      topic: want.source.topic,
      partition: want.source.partition,
      source: want.source.offset,
      targetTopic: want.target.topic,
      targetPartition: want.target.partition,
      written: write ? want.target.offset : (before?.written ?? null),
      previous: write ? (present.get(key) ?? null) : (before?.previous ?? null),
      writtenAtMs: write ? Date.now() : (before?.writtenAtMs ?? 0)
    })
  }
  if (changed) await state.writeGroup(groupId, { positions: [...next.values()] })
}

const targetKey = (position: GroupPosition) =>
  partitionKey({ topic: position.targetTopic, partition: position.targetPartition })
