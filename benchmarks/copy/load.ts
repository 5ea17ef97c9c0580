import type { ClusterClient } from '../../src/kafka/cluster.js'
import { createTopicsRequest } from '../../src/kafka/requests/create-topics.js'
import { deleteTopicsRequest } from '../../src/kafka/requests/delete-topics.js'
import { listOffsetsRequest } from '../../src/kafka/requests/list-offsets.js'
import { produceRequest } from '../../src/kafka/requests/produce.js'
import { BATCH } from '../../src/records/batch.js'
import { loadCodec } from '../../src/records/compression.js'
import { crc32c } from '../../src/records/crc32c.js'
import { encodeBatch } from '../../src/records/encode.js'
import type { BenchCodec } from './options.js'

export const PARTITIONS = 4
const RECORD_BYTES = 200
const KEY_BYTES = 8
/** With 200 B records just below 1 MB, which is what brokers take by default. */
export const RECORDS_A_BATCH = 4_500

export interface LoadedTopic {
  records: number
  /** Of all batches, as they are on the wire. */
  bytes: number
  batches: { bytes: Buffer; times: number }[]
}

/** Fills a new topic with `records` records in big batches, evenly over the partitions; time stamps are now, falling by 1 ms a batch. */
export async function loadTopic(
  cluster: ClusterClient,
  topic: string,
  records: number,
  codec: BenchCodec
): Promise<LoadedTopic> {
  await loadCodec(codec)
  const topicId = await createTopic(cluster, topic)
  const perPartition = Math.ceil(records / PARTITIONS)
  const rest = perPartition % RECORDS_A_BATCH
  const batches = [
    { bytes: batchOf(RECORDS_A_BATCH, codec), times: PARTITIONS * Math.floor(perPartition / RECORDS_A_BATCH) }
  ]
  if (rest > 0) batches.push({ bytes: batchOf(rest, codec), times: PARTITIONS })
  const connection = await cluster.openConnection(cluster.leaderOf(topic, 0)!.nodeId)
  const inFlight = new Set<Promise<void>>()
  let number = 0
  for (const { bytes, times } of batches) {
    for (let index = 0; index < times; index += PARTITIONS) {
      const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({
        partition,
        records: distinct(bytes, number++)
      }))
      const request = produceRequest({ acks: -1, timeoutMs: 30_000, topics: [{ topic, topicId, partitions }] })
      const sending = connection.send(request, { timeoutMs: 60_000 }).then(answer => {
        const refused = answer.partitions.find(({ errorCode }) => errorCode !== 0)
        if (refused)
          throw new Error(
            `loading ${topic}-${refused.partition}: error ${refused.errorCode} ${refused.errorMessage ?? ''}`
          )
        inFlight.delete(sending)
      })
      inFlight.add(sending)
      if (inFlight.size >= 5) await Promise.race(inFlight)
    }
  }
  await Promise.all(inFlight)
  await connection.close()
  return {
    records: perPartition * PARTITIONS,
    bytes: batches.reduce((sum, { bytes, times }) => sum + bytes.length * times, 0),
    batches: batches.filter(({ times }) => times > 0)
  }
}

/** Topic id. Batches may be a little larger than by default: the kafkajs loop packs them anew. */
export async function createTopic(cluster: ClusterClient, name: string): Promise<string> {
  const wanted = { name, partitions: PARTITIONS, replicationFactor: 1, configs: { 'max.message.bytes': '16777216' } }
  const { topics } = await cluster.send('controller', createTopicsRequest({ timeoutMs: 10_000, topics: [wanted] }))
  if (topics[0]?.errorCode !== 0)
    throw new Error(`creating ${name}: error ${topics[0]?.errorCode} ${topics[0]?.errorMessage ?? ''}`)
  await untilMetadata(cluster, name, known => known === PARTITIONS)
  await untilLed(cluster, name)
  return topics[0].topicId
}

export async function deleteTopic(cluster: ClusterClient, name: string): Promise<void> {
  const { topics } = await cluster.send('controller', deleteTopicsRequest({ timeoutMs: 10_000, topics: [name] }))
  if (topics[0]?.errorCode !== 0)
    throw new Error(`deleting ${name}: error ${topics[0]?.errorCode} ${topics[0]?.errorMessage ?? ''}`)
  await untilMetadata(cluster, name, known => known === 0)
}

/** Metadata names a leader a moment before the leader knows it. */
async function untilLed(cluster: ClusterClient, name: string): Promise<void> {
  for (const deadline = Date.now() + 10_000; ; ) {
    try {
      await countRecords(cluster, name)
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

async function untilMetadata(
  cluster: ClusterClient,
  name: string,
  done: (partitionsWithLeader: number) => boolean
): Promise<void> {
  for (;;) {
    const topic = (await cluster.metadata({ topics: [name] })).topics.get(name)
    if (done(topic?.errorCode === 0 ? topic.partitions.filter(({ leader }) => leader >= 0).length : 0)) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** Records in the topic. */
export async function countRecords(cluster: ClusterClient, topic: string): Promise<number> {
  await cluster.metadata({ topics: [topic] })
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, timestamp: -1n }))
  const request = listOffsetsRequest({ isolation: 'read_uncommitted', topics: [{ topic, partitions }] })
  const answer = await cluster.send({ node: cluster.leaderOf(topic, 0)!.nodeId }, request)
  const refused = answer.partitions.find(({ errorCode }) => errorCode !== 0)
  if (refused) throw new Error(`asking the end of ${topic}: error ${refused.errorCode}`)
  return answer.partitions.reduce((sum, { offset }) => sum + Number(offset), 0)
}

/** The same records, a little older: a batch that takes another's place shows in the headers, and a torn one in its checksum. */
function distinct(template: Buffer, number: number): Buffer {
  const bytes = Buffer.from(template)
  for (const field of [BATCH.firstTimestamp, BATCH.maxTimestamp]) {
    bytes.writeBigInt64BE(bytes.readBigInt64BE(field) - BigInt(number), field)
  }
  bytes.writeUInt32BE(crc32c(bytes.subarray(BATCH.attributes)), BATCH.crc)
  return bytes
}

function batchOf(count: number, compression: BenchCodec): Buffer {
  const timestamp = BigInt(Date.now())
  let seed = 42
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  const records = Array.from({ length: count }, (_, index) => {
    const order = {
      orderId: 1_000_000 + index,
      customer: `c-${random(1e6)}`,
      status: ['created', 'paid', 'shipped'][random(3)],
      amount: random(1e5) / 100,
      currency: 'EUR',
      token: `${random(1e9).toString(36)}${random(1e9).toString(36)}`
    }
    const value = JSON.stringify(order).padEnd(RECORD_BYTES - KEY_BYTES, ' .')
    return {
      offset: BigInt(index),
      timestamp,
      key: Buffer.from(String(index).padStart(KEY_BYTES, '0')),
      value: Buffer.from(value),
      headers: []
    }
  })
  return encodeBatch({ records, compression })
}
