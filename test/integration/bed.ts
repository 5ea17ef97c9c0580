import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka, type Admin } from 'kafkajs'
import { ClusterClient } from '../../src/kafka/cluster.js'
import { addPartitionsToTxnRequest } from '../../src/kafka/requests/add-partitions-to-txn.js'
import { createTopicsRequest } from '../../src/kafka/requests/create-topics.js'
import { endTxnRequest } from '../../src/kafka/requests/end-txn.js'
import { fetchRequest } from '../../src/kafka/requests/fetch.js'
import { initProducerIdRequest } from '../../src/kafka/requests/init-producer-id.js'
import { listOffsetsRequest } from '../../src/kafka/requests/list-offsets.js'
import { produceRequest, type ProducedPartition } from '../../src/kafka/requests/produce.js'
import type { Logger } from '../../src/logger.js'
import type { MirrorEvents } from '../../src/mirror/events.js'
import type { LaneStatus } from '../../src/mirror/lane-status.js'
import { Mirror } from '../../src/mirror/mirror.js'
import type { MirrorOptions } from '../../src/mirror/options.js'
import { parseBatches } from '../../src/records/batch.js'
import { loadCodec } from '../../src/records/compression.js'
import { encodeBatch } from '../../src/records/encode.js'
import type { CompressionName, DecodedRecord } from '../../src/records/types.js'
import type { KafkaCluster } from '../support/kafka.js'

export const silent: Logger = process.env.TWINLOG_TEST_LOG
  ? { debug() {}, info: console.error, warn: console.error, error: console.error }
  : { debug() {}, info() {}, warn() {}, error() {} }

const EVENTS = [
  'lane:state',
  'lane:gap',
  'lane:failed',
  'topic:created',
  'topic:grown',
  'group:synced',
  'group:diverged',
  'warning',
  'error'
] as const satisfies (keyof MirrorEvents)[]

const NOT_YET = new Set([3, 5, 6])

type EventsSeen = { [E in keyof MirrorEvents]: Parameters<MirrorEvents[E]>[0][] }

/** A Mirror with everything it has emitted. */
export interface WatchedMirror {
  mirror: Mirror
  events: EventsSeen
  lane(topic: string, partition?: number): LaneStatus
  /** Waits until the lane is in this state. */
  laneIs(topic: string, state: LaneStatus['state'], partition?: number): Promise<LaneStatus>
}

/** One batch as it lies in a log. */
export interface RawBatch {
  baseOffset: bigint
  count: number
  bytes: number
  producerId: bigint
  producerEpoch: number
  baseSequence: number
  control: boolean
}

/** Two clusters with clients to prepare and to look at them; nothing of it goes through a Mirror. */
export class Bed {
  readonly east: KafkaCluster
  readonly west: KafkaCluster
  readonly #clients = new Map<KafkaCluster, Promise<ClusterClient>>()
  readonly #admins = new Map<KafkaCluster, Promise<Admin>>()
  readonly #mirrors: Mirror[] = []

  constructor(east: KafkaCluster, west: KafkaCluster) {
    this.east = east
    this.west = west
  }

  watch(options: Partial<MirrorOptions> & Pick<MirrorOptions, 'topics'>): WatchedMirror {
    const mirror = new Mirror({
      source: this.east.config(),
      target: this.west.config(),
      syncGroups: false,
      discoveryIntervalMs: 250,
      logger: silent,
      ...options
    })
    this.#mirrors.push(mirror)
    const events = Object.fromEntries(EVENTS.map(name => [name, []])) as unknown as EventsSeen
    for (const name of EVENTS)
      mirror.on(name, ((event: never) => void (events[name] as unknown[]).push(event)) as never)
    const lane = (topic: string, partition = 0): LaneStatus => {
      const found = mirror.status().lanes.find(known => known.topic === topic && known.partition === partition)
      if (!found) throw new Error(`no lane ${topic}-${partition}`)
      return found
    }
    return {
      mirror,
      events,
      lane,
      laneIs: async (topic, state, partition = 0) => {
        const where = () => mirror.status().lanes.find(known => known.topic === topic && known.partition === partition)
        await eventually(
          () => where()?.state === state,
          () => `lane ${topic}-${partition} is ${where()?.state} (${where()?.why}), not ${state}`
        )
        return lane(topic, partition)
      }
    }
  }

  async mirror(options: Partial<MirrorOptions> & Pick<MirrorOptions, 'topics'>): Promise<WatchedMirror> {
    const watched = this.watch(options)
    await watched.mirror.start()
    return watched
  }

