import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import type { TopicMetadata } from '../kafka/types.js'
import { configsToCopy, createTopic, growTopic, topicConfigs, type TopicConfigs } from '../topics/target-topics.js'
import type { ResolvedMirrorOptions } from './options.js'
import { traitsOf } from './topic-traits.js'

const UNKNOWN_TOPIC = 3
const NO_CONFIGS: TopicConfigs = new Map()

/** A topic on the target that records are routed to. */
export interface TargetTopic {
  topicId: string
  partitions: number
  maxBatchBytes: number
  logAppendTime: boolean
}

export interface TargetEvents {
  created(topic: string, partitions: number): void
  grown(topic: string, partitions: number): void
}

/** Makes sure that topics are on the target: creates and grows them where the options allow it, and says what to do where not. */
export class TargetKeeper {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #create: ResolvedMirrorOptions['createTopics']
  readonly #events: TargetEvents
  readonly #routed = new Map<string, Promise<TargetTopic>>()

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    createTopics: ResolvedMirrorOptions['createTopics']
    events: TargetEvents
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#create = o.createTopics
    this.#events = o.events
  }

  /** The topic as the target knows it, undefined when it has none. @throws TwinlogError when it may be there and cannot be seen, or is not good enough */
  judge(source: TopicMetadata, target: TopicMetadata | undefined): TopicMetadata | undefined {
    const existing = this.#existing(source.name, target)
    if (this.#create !== false) return existing
    const where = { cluster: this.#target.alias, topic: source.name }
    if (!existing) throw notThere(this.#target.alias, source.name)
    if (existing.partitions.length >= source.partitions.length) return existing
    throw new TwinlogError(
      'TWINLOG_UNSUPPORTED',
      `topic ${source.name} has ${source.partitions.length} partitions on ${this.#source.alias} but ${existing.partitions.length} on ${this.#target.alias}, ` +
        'and createTopics is false: add partitions there',
      where
    )
  }

  /** The topic with as many partitions as on the source, at least. */
  async ensure(
    source: TopicMetadata,
    configs: TopicConfigs,
    existing: TopicMetadata | undefined
  ): Promise<TopicMetadata> {
    const partitions = source.partitions.length
    const topic = existing ?? (await this.#created(source.name, source, configs))
    if (topic.partitions.length >= partitions) return topic
    const grown = await growTopic(this.#target, source.name, partitions)
    this.#events.grown(source.name, partitions)
    return grown
  }

  /** A topic that records are routed to. It is created like the one they come from; one that is there stays as it is. */
  ensureRouted(name: string, like: TopicMetadata): Promise<TargetTopic> {
    let running = this.#routed.get(name)
    if (!running) {
      running = this.#ensureRouted(name, like).finally(() => this.#routed.delete(name))
      this.#routed.set(name, running)
    }
    return running
  }

  async #ensureRouted(name: string, like: TopicMetadata): Promise<TargetTopic> {
    const { topics } = await this.#target.metadata({ topics: [name] })
    let topic = this.#existing(name, topics.get(name))
    if (!topic) {
      const configs = await topicConfigs(this.#source, [like.name])
      topic = await this.#created(name, like, configs.get(like.name) ?? NO_CONFIGS)
    }
    const ofTarget = await topicConfigs(this.#target, [name])
    const { maxBatchBytes, logAppendTime } = traitsOf(NO_CONFIGS, ofTarget.get(name) ?? NO_CONFIGS)
    return { topicId: topic.topicId, partitions: topic.partitions.length, maxBatchBytes, logAppendTime }
  }

  #existing(name: string, target: TopicMetadata | undefined): TopicMetadata | undefined {
    const errorCode = target?.errorCode ?? UNKNOWN_TOPIC
    if (errorCode === 0) return target
    if (errorCode === UNKNOWN_TOPIC) return undefined
    const where = { cluster: this.#target.alias, topic: name }
    throw kafkaError(errorCode, `cannot see topic ${name} on ${this.#target.alias}`, where)
  }

  async #created(name: string, like: TopicMetadata, configs: TopicConfigs): Promise<TopicMetadata> {
    if (this.#create === false) throw notThere(this.#target.alias, name)
    const { brokers } = await this.#target.metadata({ topics: [] })
    const partitions = like.partitions.length
    const replicationFactor =
      this.#create.replicationFactor ?? Math.min(like.partitions[0]?.replicas.length ?? 1, brokers.size)
    const wanted = configsToCopy(configs, replicationFactor, this.#create.configs)
    const answer = await createTopic(this.#target, { name, partitions, replicationFactor, configs: wanted })
    if (answer.created) this.#events.created(name, partitions)
    return answer.topic
  }
}

function notThere(cluster: string, topic: string): TwinlogError {
  const message = `topic ${topic} is not on ${cluster}, and createTopics is false: create it there`
  return new TwinlogError('TWINLOG_UNKNOWN_TOPIC', message, { cluster, topic })
}
