import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { offsetCommitRequest } from '../kafka/requests/offset-commit.js'
import { offsetFetchRequest } from '../kafka/requests/offset-fetch.js'
import type { GroupTranslation, GroupTranslationPartition as Partition } from '../offsets/translation.js'
import { retry } from '../util/retry.js'
import type { GroupPosition } from '../control/control-records.js'
import { groupBy } from './group-by.js'
import { targetPosition } from './group-positions.js'

const UNKNOWN_MEMBER_ID = 25
const RETRIES = 6
const REPAIRS = 3

/** What a group has committed on a cluster. */
export async function committedOffsets(
  cluster: ClusterClient,
  groupId: string,
  signal?: AbortSignal
): Promise<GroupPosition[]> {
  return withCoordinator(
    cluster,
    groupId,
    async () => {
      const answer = await cluster.send({ group: groupId }, offsetFetchRequest({ groupId, requireStable: true }))
      const failed = answer.errorCode || (answer.partitions.find(p => p.errorCode !== 0)?.errorCode ?? 0)
      if (failed !== 0)
        throw kafkaError(failed, `cannot read the offsets of group ${groupId} on ${cluster.alias}`, {
          cluster: cluster.alias
        })
      return answer.partitions
        .filter(p => p.offset >= 0n)
        .map(({ topic, partition, offset }) => ({ groupId, topic, partition, offset }))
    },
    signal
  )
}

/** Commits the plan's offsets while the group has no members, and fills in `applied` and `refused`. */
export async function commitGroup(
  cluster: ClusterClient,
  group: GroupTranslation,
  signal?: AbortSignal
): Promise<void> {
  await commitPartitions(cluster, group.groupId, group.partitions, signal)
}

async function commitPartitions(
  cluster: ClusterClient,
  groupId: string,
  partitions: readonly Partition[],
  signal?: AbortSignal
): Promise<void> {
  const wanted = partitions.filter(partition => targetPosition(partition.target) !== undefined)
  if (wanted.length === 0) return
  const codes = await withCoordinator(cluster, groupId, () => commit(cluster, groupId, wanted), signal)
  for (const partition of wanted) {
    const target = targetPosition(partition.target)
    const code = target && codes.get(`${target.topic} ${target.partition}`)
    partition.applied = code === 0
    if (code === UNKNOWN_MEMBER_ID) partition.refused = 'active'
  }
}

/**
 * Reads the commits again and repairs what somebody else has overwritten meanwhile (the group sync of a mirror that had not seen
 * the move yet). Returns how many had to be repaired; what can't be is marked as refused.
 */
export async function verifyGroup(
  cluster: ClusterClient,
  group: GroupTranslation,
  signal?: AbortSignal
): Promise<number> {
  let repaired = 0
  for (let round = 0; round < REPAIRS; round++) {
    const present = await committedOffsets(cluster, group.groupId, signal)
    const wrong = group.partitions.filter(partition => partition.applied && !isCommitted(partition, present))
    if (wrong.length === 0) return repaired
    repaired += wrong.length
    await commitPartitions(cluster, group.groupId, wrong, signal)
  }
  const present = await committedOffsets(cluster, group.groupId, signal)
  for (const partition of group.partitions) {
    if (!partition.applied || isCommitted(partition, present)) continue
    partition.applied = false
    partition.refused = 'diverged'
  }
  return repaired
}

function isCommitted(partition: Partition, present: readonly GroupPosition[]): boolean {
  const target = targetPosition(partition.target)
  return present.some(p => p.topic === target?.topic && p.partition === target.partition && p.offset === target.offset)
}

async function commit(
  cluster: ClusterClient,
  groupId: string,
  partitions: readonly Partition[]
): Promise<Map<string, number>> {
  const targets = partitions.flatMap(partition => targetPosition(partition.target) ?? [])
  const topics = [...groupBy(targets, target => target.topic)].map(([topic, list]) => ({
    topic,
    partitions: list.map(({ partition, offset }) => ({ partition, offset, leaderEpoch: -1, metadata: null }))
  }))
  const answer = await cluster.send(
    { group: groupId },
    offsetCommitRequest({ groupId, generationId: -1, memberId: '', topics })
  )
  const codes = new Map<string, number>()
  for (const { topic, partition, errorCode } of answer.partitions) {
    const error = kafkaError(errorCode, `cannot commit offsets of group ${groupId} on ${cluster.alias}`, {
      cluster: cluster.alias,
      topic,
      partition
    })
    if (errorCode !== 0 && error.retriable) throw error
    codes.set(`${topic} ${partition}`, errorCode)
  }
  return codes
}

function withCoordinator<T>(
  cluster: ClusterClient,
  groupId: string,
  work: () => Promise<T>,
  signal?: AbortSignal
): Promise<T> {
  return retry(
    async attempt => {
      // A coordinator that moved, or is still loading, is looked up again.
      if (attempt > 1) cluster.forgetCoordinator({ group: groupId })
      return work()
    },
    { retries: RETRIES, minTimeoutMs: 50, maxTimeoutMs: 1_000, signal }
  )
}
