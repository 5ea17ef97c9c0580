import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { listOffsetsRequest } from '../kafka/requests/list-offsets.js'
import { retry } from '../util/retry.js'

/** Ends of partitions for read_committed readers (last stable offsets), in the order asked. */
export async function sourceEnds(
  cluster: ClusterClient,
  partitions: { topic: string; partition: number }[]
): Promise<bigint[]> {
  if (partitions.length === 0) return []
  return retry(
    async attempt => {
      if (attempt > 1) await cluster.metadata({ topics: [...new Set(partitions.map(({ topic }) => topic))] })
      const ends = new Map<string, bigint>()
      await Promise.all(
        [...byLeader(cluster, partitions)].map(async ([node, ofLeader]) => askLeader(cluster, node, ofLeader, ends))
      )
      return partitions.map(({ topic, partition }) => ends.get(`${topic}-${partition}`) ?? 0n)
    },
    { retries: 8, minTimeoutMs: 50, maxTimeoutMs: 2_000 }
  )
}

async function askLeader(
  cluster: ClusterClient,
  node: number,
  partitions: { topic: string; partition: number }[],
  ends: Map<string, bigint>
): Promise<void> {
  const topics = [...new Set(partitions.map(({ topic }) => topic))].map(topic => ({
    topic,
    partitions: partitions
      .filter(known => known.topic === topic)
      .map(({ partition }) => ({ partition, timestamp: -1n }))
  }))
  const answer = await cluster.send({ node }, listOffsetsRequest({ isolation: 'read_committed', topics }))
  for (const result of answer.partitions) {
    const where = { cluster: cluster.alias, topic: result.topic, partition: result.partition }
    if (result.errorCode !== 0)
      throw kafkaError(result.errorCode, `cannot ask the end of ${result.topic}-${result.partition}`, where)
    ends.set(`${result.topic}-${result.partition}`, result.offset)
  }
}

function byLeader(
  cluster: ClusterClient,
  partitions: { topic: string; partition: number }[]
): Map<number, { topic: string; partition: number }[]> {
  const leaders = new Map<number, { topic: string; partition: number }[]>()
  for (const entry of partitions) {
    const leader = cluster.leaderOf(entry.topic, entry.partition)
    if (!leader || leader.nodeId < 0) {
      throw new TwinlogError(
        'TWINLOG_UNREACHABLE',
        `${entry.topic}-${entry.partition} on ${cluster.alias} has no leader`,
        {
          ...entry,
          cluster: cluster.alias,
          retriable: true
        }
      )
    }
    leaders.set(leader.nodeId, [...(leaders.get(leader.nodeId) ?? []), entry])
  }
  return leaders
}
