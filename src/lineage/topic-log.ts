import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { createTopicsRequest } from '../kafka/requests/create-topics.js'
import { fetchRequest } from '../kafka/requests/fetch.js'
import type { ApiRequest } from '../kafka/types.js'
import { listOffsetsRequest } from '../kafka/requests/list-offsets.js'
import { produceRequest } from '../kafka/requests/produce.js'
import { TwinlogError } from '../errors.js'
import { encodeBatch } from '../records/encode.js'
import { decodeRecords } from '../records/decode.js'
import { parseBatches } from '../records/batch.js'
import { retry } from '../util/retry.js'
import { askLeader } from './ask-leader.js'

export interface LogRecord {
  offset: bigint
  timestamp: bigint
  key: Buffer | null
  value: Buffer | null
}

const FETCH_BYTES = 4 << 20
const TOPIC_ALREADY_EXISTS = 36
const OFFSET_OUT_OF_RANGE = 1
const CREATE_TIMEOUT_MS = 15_000

/**
 * Plain records in one of twinlog's own topics: appended with acks=all, read to the high watermark. It uses the shared control
 * connections, so state and control traffic never waits behind data.
 */
export class TopicLog {
  readonly topic: string
  readonly #cluster: ClusterClient

  constructor(cluster: ClusterClient, topic: string) {
    this.#cluster = cluster
    this.topic = topic
  }

