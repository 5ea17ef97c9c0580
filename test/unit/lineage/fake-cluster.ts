import type { ClusterClient } from '../../../src/kafka/cluster.js'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import type { ApiRequest, ClusterMetadata } from '../../../src/kafka/types.js'
import { TwinlogError } from '../../../src/errors.js'
import { isTransactional, viewOf } from '../../../src/records/batch.js'
import { FakePartition } from './fake-partition.js'
import { FakeTransactions } from './fake-transactions.js'

/** A cluster of one broker in memory, behind the same door as the real one: requests arrive encoded and are taken apart here. */
export class FakeCluster {
  readonly alias: string
  readonly clusterId: string
  /** Shared by all clients of one cluster. */
  readonly topics: Map<string, { id: string; partitions: FakePartition[] }>
  /** Called before each request is carried out; may throw or wait. */
  before: (apiName: string) => Promise<void> | void = () => undefined
  /** Called after a data request was carried out and before it is answered; may throw: the answer is lost. */
  after: (apiName: string) => Promise<void> | void = () => undefined

  constructor(alias: string, topics: FakeCluster['topics'] = new Map()) {
    this.alias = alias
    this.topics = topics
    this.clusterId = `${alias}-cluster`
  }

  /** The transaction coordinator, shared as the topics are. */
  get transactions(): FakeTransactions {
    return FakeTransactions.of(this.topics)
  }

  get client(): ClusterClient {
    return this as unknown as ClusterClient
  }

  createTopic(name: string, partitions = 1): FakePartition {
    const id = Buffer.from(name.padEnd(16, '.').slice(0, 16)).toString('base64url')
    const topic = { id, partitions: Array.from({ length: partitions }, () => new FakePartition()) }
    this.topics.set(name, topic)
    return topic.partitions[0] as FakePartition
  }

  partition(topic: string, partition = 0): FakePartition {
    const found = this.topics.get(topic)?.partitions[partition]
    if (!found) throw new Error(`no partition ${topic}-${partition}`)
    return found
  }

  leaderOf(): { nodeId: number; leaderEpoch: number } {
    return { nodeId: 0, leaderEpoch: 0 }
  }

  forgetCoordinator(): void {}

  async metadata(): Promise<ClusterMetadata> {
    const partition = { errorCode: 0, leader: 0, leaderEpoch: 0, replicas: [0], isr: [0] }
    const topics = new Map(
      [...this.topics].map(([name, topic]) => [
        name,
        {
          name,
          topicId: topic.id,
          errorCode: 0,
          internal: false,
          partitions: topic.partitions.map((_log, index) => ({ ...partition, partition: index }))
        }
      ])
    )
    const brokers = new Map([[0, { nodeId: 0, host: 'fake', port: 1, rack: null }]])
    return { clusterId: this.clusterId, controllerId: 0, brokers, topics }
  }

  async send<T>(_route: unknown, request: ApiRequest<T>): Promise<T> {
    await this.before(request.apiName)
    const answer = await this.handle(request)
    await this.after(request.apiName)
    return answer
  }

  /** A connection of its own: strictly one request after the other, as a broker serves a socket. */
  async openConnection(): Promise<unknown> {
    const cluster = {
      before: (name: string) => this.before(name),
      after: (name: string) => this.after(name),
      handle: <T>(request: ApiRequest<T>) => this.handle(request)
    }
    let last: Promise<unknown> = Promise.resolve()
    const connection = {
      closed: false,
      send<T>(request: ApiRequest<T>): Promise<T> {
        const run = last.then(async () => {
          if (connection.closed) throw lost()
          await cluster.before(`data/${request.apiName}`)
          if (connection.closed) throw lost()
          const answer = await cluster.handle(request)
          await cluster.after(`data/${request.apiName}`)
          if (connection.closed) throw lost()
          return answer
        })
        last = run.catch(() => undefined)
        return run
      },
      destroy() {
        connection.closed = true
      },
      async close() {
        connection.closed = true
      }
    }
    return connection
  }

