import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { produceRequest } from '../kafka/requests/produce.js'
import { askLeader } from '../lineage/ask-leader.js'
import { TopicLog } from '../lineage/topic-log.js'
import { childLogger, type Logger } from '../logger.js'
import { encodeBatch } from '../records/encode.js'
import type { DecodedRecord } from '../records/types.js'
import { abortable } from '../util/abortable.js'
import { retry } from '../util/retry.js'

export interface DeadLetter {
  /** Where it stands on the source. */
  topic: string
  partition: number
  offset: bigint
  /** As it stands there. */
  record?:
    | {
        key: Buffer | null
        value: Buffer | null
        headers: [name: Buffer | string, value: Buffer | null][]
        timestamp: bigint
      }
    | undefined
  /** Instead of a record: the bytes of a damaged batch, which nobody can take apart. */
  raw?: Buffer | undefined
  /** Its code and message become headers; its cause doesn't, because it may quote the record. */
  error: TwinlogError
}

const INT64_MAX = '9223372036854775807'
const MAX_MESSAGE_BYTES = 10 << 20
const PRODUCE_TIMEOUT_MS = 10_000
/** After this long without success the lane has to say what is wrong. */
const GIVE_UP_MS = 30_000
const INVALID_CONFIG = 40

/** As a source topic with large or oddly dated records needs it. */
const CONFIGS = {
  'cleanup.policy': 'delete',
  'max.message.bytes': String(MAX_MESSAGE_BYTES),
  'message.timestamp.type': 'CreateTime'
}
/** Brokers before 3.6 don't know these. */
const TIMESTAMP_CONFIGS = {
  'message.timestamp.before.max.ms': INT64_MAX,
  'message.timestamp.after.max.ms': INT64_MAX
}

type Header = DecodedRecord['headers'][number]

/**
 * The topic for records that could not be copied (`onRecordError: { deadLetterTopic }`): key, value and headers as they were, and more headers that say
 * where the record came from and why it is here. Its time stamp is that of the writing, because retention and the target's time stamp limits go by
 * it. At least once: after an error or a restart a record may stand there twice, with the same `twinlog.source.*` headers. Connect:
 * `errors.deadletterqueue.topic.name` with `errors.deadletterqueue.context.headers.enable`.
 */
export class DeadLetters {
  readonly #target: ClusterClient
  readonly #link: string
  readonly #sourceAlias: string
  readonly #topic: string
  readonly #logger: Logger
  /** Partition count of the topic, once it is known to exist. */
  #partitions: Promise<number> | undefined

  constructor(o: { target: ClusterClient; link: string; sourceAlias: string; topic: string; logger: Logger }) {
    this.#target = o.target
    this.#link = o.link
    this.#sourceAlias = o.sourceAlias
    this.#topic = o.topic
    this.#logger = childLogger(o.logger, { topic: o.topic })
  }

