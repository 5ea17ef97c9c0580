import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { offsetCommitRequest } from '../kafka/requests/offset-commit.js'
import { offsetFetchRequest } from '../kafka/requests/offset-fetch.js'
import { retry } from '../util/retry.js'
import type { Position } from './translation.js'

/** The group has members that commit for themselves. */
export const UNKNOWN_MEMBER_ID = 25

export interface CommittedPosition extends Position {
  metadata: string | null
}

/**
 * What a group has committed on a cluster. Negative offsets (kafkajs writes some after an out-of-range) count as absent; partitions
 * that cannot be answered too, unless all are asked for: then transactions under way are waited for, and the call fails.
 */
export async function committedOffsets(
  cluster: ClusterClient,
  groupId: string,
  o: { all?: boolean; signal?: AbortSignal | undefined } = {}
): Promise<CommittedPosition[]> {
  const { all = false, signal } = o
  return withCoordinator(cluster, groupId, signal, async () => {
    const answer = await cluster.send({ group: groupId }, offsetFetchRequest({ groupId, requireStable: all }))
    const failed = answer.errorCode || (all ? (answer.partitions.find(p => p.errorCode !== 0)?.errorCode ?? 0) : 0)
    if (failed !== 0) throw groupError(failed, 'read the offsets of', cluster, groupId)
    return answer.partitions
      .filter(partition => partition.errorCode === 0 && partition.offset >= 0n)
      .map(({ topic, partition, offset, metadata }) => ({ topic, partition, offset, metadata }))
  })
}

/** Commits from outside the group; answers the error code of each partition (25 while the group is in use). No leader epoch is carried over. */
export async function commitOffsets(
  cluster: ClusterClient,
  groupId: string,
  positions: CommittedPosition[],
  signal?: AbortSignal
): Promise<Map<string, number>> {
  const topics = [...new Set(positions.map(position => position.topic))].map(topic => ({
    topic,
    partitions: positions
      .filter(position => position.topic === topic)
      .map(({ partition, offset, metadata }) => ({ partition, offset, leaderEpoch: -1, metadata }))
  }))
  return withCoordinator(cluster, groupId, signal, async () => {
    const answer = await cluster.send(
      { group: groupId },
      offsetCommitRequest({ groupId, generationId: -1, memberId: '', topics })
    )
    const codes = new Map<string, number>()
    for (const { topic, partition, errorCode } of answer.partitions) {
      if (errorCode !== 0) {
        const error = groupError(errorCode, 'commit offsets of', cluster, groupId)
        if (error.retriable && errorCode !== UNKNOWN_MEMBER_ID) throw error
      }
      codes.set(partitionKey({ topic, partition }), errorCode)
    }
    return codes
  })
}

export const partitionKey = ({ topic, partition }: { topic: string; partition: number }) => `${topic}/${partition}`

/** A coordinator that moved, or is still loading, is looked up again. */
function withCoordinator<T>(
  cluster: ClusterClient,
  groupId: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>
): Promise<T> {
  return retry(
    async attempt => {
      if (attempt > 1) cluster.forgetCoordinator({ group: groupId })
      return work()
    },
    { retries: 6, minTimeoutMs: 50, maxTimeoutMs: 1_000, signal }
  )
}

function groupError(code: number, action: string, cluster: ClusterClient, groupId: string) {
  return kafkaError(code, `cannot ${action} group ${groupId} on ${cluster.alias}`, { cluster: cluster.alias })
}