  async stopMirrors(): Promise<void> {
    await Promise.all(this.#mirrors.splice(0).map(mirror => mirror.stop()))
  }

  async close(): Promise<void> {
    await this.stopMirrors()
    for (const client of this.#clients.values()) (await client).destroy()
    for (const admin of this.#admins.values()) await (await admin).disconnect()
  }

  client(cluster: KafkaCluster): Promise<ClusterClient> {
    let client = this.#clients.get(cluster)
    if (!client) {
      const made = new ClusterClient(cluster.config(), { logger: silent })
      client = made.connect().then(() => made)
      this.#clients.set(cluster, client)
    }
    return client
  }

  admin(cluster: KafkaCluster): Promise<Admin> {
    let admin = this.#admins.get(cluster)
    if (!admin) {
      const made = new Kafka(cluster.config()).admin()
      admin = made.connect().then(() => made)
      this.#admins.set(cluster, admin)
    }
    return admin
  }

  async createTopic(
    cluster: KafkaCluster,
    name: string,
    partitions = 1,
    configs: Record<string, string> = {}
  ): Promise<void> {
    const client = await this.client(cluster)
    const topics = [{ name, partitions, replicationFactor: 1, configs }]
    const answer = await client.send('controller', createTopicsRequest({ timeoutMs: 10_000, topics }))
    if (answer.topics[0]?.errorCode !== 0) throw new Error(`cannot create ${name}: ${answer.topics[0]?.errorMessage}`)
    await eventually(async () => {
      const topic = (await client.metadata({ topics: [name] })).topics.get(name)
      return (
        topic?.errorCode === 0 &&
        topic.partitions.length === partitions &&
        topic.partitions.every(({ leader }) => leader >= 0)
      )
    })
  }

  async topics(cluster: KafkaCluster): Promise<string[]> {
    return [...(await (await this.client(cluster)).metadata()).topics.keys()].sort()
  }

  async partitions(cluster: KafkaCluster, topic: string): Promise<number> {
    return (await (await this.client(cluster)).metadata({ topics: [topic] })).topics.get(topic)?.partitions.length ?? 0
  }

  /** Appends one batch made of these records, as it is. */
  async appendBatch(
    cluster: KafkaCluster,
    topic: string,
    records: TestRecord[],
    o: BatchOptions = {}
  ): Promise<ProducedPartition> {
    const client = await this.client(cluster)
    const partition = o.partition ?? 0
    if (o.compression !== undefined) await loadCodec(o.compression)
    const bytes = encodeBatch({ ...o, transactional: o.transactionalId !== undefined, records: records.map(toRecord) })
    if (!client.leaderOf(topic, partition)) await client.metadata({ topics: [topic] })
    const node = client.leaderOf(topic, partition)?.nodeId ?? -1
    const answer = await client.send(
      { node },
      produceRequest({
        acks: -1,
        timeoutMs: 10_000,
        transactionalId: o.transactionalId,
        topics: [{ topic, topicId: '', partitions: [{ partition, records: bytes }] }]
      })
    )
    return answer.partitions[0] as ProducedPartition
  }

  /** As `appendBatch`; an error is an error. */
  async append(cluster: KafkaCluster, topic: string, records: TestRecord[], o: BatchOptions = {}): Promise<bigint> {
    let result = await this.appendBatch(cluster, topic, records, o)
    // A partition that was created a moment ago.
    for (let attempt = 0; NOT_YET.has(result.errorCode) && attempt < 20; attempt++) {
      await sleep(50)
      await (await this.client(cluster)).metadata({ topics: [topic] })
      result = await this.appendBatch(cluster, topic, records, o)
    }
    if (result.errorCode !== 0) throw new Error(`append to ${topic}: error ${result.errorCode} ${result.errorMessage}`)
    return result.baseOffset
  }

  /** Every batch of a log, markers included. */
  async batches(cluster: KafkaCluster, topic: string, partition = 0): Promise<RawBatch[]> {
    const client = await this.client(cluster)
    await client.metadata({ topics: [topic] })
    const node = client.leaderOf(topic, partition)?.nodeId ?? -1
    const { start, end } = await this.bounds(cluster, topic, partition)
    const batches: RawBatch[] = []
    let fetchOffset = start
    while (fetchOffset < end) {
      const answer = await client.send(
        { node },
        fetchRequest({
          maxWaitMs: 100,
          minBytes: 1,
          maxBytes: 8 << 20,
          isolation: 'read_uncommitted',
          topics: [{ topic, topicId: '', partitions: [{ partition, fetchOffset, maxBytes: 8 << 20 }] }]
        })
      )
      const parsed = parseBatches(answer.partitions[0]?.records ?? Buffer.alloc(0))
      for (const batch of parsed) {
        const { baseOffset, count, producerId, producerEpoch, baseSequence } = batch
        const control = (batch.attributes & 0x20) !== 0
        batches.push({ baseOffset, count, bytes: batch.bytes.length, producerId, producerEpoch, baseSequence, control })
      }
      fetchOffset = parsed.at(-1)?.nextOffset ?? end
    }
    return batches
  }

  /** Opens a transaction around one batch; the answer ends it, in its own time. */
  async openTransaction(
    cluster: KafkaCluster,
    topic: string,
    transactionalId: string,
    records: TestRecord[]
  ): Promise<(commit: boolean) => Promise<void>> {
    const client = await this.client(cluster)
    const settle = async (ask: () => Promise<number | undefined>): Promise<void> => {
      let code: number | undefined
      // Coordinators are loading, moving, or writing the markers of the last transaction.
      await eventually(
        async () => {
          client.forgetCoordinator({ transactionalId })
          code = await ask().catch(() => 15)
          return code === 0
        },
        () => `transaction ${transactionalId}: error ${code}`
      )
    }
    let producer = { producerId: -1n, producerEpoch: -1 }
    await settle(async () => {
      const answer = await client.send(
        { transactionalId },
        initProducerIdRequest({ transactionalId, transactionTimeoutMs: 60_000 })
      )
      producer = { producerId: answer.producerId, producerEpoch: answer.producerEpoch }
      return answer.errorCode
    })
    const topics = [{ topic, partitions: [0] }]
    await settle(
      async () =>
        (await client.send({ transactionalId }, addPartitionsToTxnRequest({ transactionalId, ...producer, topics })))
          .partitions[0]?.errorCode
    )
    await this.append(cluster, topic, records, { ...producer, transactionalId, baseSequence: 0 })
    return commit =>
      settle(
        async () =>
          (await client.send({ transactionalId }, endTxnRequest({ transactionalId, ...producer, commit }))).errorCode
      )
  }

  async bounds(cluster: KafkaCluster, topic: string, partition = 0): Promise<{ start: bigint; end: bigint }> {
    const client = await this.client(cluster)
    await client.metadata({ topics: [topic] })
    const node = client.leaderOf(topic, partition)?.nodeId ?? -1
    const ask = async (timestamp: bigint): Promise<bigint> => {
      const answer = await client.send(
        { node },
        listOffsetsRequest({
          isolation: 'read_uncommitted',
          topics: [{ topic, partitions: [{ partition, timestamp }] }]
        })
      )
      const result = answer.partitions[0]
      if (result?.errorCode !== 0) throw new Error(`bounds of ${topic}-${partition}: error ${result?.errorCode}`)
      return result.offset
    }
    return { start: await ask(-2n), end: await ask(-1n) }
  }

  async deleteRecords(cluster: KafkaCluster, topic: string, before: bigint, partition = 0): Promise<void> {
    // kafkajs answers BrokerNotFound until it has loaded metadata once.
    const admin = await this.admin(cluster)
    await admin.fetchTopicMetadata({ topics: [topic] })
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: before.toString() }] })
  }
}

