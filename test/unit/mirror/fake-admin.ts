import { randomBytes } from 'node:crypto'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import type { ApiRequest, ClusterMetadata, TopicMetadata } from '../../../src/kafka/types.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { FakePartition } from '../lineage/fake-partition.js'

interface Described {
  type: number
  name: string
  /** Empty: all. */
  keys: string[]
}

const BROKER_CONFIGS: Record<string, string> = {
  'cleanup.policy': 'delete',
  'max.message.bytes': '1048588',
  'message.timestamp.type': 'CreateTime'
}

/** The fake cluster with what administrators ask: topics by name, configs, ids that change when a topic is created again. */
export class FakeAdmin extends FakeCluster {
  /** Configs set on topics. */
  readonly configs = new Map<string, Record<string, string>>()
  /** Configs of the brokers. */
  readonly brokerConfigs: Record<string, string> = {}
  /** Error codes that metadata, DescribeConfigs or CreateTopics answer for a topic. */
  readonly errors = new Map<string, { metadata?: number; configs?: number; create?: number }>()
  /** Configs that CreateTopics does not know: error 40. */
  readonly unknownConfigs = new Set<string>()
  /** Every request, by name; metadata with the topics that were asked for. */
  readonly asked: string[] = []
  readonly created: { name: string; partitions: number; configs: Record<string, string> }[] = []
  #producerId = 100n

  topic(name: string, partitions = 1, configs: Record<string, string> = {}): string {
    const id = randomBytes(16).toString('base64url')
    this.topics.set(name, { id, partitions: Array.from({ length: partitions }, () => new FakePartition()) })
    this.configs.set(name, configs)
    return id
  }

  override leaderOf(topic?: string) {
    return topic === undefined || this.topics.has(topic) ? { nodeId: 0, leaderEpoch: 0 } : (undefined as never)
  }

  override async metadata(o: { topics?: readonly string[] } = {}): Promise<ClusterMetadata> {
    this.asked.push(`Metadata ${o.topics === undefined ? '*' : [...o.topics].sort().join(',')}`)
    await this.before('Metadata')
    const all = await super.metadata()
    const topics = new Map<string, TopicMetadata>()
    for (const name of o.topics ?? all.topics.keys()) {
      const errorCode = this.errors.get(name)?.metadata ?? (all.topics.has(name) ? 0 : 3)
      const known = all.topics.get(name)
      if (errorCode === 0 && known) topics.set(name, known)
      else if (o.topics) topics.set(name, { name, topicId: '', errorCode, internal: false, partitions: [] })
    }
    return { ...all, topics }
  }

  override async handle<T>(request: ApiRequest<T>): Promise<T> {
    this.asked.push(request.apiName)
    const writer = new Writer()
    request.encode(writer, request.maxVersion)
    const reader = new Reader(writer.toBuffer())
    switch (request.apiName) {
      case 'DescribeConfigs':
        return { resources: described(reader).map(resource => this.#describe(resource)) } as T
      case 'CreateTopics':
        return { topics: newTopics(reader).map(topic => this.#create(topic)) } as T
      case 'CreatePartitions':
        return { topics: grown(reader).map(topic => this.#grow(topic)) } as T
      case 'InitProducerId':
        return { errorCode: 0, producerId: this.#producerId++, producerEpoch: 0 } as T
      default:
        return super.handle(request)
    }
  }

  /** Requests since the last call. */
  requests(): string[] {
    return this.asked.splice(0)
  }

  #describe({ type, name, keys }: Described) {
    const errorCode = this.errors.get(name)?.configs ?? (type === 2 && !this.topics.has(name) ? 3 : 0)
    const own = type === 2 ? (this.configs.get(name) ?? {}) : this.brokerConfigs
    const all = { ...(type === 2 ? BROKER_CONFIGS : {}), ...own }
    const configs = Object.entries(all)
      .filter(([key]) => keys.length === 0 || keys.includes(key))
      .map(([key, value]) => ({ name: key, value, readOnly: false, source: key in own ? 1 : 5, sensitive: false }))
    return { type: 'topic' as const, name, errorCode, errorMessage: null, configs: errorCode === 0 ? configs : [] }
  }

  #create(topic: { name: string; partitions: number; configs: Record<string, string> }) {
    const { name, partitions, configs } = topic
    const unknown = Object.keys(configs).find(key => this.unknownConfigs.has(key))
    const errorCode = this.errors.get(name)?.create ?? (this.topics.has(name) ? 36 : unknown === undefined ? 0 : 40)
    if (errorCode === 0) {
      this.topic(name, partitions, configs)
      this.created.push(topic)
    }
    return { name, topicId: this.topics.get(name)?.id ?? '', errorCode, errorMessage: unknown ?? null }
  }

  #grow({ name, count }: { name: string; count: number }) {
    const partitions = this.topics.get(name)?.partitions ?? []
    while (partitions.length < count) partitions.push(new FakePartition())
    return { name, errorCode: 0, errorMessage: null }
  }
}

function described(reader: Reader): Described[] {
  return reader.compactArray(() => {
    const resource = { type: reader.int8(), name: reader.compactString(), keys: [] as string[] }
    resource.keys = reader.compactArray(() => reader.compactString())
    reader.tags()
    return resource
  })
}

function newTopics(reader: Reader) {
  return reader.compactArray(() => {
    const topic = { name: reader.compactString(), partitions: reader.int32() }
    reader.int16()
    reader.compactArray(() => undefined)
    const configs = reader.compactArray(() => {
      const entry = [reader.compactString(), reader.compactString()] as const
      reader.tags()
      return entry
    })
    reader.tags()
    return { ...topic, configs: Object.fromEntries(configs) }
  })
}

function grown(reader: Reader) {
  return reader.compactArray(() => {
    const topic = { name: reader.compactString(), count: reader.int32() }
    reader.compactArray(() => undefined)
    reader.tags()
    return topic
  })
}