  /** On all in-sync replicas when this resolves: only then may the record be left out. */
  async write(letter: DeadLetter, o: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const context = this.#contextHeaders(letter)
    const { raw, record = { key: null, value: raw ?? null, headers: [], timestamp: -1n } } = letter
    const { key, value } = record
    const headers = record.headers.map(
      ([name, content]): Header => [typeof name === 'string' ? Buffer.from(name) : name, content]
    )
    const without = [...headers, ...context, ...sizeOf('value', value)]
    // The bytes that a broker refuses are on the source; where they are and why they failed must not get lost.
    const attempts: Pick<DecodedRecord, 'key' | 'value' | 'headers'>[] = [
      { key, value, headers: [...headers, ...context] },
      { key, value: null, headers: without },
      { key: null, value: null, headers: [...context, ...sizeOf('key', key), ...sizeOf('value', value)] }
    ]
    for (const [index, content] of attempts.entries()) {
      try {
        await this.#append(letter.partition, content, o.signal)
        return
      } catch (error) {
        const tooLarge = error instanceof TwinlogError && error.code === 'TWINLOG_RECORD_TOO_LARGE'
        if (!tooLarge || index === attempts.length - 1) throw error
        const { topic, partition, offset } = letter
        const source = { sourceTopic: topic, sourcePartition: partition, sourceOffset: offset.toString() }
        this.#logger.warn(
          source,
          'a record is too large for the dead-letter topic as well and is noted there without content'
        )
      }
    }
  }

  #contextHeaders({ topic, partition, offset, record, raw, error }: DeadLetter): Header[] {
    const headers: [string, string][] = [
      ['twinlog.link', this.#link],
      ['twinlog.source.cluster', this.#sourceAlias],
      ['twinlog.source.topic', topic],
      ['twinlog.source.partition', String(partition)],
      ['twinlog.source.offset', offset.toString()]
    ]
    if (record !== undefined) headers.push(['twinlog.source.timestamp', record.timestamp.toString()])
    headers.push(['twinlog.error.code', error.code], ['twinlog.error.message', error.message])
    if (record === undefined && raw !== undefined) headers.push(['twinlog.value.format', 'record-batch'])
    return headers.map(([name, value]): Header => [Buffer.from(name), Buffer.from(value)])
  }

  async #append(
    sourcePartition: number,
    content: Pick<DecodedRecord, 'key' | 'value' | 'headers'>,
    signal: AbortSignal | undefined
  ): Promise<void> {
    const records = encodeBatch({ records: [{ ...content, offset: 0n, timestamp: BigInt(Date.now()) }] })
    const deadline = performance.now() + GIVE_UP_MS
    const shouldRetry = (error: Error) =>
      error instanceof TwinlogError && error.retriable && performance.now() < deadline
    const attempt = async (number: number) => {
      if (number > 1) {
        await this.#target.metadata({ topics: [this.#topic] }).catch(() => undefined)
        signal?.throwIfAborted()
      }
      await this.#produce(sourcePartition, records)
    }
    await abortable(retry(attempt, { retries: 100, minTimeoutMs: 50, maxTimeoutMs: 400, signal, shouldRetry }), signal)
  }

  async #produce(sourcePartition: number, records: Buffer): Promise<void> {
    this.#partitions ??= this.#ensure()
    try {
      const partition = sourcePartition % (await this.#partitions)
      const node = await this.#leader(partition)
      const where = { topic: this.#topic, partition, node }
      const topics = [{ topic: this.#topic, topicId: '', partitions: [{ partition, records }] }]
      const request = produceRequest({ acks: -1, timeoutMs: PRODUCE_TIMEOUT_MS, topics })
      const result = (await askLeader(this.#target, where, request)).partitions[0]
      const action = `cannot write to the dead-letter topic ${this.#topic}, partition ${partition}`
      if (result === undefined)
        throw this.#problem('TWINLOG_PROTOCOL', `${action}: the broker left it out of its answer`)
      if (result.errorCode !== 0) {
        const context = { cluster: this.#target.alias, topic: this.#topic, partition }
        throw kafkaError(result.errorCode, action, context)
      }
    } catch (error) {
      // The topic may have been deleted, and must be created again.
      if (!(error instanceof TwinlogError) || error.code !== 'TWINLOG_RECORD_TOO_LARGE') this.#partitions = undefined
      throw error
    }
  }

  async #ensure(): Promise<number> {
    const log = new TopicLog(this.#target, this.#topic)
    try {
      return (await log.ensure({ partitions: 1, configs: { ...CONFIGS, ...TIMESTAMP_CONFIGS } })).partitions
    } catch (error) {
      if (!(error instanceof TwinlogError) || error.kafkaCode !== INVALID_CONFIG) throw error
      return (await log.ensure({ partitions: 1, configs: CONFIGS })).partitions
    }
  }

  async #leader(partition: number): Promise<number> {
    const known = this.#target.leaderOf(this.#topic, partition)
    if (known !== undefined && known.nodeId >= 0) return known.nodeId
    await this.#target.metadata({ topics: [this.#topic] })
    const leader = this.#target.leaderOf(this.#topic, partition)
    if (leader !== undefined && leader.nodeId >= 0) return leader.nodeId
    throw this.#problem(
      'TWINLOG_UNREACHABLE',
      `partition ${partition} of the dead-letter topic ${this.#topic} has no leader`
    )
  }

  #problem(code: 'TWINLOG_PROTOCOL' | 'TWINLOG_UNREACHABLE', message: string): TwinlogError {
    return new TwinlogError(code, message, { cluster: this.#target.alias, topic: this.#topic, retriable: true })
  }
}

const sizeOf = (field: 'key' | 'value', data: Buffer | null): Header[] =>
  data === null ? [] : [[Buffer.from(`twinlog.${field}.bytes`), Buffer.from(String(data.length))]]
