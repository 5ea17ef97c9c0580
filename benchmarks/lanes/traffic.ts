import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterClient } from '../../src/kafka/cluster.js'
import type { BrokerConnection } from '../../src/kafka/connection.js'
import { createTopicsRequest } from '../../src/kafka/requests/create-topics.js'
import { fetchRequest } from '../../src/kafka/requests/fetch.js'
import { listOffsetsRequest } from '../../src/kafka/requests/list-offsets.js'
import { produceRequest } from '../../src/kafka/requests/produce.js'
import { parseBatches } from '../../src/records/batch.js'
import { encodeBatch } from '../../src/records/encode.js'
import type { DecodedRecord } from '../../src/records/types.js'

export interface Place {
  topic: string
  topicId: string
  partition: number
}

const CREATE_TIMEOUT_MS = 60_000
const BATCH_RECORDS = 4_500
const RECORD_BYTES = 200

export async function createTopics(cluster: ClusterClient, names: string[], partitions: number): Promise<void> {
  const topics = names.map(name => ({ name, partitions, replicationFactor: 1, configs: {} }))
  const timeoutMs = CREATE_TIMEOUT_MS
  const answer = await cluster.send('controller', createTopicsRequest({ timeoutMs, topics }), { timeoutMs })
  const refused = answer.topics.find(({ errorCode }) => errorCode !== 0)
  if (refused) throw new Error(`creating ${refused.name}: error ${refused.errorCode} ${refused.errorMessage ?? ''}`)
  for (const deadline = Date.now() + CREATE_TIMEOUT_MS; Date.now() < deadline; await sleep(100)) {
    const { topics: known } = await cluster.metadata({ topics: names })
    const led = (name: string) =>
      (known.get(name)?.partitions ?? []).filter(({ leader, errorCode }) => leader >= 0 && errorCode === 0).length
    if (names.every(name => led(name) === partitions)) return
  }
  throw new Error(`not all of ${names.length} topics have leaders after ${CREATE_TIMEOUT_MS} ms`)
}

export async function placeOf(cluster: ClusterClient, topic: string, partition: number): Promise<Place> {
  const { topics } = await cluster.metadata({ topics: [topic] })
  return { topic, topicId: topics.get(topic)?.topicId ?? '', partition }
}

/** Appends single records at a steady rate; their time stamps say when. Answers how many milliseconds each took to be acknowledged. */
export async function trickle(
  cluster: ClusterClient,
  place: Place,
  o: { recordsPerSecond: number; seconds: number }
): Promise<number[]> {
  const connection = await connectionTo(cluster, place)
  const sending: Promise<number>[] = []
  const startedAt = performance.now()
  const count = o.recordsPerSecond * o.seconds
  for (let index = 0; index < count; index++) {
    const dueMs = (index * 1000) / o.recordsPerSecond - (performance.now() - startedAt)
    if (dueMs > 0) await sleep(dueMs)
    const sentAt = Date.now()
    const sent = append(connection, place, [recordOf(0, BigInt(sentAt))])
    sending.push(sent.then(() => Date.now() - sentAt))
  }
  const acknowledgedMs = await Promise.all(sending)
  await connection.close()
  return acknowledgedMs
}

const LEADER_TIMEOUT_MS = 20_000
const NO_LEADER_YET = new Set([3, 5, 6])

/** Fills the partitions of a topic with batches of about 1 MB. Answers the number of bytes. */
export async function fill(
  cluster: ClusterClient,
  topic: string,
  partitions: number,
  megabytes: number
): Promise<number> {
  const timestamp = BigInt(Date.now())
  const batch = Array.from({ length: BATCH_RECORDS }, (_, index) => recordOf(index, timestamp))
  const first = await placeOf(cluster, topic, 0)
  const connection = await connectionTo(cluster, first)
  const bytes = encodeBatch({ records: batch }).length
  const batches = Math.ceil((megabytes * 1e6) / bytes)
  for (let index = 0; index < batches; index++) {
    await append(connection, { ...first, partition: index % partitions }, batch)
  }
  await connection.close()
  return bytes * batches
}

/** Milliseconds from each record's time stamp to the moment at which a reader of the target had it. */
export async function lagsOf(
  cluster: ClusterClient,
  place: Place,
  o: { from: bigint; records: number; timeoutMs: number }
): Promise<number[]> {
  const connection = await connectionTo(cluster, place)
  const lags: number[] = []
  let fetchOffset = o.from
  for (const deadline = Date.now() + o.timeoutMs; lags.length < o.records; ) {
    if (Date.now() > deadline) throw new Error(`${lags.length} of ${o.records} records arrived in ${o.timeoutMs} ms`)
    const partitions = [{ partition: place.partition, fetchOffset, maxBytes: 1 << 20 }]
    const request = fetchRequest({
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 1 << 20,
      isolation: 'read_committed',
      topics: [{ ...place, partitions }]
    })
    const answer = await connection.send(request, { timeoutMs: 30_000 })
    const now = Date.now()
    for (const { baseOffset, nextOffset, firstTimestamp, maxTimestamp, count } of parseBatches(
      answer.partitions[0]?.records ?? Buffer.alloc(0)
    )) {
      if (baseOffset < fetchOffset) continue
      // Records of a batch that were put together: the oldest has waited longest, and stands for all.
      const oldest = Number(firstTimestamp < maxTimestamp ? firstTimestamp : maxTimestamp)
      for (let index = 0; index < count; index++) lags.push(now - oldest)
      fetchOffset = nextOffset
    }
  }
  await connection.close()
  return lags
}

export async function endOf(cluster: ClusterClient, place: Place): Promise<bigint> {
  await cluster.metadata({ topics: [place.topic] })
  const node = cluster.leaderOf(place.topic, place.partition)?.nodeId ?? -1
  const partitions = [{ partition: place.partition, timestamp: -1n }]
  const request = listOffsetsRequest({ isolation: 'read_uncommitted', topics: [{ topic: place.topic, partitions }] })
  return (await cluster.send({ node }, request)).partitions[0]?.offset ?? 0n
}

async function connectionTo(cluster: ClusterClient, { topic, partition }: Place): Promise<BrokerConnection> {
  await cluster.metadata({ topics: [topic] })
  return cluster.openConnection(cluster.leaderOf(topic, partition)?.nodeId ?? -1)
}

async function append(connection: BrokerConnection, place: Place, records: DecodedRecord[]): Promise<void> {
  const partitions = [{ partition: place.partition, records: encodeBatch({ records }) }]
  const request = produceRequest({ acks: -1, timeoutMs: 30_000, topics: [{ ...place, partitions }] })
  for (const deadline = Date.now() + LEADER_TIMEOUT_MS; ; ) {
    const answer = await connection.send(request, { timeoutMs: 60_000 })
    const errorCode = answer.partitions[0]?.errorCode ?? -1
    if (errorCode === 0) return
    // A topic of a moment ago.
    if (!NO_LEADER_YET.has(errorCode) || Date.now() > deadline)
      throw new Error(`appending to ${place.topic}-${place.partition}: error ${errorCode}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

function recordOf(index: number, timestamp: bigint): DecodedRecord {
  const value = Buffer.from(`{"order":${index},"token":"${(index * 7919).toString(36)}"}`.padEnd(RECORD_BYTES, ' .'))
  return { offset: BigInt(index), timestamp, key: Buffer.from(String(index)), value, headers: [] }
}
