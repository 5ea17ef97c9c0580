import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { LATEST_TIMESTAMP, listOffsetsRequest } from '../kafka/requests/list-offsets.js'
import { retry } from '../util/retry.js'
import type { Isolation } from './options.js'

/** Partition numbers by topic. */
type Partitions = Map<string, number[]>

/**
 * Ends of partitions as readers of this isolation see them, in the order asked: last stable offsets for read_committed,
 * high watermarks for read_uncommitted.
 */
export async function sourceEnds(
  cluster: ClusterClient,
  partitions: { topic: string; partition: number }[],
  isolation: Isolation
): Promise<bigint[]> {
  if (partitions.length === 0) return []
  return retry(
    async attempt => {
      if (attempt > 1) await cluster.metadata({ topics: [...new Set(partitions.map(({ topic }) => topic))] })
      const ends = new Map<string, bigint>()
      await Promise.all(
        [...byLeader(cluster, partitions)].map(async ([node, ofLeader]) =>
          askLeader({ cluster, node, partitions: ofLeader, isolation, ends })
        )
      )
      return partitions.map(({ topic, partition }) => ends.get(`${topic}-${partition}`) ?? 0n)
    },
    { retries: 8, minTimeoutMs: 50, maxTimeoutMs: 2_000 }
  )
}

async function askLeader(o: {
  cluster: ClusterClient
  node: number
  partitions: Partitions
  isolation: Isolation
  ends: Map<string, bigint>
}): Promise<void> {
  const topics = [...o.partitions].map(([topic, numbers]) => ({
    topic,
    partitions: [...new Set(numbers)].map(partition => ({ partition, timestamp: LATEST_TIMESTAMP }))
  }))
  const answer = await o.cluster.send({ node: o.node }, listOffsetsRequest({ isolation: o.isolation, topics }))
  for (const result of answer.partitions) {
    const where = { cluster: o.cluster.alias, topic: result.topic, partition: result.partition }
    if (result.errorCode !== 0)
      throw kafkaError(result.errorCode, `cannot ask the end of ${result.topic}-${result.partition}`, where)
    o.ends.set(`${result.topic}-${result.partition}`, result.offset)
  }
}

function byLeader(cluster: ClusterClient, partitions: { topic: string; partition: number }[]): Map<number, Partitions> {
  const leaders = new Map<number, Partitions>()
  for (const { topic, partition } of partitions) {
    const leader = cluster.leaderOf(topic, partition)
    if (!leader || leader.nodeId < 0) {
      throw new TwinlogError('TWINLOG_UNREACHABLE', `${topic}-${partition} on ${cluster.alias} has no leader`, {
        topic,
        partition,
        cluster: cluster.alias,
        retriable: true
      })
    }
    const topics = leaders.get(leader.nodeId) ?? new Map<string, number[]>()
    leaders.set(leader.nodeId, topics)
    const numbers = topics.get(topic)
    if (numbers) numbers.push(partition)
    else topics.set(topic, [partition])
  }
  return leaders
}
