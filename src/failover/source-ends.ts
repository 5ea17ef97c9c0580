import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { describeProducersRequest } from '../kafka/requests/describe-producers.js'
import { EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, listOffsetsRequest } from '../kafka/requests/list-offsets.js'
import { groupBy } from './group-by.js'

export interface PartitionEnd {
  topic: string
  partition: number
  start: bigint
  /** Behind the last record that belongs to no open transaction. */
  lastStable: bigint
  highWatermark: bigint
}

/** Whether the target has everything up to this end. Where there is no lane, only an empty partition is complete. */
export function isComplete(end: Pick<PartitionEnd, 'start' | 'highWatermark'>, reached: bigint | undefined): boolean {
  return reached === undefined ? end.highWatermark === end.start : reached >= end.highWatermark
}

/** True when the source deleted records before its lane came to them: the lane goes on behind them, as if it had everything. */
export function wasOvertaken(end: Pick<PartitionEnd, 'start'>, reached: bigint | undefined): boolean {
  return reached !== undefined && reached < end.start
}

export interface OpenTransaction {
  topic: string
  partition: number
  producerId: bigint
  startOffset: bigint
}

interface Place {
  topic: string
  partition: number
}

/** Where these topics begin and end on a cluster, by fresh metadata. A topic that does not exist has no partitions. */
export async function readEnds(cluster: ClusterClient, topics: string[]): Promise<PartitionEnd[]> {
  const byLeader = await placesByLeader(cluster, topics)
  const ends = await Promise.all(
    [...byLeader].map(async ([node, places]) => {
      const list = (isolation: 'read_committed' | 'read_uncommitted', timestamp: bigint) =>
        listOffsets(cluster, node, places, isolation, timestamp)
      const starts = await list('read_uncommitted', EARLIEST_TIMESTAMP)
      const stable = await list('read_committed', LATEST_TIMESTAMP)
      const high = await list('read_uncommitted', LATEST_TIMESTAMP)
      return places.map(({ topic, partition }) => ({
        topic,
        partition,
        start: starts.get(key(topic, partition)) ?? 0n,
        lastStable: stable.get(key(topic, partition)) ?? 0n,
        highWatermark: high.get(key(topic, partition)) ?? 0n
      }))
    })
  )
  return ends.flat()
}

/** Who holds up the last stable offset of these partitions. */
export async function openTransactions(cluster: ClusterClient, places: Place[]): Promise<OpenTransaction[]> {
  const found: OpenTransaction[] = []
  for (const { topic, partition } of places) {
    const leader = cluster.leaderOf(topic, partition)
    if (!leader) continue
    const request = describeProducersRequest({ topics: [{ topic, partitions: [partition] }] })
    const answer = await cluster.send({ node: leader.nodeId }, request)
    for (const producer of answer.partitions[0]?.producers ?? []) {
      if (producer.currentTxnStartOffset < 0n) continue
      found.push({ topic, partition, producerId: producer.producerId, startOffset: producer.currentTxnStartOffset })
    }
  }
  return found
}

async function placesByLeader(cluster: ClusterClient, topics: string[]): Promise<Map<number, Place[]>> {
  const byLeader = new Map<number, Place[]>()
  if (topics.length === 0) return byLeader
  const metadata = await cluster.metadata({ topics })
  for (const name of topics) {
    for (const { partition, leader } of metadata.topics.get(name)?.partitions ?? []) {
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), { topic: name, partition }])
    }
  }
  const leaderless = byLeader.get(-1)?.[0]
  if (leaderless) {
    throw kafkaError(5, `${leaderless.topic}-${leaderless.partition} has no leader on ${cluster.alias}`, {
      cluster: cluster.alias,
      ...leaderless
    })
  }
  return byLeader
}

async function listOffsets(
  cluster: ClusterClient,
  node: number,
  places: Place[],
  isolation: 'read_committed' | 'read_uncommitted',
  timestamp: bigint
): Promise<Map<string, bigint>> {
  const topics = [...groupBy(places, place => place.topic)].map(([topic, list]) => ({
    topic,
    partitions: list.map(({ partition }) => ({ partition, timestamp }))
  }))
  const answer = await cluster.send({ node }, listOffsetsRequest({ isolation, topics }))
  const offsets = new Map<string, bigint>()
  for (const { topic, partition, errorCode, offset } of answer.partitions) {
    if (errorCode !== 0) {
      throw kafkaError(errorCode, `cannot ask the end of ${topic}-${partition} on ${cluster.alias}`, {
        cluster: cluster.alias,
        topic,
        partition
      })
    }
    offsets.set(key(topic, partition), offset)
  }
  return offsets
}

const key = (topic: string, partition: number) => `${topic} ${partition}`