export interface TestRecord {
  key?: string | Buffer | null
  value?: string | Buffer | null
  headers?: [string, string | null][]
  timestamp?: number
}

interface BatchOptions {
  partition?: number
  compression?: CompressionName
  producerId?: bigint
  producerEpoch?: number
  baseSequence?: number
  /** A batch of an open transaction. */
  transactionalId?: string
}

function toRecord(record: TestRecord, index: number): DecodedRecord {
  const bytes = (value: string | Buffer | null | undefined) =>
    value === null || value === undefined ? null : Buffer.from(value as string)
  return {
    offset: BigInt(index),
    timestamp: BigInt(record.timestamp ?? Date.now()),
    key: bytes(record.key),
    value: bytes(record.value),
    headers: (record.headers ?? []).map(([name, value]) => [Buffer.from(name), bytes(value)])
  }
}

/** Records with distinct values: `${prefix}0`, `${prefix}1` … */
export function numbered(prefix: string, count: number, from = 0): TestRecord[] {
  return Array.from({ length: count }, (_unused, index) => ({
    key: `k${index % 7}`,
    value: `${prefix}${from + index}`
  }))
}

export async function eventually(
  check: () => boolean | Promise<boolean>,
  problem: () => string = () => 'did not become true in time',
  timeoutMs = 30_000
): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!(await check())) {
    if (Date.now() > end) throw new Error(problem())
    await sleep(20)
  }
}
