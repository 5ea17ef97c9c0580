import type { ClusterClient } from '../kafka/cluster.js'
import { commitOffsets, committedOffsets, partitionKey, UNKNOWN_MEMBER_ID } from '../offsets/group-offsets.js'
import type { GroupTranslation, GroupTranslationPartition as Partition, Position } from '../offsets/translation.js'
import { targetPosition } from './group-positions.js'

const REPAIRS = 3

/** Error codes of the partitions whose commit was refused. */
export type Refusals = Map<Partition, number>

/**
 * Commits the plan's offsets while the group has no members, then reads the commits again and repairs what somebody else has
 * overwritten meanwhile (the group sync of a mirror that had not seen the move yet). Fills in `applied` and `refused`; answers how
 * many had to be repaired.
 */
export async function commitGroup(
  cluster: ClusterClient,
  group: GroupTranslation,
  refusals: Refusals,
  signal?: AbortSignal
): Promise<number> {
  const { groupId, partitions } = group
  const overwritten = async () => {
    const present = await committedOffsets(cluster, groupId, { all: true, signal })
    return partitions.filter(partition => partition.applied && !isCommitted(partition, present))
  }
  await commitPartitions(cluster, groupId, partitions, refusals, signal)
  let repaired = 0
  for (let round = 0; round < REPAIRS; round++) {
    const wrong = await overwritten()
    if (wrong.length === 0) return repaired
    repaired += wrong.length
    await commitPartitions(cluster, groupId, wrong, refusals, signal)
  }
  for (const partition of await overwritten()) {
    partition.applied = false
    partition.refused = 'diverged'
  }
  return repaired
}

async function commitPartitions(
  cluster: ClusterClient,
  groupId: string,
  partitions: readonly Partition[],
  refusals: Refusals,
  signal: AbortSignal | undefined
): Promise<void> {
  const wanted = partitions.flatMap(partition => {
    const target = targetPosition(partition.target)
    return target ? [{ partition, target: { ...target, metadata: null } }] : []
  })
  if (wanted.length === 0) return
  const codes = await commitOffsets(
    cluster,
    groupId,
    wanted.map(({ target }) => target),
    signal
  )
  for (const { partition, target } of wanted) {
    const code = codes.get(partitionKey(target)) ?? -1
    partition.applied = code === 0
    if (code === UNKNOWN_MEMBER_ID) partition.refused = 'active'
    if (code !== 0) refusals.set(partition, code)
  }
}

function isCommitted(partition: Partition, present: readonly Position[]): boolean {
  const target = targetPosition(partition.target)
  return present.some(p => p.topic === target?.topic && p.partition === target.partition && p.offset === target.offset)
}