  /** Creates the topic when it is missing: replication min(3, brokers), min ISR min(2, replication). */
  async ensure(o: {
    partitions: number
    configs: Record<string, string>
  }): Promise<{ created: boolean; partitions: number }> {
    const existing = await this.partitionCount()
    if (existing > 0) return { created: false, partitions: existing }
    const { brokers } = await this.#cluster.metadata({ topics: [] })
    const replicationFactor = Math.min(3, brokers.size)
    const configs = { 'min.insync.replicas': String(Math.min(2, replicationFactor)), ...o.configs }
    const topics = [{ name: this.topic, partitions: o.partitions, replicationFactor, configs }]
    const answer = await this.#cluster.send('controller', createTopicsRequest({ timeoutMs: CREATE_TIMEOUT_MS, topics }))
    const result = answer.topics[0]
    if (result && result.errorCode !== 0 && result.errorCode !== TOPIC_ALREADY_EXISTS) {
      throw kafkaError(
        result.errorCode,
        `cannot create twinlog's internal topic ${this.topic}: ${result.errorMessage ?? ''}`,
        this.#context()
      )
    }
    const partitions = await this.#withRetries(async () => {
      const count = await this.partitionCount()
      if (count > 0) return count
      throw this.#notYet('has no leader yet')
    })
    return { created: result?.errorCode === 0, partitions }
  }

  /** 0 when the topic does not exist. */
  async partitionCount(): Promise<number> {
    const metadata = await this.#cluster.metadata({ topics: [this.topic] })
    const topic = metadata.topics.get(this.topic)
    if (!topic || topic.errorCode !== 0) return 0
    return topic.partitions.every(partition => partition.leader >= 0) ? topic.partitions.length : 0
  }

  /** Appended and acknowledged by all in-sync replicas when this resolves. A retry may write an entry twice: readers must not care. */
  async append(
    partition: number,
    entries: { key: Buffer | null; value: Buffer | null }[]
  ): Promise<{ baseOffset: bigint }> {
    const timestamp = BigInt(Date.now())
    const records = encodeBatch({
      records: entries.map((entry, index) => ({
        offset: BigInt(index),
        timestamp,
        key: entry.key,
        value: entry.value,
        headers: []
      }))
    })
    return this.#withRetries(async () => {
      const node = await this.#leader(partition)
      const answer = await this.#ask(
        partition,
        node,
        produceRequest({
          acks: -1,
          timeoutMs: 10_000,
          topics: [{ topic: this.topic, topicId: '', partitions: [{ partition, records }] }]
        })
      )
      const result = answer.partitions[0]
      this.#assertFine(result, partition, 'write to')
      return { baseOffset: result.baseOffset }
    })
  }

  /** Everything from `from` up to the high watermark at the time of the call. A log that begins later is read from its start. */
  async readToEnd(partition: number, from: bigint): Promise<{ records: LogRecord[]; next: bigint }> {
    const end = await this.endOffset(partition)
    const records: LogRecord[] = []
    let next = from
    while (next < end) {
      const position = next
      const read = await this.#withRetries(() => this.#fetch(partition, position))
      for (const record of read.records) if (record.offset >= position) records.push(record)
      next = read.next > position ? read.next : position
      if (read.next === position && read.logStart > position) next = read.logStart
    }
    return { records, next }
  }

  async endOffset(partition: number): Promise<bigint> {
    return this.#withRetries(async () => {
      const node = await this.#leader(partition)
      const topics = [{ topic: this.topic, partitions: [{ partition, timestamp: -1n }] }]
      const answer = await this.#ask(partition, node, listOffsetsRequest({ isolation: 'read_uncommitted', topics }))
      const result = answer.partitions[0]
      this.#assertFine(result, partition, 'ask the end of')
      return result.offset
    })
  }

  async #fetch(partition: number, position: bigint): Promise<{ records: LogRecord[]; next: bigint; logStart: bigint }> {
    const node = await this.#leader(partition)
    const answer = await this.#ask(
      partition,
      node,
      fetchRequest({
        maxWaitMs: 100,
        minBytes: 1,
        maxBytes: FETCH_BYTES,
        isolation: 'read_uncommitted',
        topics: [
          { topic: this.topic, topicId: '', partitions: [{ partition, fetchOffset: position, maxBytes: FETCH_BYTES }] }
        ]
      })
    )
    const result = answer.partitions[0]
    if (result?.errorCode === OFFSET_OUT_OF_RANGE)
      return { records: [], next: position, logStart: await this.#startOffset(partition, node) }
    this.#assertFine(result, partition, 'read')
    const batches = parseBatches(result.records)
    const last = batches.at(-1)
    return {
      records: batches.flatMap(batch => decodeRecords(batch)),
      next: last ? last.nextOffset : position,
      logStart: result.logStartOffset
    }
  }

  async #startOffset(partition: number, node: number): Promise<bigint> {
    const topics = [{ topic: this.topic, partitions: [{ partition, timestamp: -2n }] }]
    const answer = await this.#ask(partition, node, listOffsetsRequest({ isolation: 'read_uncommitted', topics }))
    const result = answer.partitions[0]
    this.#assertFine(result, partition, 'ask the start of')
    return result.offset
  }

  #ask<T>(partition: number, node: number, request: ApiRequest<T>): Promise<T> {
    return askLeader(this.#cluster, { topic: this.topic, partition, node }, request)
  }

  async #leader(partition: number): Promise<number> {
    const known = this.#cluster.leaderOf(this.topic, partition)
    if (known && known.nodeId >= 0) return known.nodeId
    await this.#cluster.metadata({ topics: [this.topic] })
    const leader = this.#cluster.leaderOf(this.topic, partition)
    if (leader && leader.nodeId >= 0) return leader.nodeId
    throw this.#notYet(`partition ${partition} has no leader`)
  }

  /** Leaders move and brokers restart: try again for half a minute with fresh metadata, then say so. */
  async #withRetries<T>(attempt: () => Promise<T>): Promise<T> {
    return retry(
      async number => {
        if (number > 1) await this.#cluster.metadata({ topics: [this.topic] }).catch(() => undefined)
        return attempt()
      },
      { retries: 60, minTimeoutMs: 50, maxTimeoutMs: 400 }
    )
  }

  #assertFine<T extends { errorCode: number }>(
    result: T | undefined,
    partition: number,
    action: string
  ): asserts result is T {
    if (result?.errorCode === 0) return
    const message = `cannot ${action} twinlog's internal topic ${this.topic}, partition ${partition}`
    if (!result)
      throw new TwinlogError('TWINLOG_PROTOCOL', `${message}: the broker left it out of its answer`, {
        ...this.#context(),
        retriable: true
      })
    throw kafkaError(result.errorCode, message, { ...this.#context(), partition })
  }

  #notYet(problem: string): TwinlogError {
    return new TwinlogError('TWINLOG_UNREACHABLE', `twinlog's internal topic ${this.topic}: ${problem}`, {
      ...this.#context(),
      retriable: true
    })
  }

  #context(): { cluster: string; topic: string } {
    return { cluster: this.#cluster.alias, topic: this.topic }
  }
}