  async handle<T>(request: ApiRequest<T>): Promise<T> {
    const version = request.maxVersion
    const writer = new Writer()
    request.encode(writer, version)
    const reader = new Reader(writer.toBuffer())
    switch (request.apiName) {
      case 'Fetch':
        return (await this.#fetch(reader, version >= 13)) as T
      case 'Produce':
        return (await this.#produce(reader, version >= 13)) as T
      case 'ListOffsets':
        return this.#listOffsets(reader) as T
      case 'DescribeProducers':
        return this.#describeProducers(reader) as T
      case 'InitProducerId':
        return this.#initProducerId(reader) as T
      case 'AddPartitionsToTxn':
        return this.#addPartitionsToTxn(reader) as T
      case 'EndTxn':
        return this.#endTxn(reader) as T
      default:
        throw new Error(`the fake cluster does not know ${request.apiName}`)
    }
  }

  async #fetch(reader: Reader, byId: boolean) {
    reader.int32()
    const maxWaitMs = reader.int32()
    for (let field = 0; field < 2; field++) reader.int32()
    const committed = reader.int8() === 1
    reader.int32()
    reader.int32()
    const asked = reader
      .compactArray(() => {
        const ref = this.#ref(reader, byId)
        const partitions = reader.compactArray(() => {
          const partition = reader.int32()
          reader.int32()
          const offset = reader.int64()
          reader.int32()
          reader.int64()
          const maxBytes = reader.int32()
          reader.tags()
          return { partition, offset, maxBytes }
        })
        reader.tags()
        return partitions.map(question => ({ ...ref, ...question }))
      })
      .flat()
    const answer = () =>
      asked.map(({ topic, topicId, partition, offset, maxBytes }) => ({
        topic,
        topicId,
        partition,
        preferredReadReplica: -1,
        ...this.partition(topic, partition).fetch(offset, maxBytes, committed)
      }))
    let partitions = answer()
    if (maxWaitMs > 0 && partitions.every(result => result.errorCode === 0 && result.records.length === 0)) {
      await new Promise(resolve => setTimeout(resolve, Math.min(maxWaitMs, 5)))
      partitions = answer()
    }
    return { errorCode: 0, throttleMs: 0, partitions }
  }

  async #produce(reader: Reader, byId: boolean) {
    const waiting: { log: FakePartition; end: bigint }[] = []
    const transactionalId = reader.compactNullableString()
    reader.int16()
    reader.int32()
    const partitions = reader
      .compactArray(() => {
        const ref = this.#ref(reader, byId)
        const results = reader.compactArray(() => {
          const partition = reader.int32()
          const records = Buffer.from(reader.compactBytes())
          reader.tags()
          const log = this.partition(ref.topic, partition)
          const batch = viewOf(records)
          const refused = isTransactional(batch.attributes)
            ? this.transactions.refusal(transactionalId, batch.producerId, batch.producerEpoch, log)
            : 0
          const result = refused ? { errorCode: refused, baseOffset: -1n, logAppendTimeMs: -1n } : log.produce(records)
          waiting.push({ log, end: log.end })
          return { ...ref, partition, logStartOffset: -1n, errorMessage: null, ...result }
        })
        reader.tags()
        return results
      })
      .flat()
    while (waiting.some(({ log, end }) => log.highWatermark < end)) await new Promise(resolve => setTimeout(resolve, 1))
    return { throttleMs: 0, partitions }
  }

  #listOffsets(reader: Reader) {
    const logEnd = reader.int32() === -2
    const committed = reader.int8() === 1
    const partitions = reader
      .compactArray(() => {
        const topic = reader.compactString()
        const results = reader.compactArray(() => {
          const partition = reader.int32()
          reader.int32()
          const timestamp = reader.int64()
          reader.tags()
          const log = this.partition(topic, partition)
          const end = logEnd ? log.end : committed ? log.lastStable : log.highWatermark
          const offset = timestamp === -2n ? log.start : end
          return { topic, partition, errorCode: 0, timestamp, offset, leaderEpoch: 0 }
        })
        reader.tags()
        return results
      })
      .flat()
    return { partitions }
  }

  #describeProducers(reader: Reader) {
    const partitions = reader
      .compactArray(() => {
        const topic = reader.compactString()
        const numbers = reader.compactInt32Array()
        reader.tags()
        return numbers.map(partition => ({
          topic,
          partition,
          errorCode: 0,
          errorMessage: null,
          producers: this.partition(topic, partition).describeProducers()
        }))
      })
      .flat()
    return { partitions }
  }

  #initProducerId(reader: Reader) {
    const transactionalId = reader.compactNullableString()
    if (transactionalId === null) throw new Error('the fake cluster gives producer ids to transactional ids only')
    return this.transactions.init(transactionalId)
  }

  #addPartitionsToTxn(reader: Reader) {
    const transactionalId = reader.compactString()
    const identity = { producerId: reader.int64(), epoch: reader.int16() }
    const places = reader
      .compactArray(() => {
        const topic = reader.compactString()
        const numbers = reader.compactInt32Array()
        reader.tags()
        return numbers.map(partition => ({ topic, partition }))
      })
      .flat()
    const logs = places.map(({ topic, partition }) => this.partition(topic, partition))
    const errorCode = this.transactions.add(transactionalId, identity, logs)
    return { partitions: places.map(place => ({ ...place, errorCode })) }
  }

  #endTxn(reader: Reader) {
    const transactionalId = reader.compactString()
    const identity = { producerId: reader.int64(), epoch: reader.int16() }
    return { errorCode: this.transactions.end(transactionalId, identity, reader.boolean()) }
  }

  #ref(reader: Reader, byId: boolean): { topic: string; topicId: string } {
    if (!byId) {
      const topic = reader.compactString()
      return { topic, topicId: this.topics.get(topic)?.id ?? '' }
    }
    const topicId = reader.uuid()
    const found = [...this.topics].find(([, topic]) => topic.id === topicId)
    if (!found) throw new Error(`no topic with id ${topicId}`)
    return { topic: found[0], topicId }
  }
}

const lost = () => new TwinlogError('TWINLOG_UNREACHABLE', 'connection lost', { retriable: true })
