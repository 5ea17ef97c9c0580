import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import type { TopicMetadata } from '../kafka/types.js'
import { configsToCopy, createTopic, growTopic, topicConfigs, type TopicConfigs } from '../topics/target-topics.js'
import { exactNames, isExact, matches } from '../util/selector.js'
import { assertNotCompacted } from './lane-guard.js'
import type { LaneSpec } from './lane-manager.js'
import type { ResolvedMirrorOptions } from './options.js'

const DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
const UNKNOWN_TOPIC = 3

/** Nothing speaks against copying it. */
interface JudgedTopic {
  source: TopicMetadata
  configs: TopicConfigs
  existing: TopicMetadata | undefined
}

export interface DiscoveryEvents {
  created(topic: string, partitions: number): void
  grown(topic: string, partitions: number): void
  refused(topic: string, error: TwinlogError): void
  /** Nothing to copy under this name, or under any. Told once, until it is there. */
  missing(error: TwinlogError): void
}

/** Finds the topics to copy, makes sure that they are on the target, and names the lanes. One topic's trouble is its own. */
export class Discovery {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #options: ResolvedMirrorOptions
  readonly #events: DiscoveryEvents
  /** topic id → partitions that have their lanes; looked at again only when one of them changes */
  readonly #done = new Map<string, number>()
  readonly #missing = new Set<string>()
  readonly #beforeWriting: () => Promise<void>

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    options: ResolvedMirrorOptions
    /** Called before the first topic is created and before lanes are handed out, not for topics that are refused. */
    beforeWriting: () => Promise<void>
    events: DiscoveryEvents
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#options = o.options
    this.#beforeWriting = o.beforeWriting
    this.#events = o.events
  }

  /** Lanes of topics and partitions that are new since the last look. */
  async newLanes(): Promise<LaneSpec[]> {
    const found = (await this.#matchingTopics()).filter(
      topic => (this.#done.get(topic.topicId) ?? 0) < topic.partitions.length
    )
    if (found.length === 0) return []
    const target = await this.#target.metadata({ topics: found.map(topic => topic.name) })
    const specs: LaneSpec[] = []
    const judged = await this.#each(found, same, specs, async source =>
      this.#judge(source, target.topics.get(source.name))
    )
    if (judged.length === 0) return specs
    await this.#beforeWriting()
    const lanes = await this.#each(judged, sourceOf, specs, async topic => this.#lanesOf(topic))
    return [...specs, ...lanes.flat()]
  }

  /** Topic by topic: what is wrong with one becomes its refusal. */
  async #each<T, R>(
    topics: T[],
    sourceOf: (topic: T) => TopicMetadata,
    refused: LaneSpec[],
    work: (topic: T) => Promise<R>
  ): Promise<R[]> {
    const results: R[] = []
    for (const topic of topics) {
      try {
        results.push(await work(topic))
      } catch (error) {
        if (!(error instanceof TwinlogError)) throw error
        const source = sourceOf(topic)
        this.#events.refused(source.name, error)
        if (error.retriable) continue
        this.#done.set(source.topicId, source.partitions.length)
        refused.push(...refusedLanes(source, error))
      }
    }
    return results
  }

  async #matchingTopics(): Promise<TopicMetadata[]> {
    const { topics: selector } = this.#options
    const names = exactNames(selector).filter(name => matches(selector, name))
    const { topics } = await this.#source.metadata(isExact(selector) ? { topics: names } : {})
    const found = [...topics.values()].filter(topic => topic.errorCode === 0 && matches(selector, topic.name))
    for (const name of names) this.#tell(name, topics.get(name)?.errorCode ?? UNKNOWN_TOPIC)
    if (names.length === 0) this.#tell(undefined, found.length === 0 ? UNKNOWN_TOPIC : 0)
    return found
  }

  #tell(name: string | undefined, errorCode: number): void {
    if (errorCode === 0) this.#missing.delete(name ?? '')
    if (errorCode === 0 || this.#missing.has(name ?? '')) return
    const cluster = this.#source.alias
    const advice = 'create it there or check mirror.topics; the Mirror keeps looking'
    const error =
      errorCode !== UNKNOWN_TOPIC
        ? kafkaError(errorCode, `cannot see topic ${name} on ${cluster}`, { cluster, topic: name })
        : name === undefined
          ? new TwinlogError(
              'TWINLOG_UNKNOWN_TOPIC',
              `no topic on the source ${cluster} matches mirror.topics: ${advice}`,
              { cluster }
            )
          : new TwinlogError('TWINLOG_UNKNOWN_TOPIC', `topic ${name} is not on the source ${cluster}: ${advice}`, {
              cluster,
              topic: name
            })
    if (error.retriable && errorCode !== UNKNOWN_TOPIC) return
    this.#missing.add(name ?? '')
    this.#events.missing(error)
  }

  /** Reads only. */
  async #judge(source: TopicMetadata, target: TopicMetadata | undefined): Promise<JudgedTopic> {
    const configs = (await topicConfigs(this.#source, [source.name])).get(source.name) ?? (new Map() as TopicConfigs)
    assertNotCompacted(configs.get('cleanup.policy')?.value ?? 'delete', source.name)
    const existing = target?.errorCode === 0 ? target : undefined
    if (this.#options.createTopics === false) this.#assertThere(source, existing)
    return { source, configs, existing }
  }

  #assertThere(source: TopicMetadata, existing: TopicMetadata | undefined): void {
    const where = { cluster: this.#target.alias, topic: source.name }
    if (!existing) {
      throw new TwinlogError(
        'TWINLOG_UNKNOWN_TOPIC',
        `topic ${source.name} is not on ${this.#target.alias}, and createTopics is false: create it there`,
        where
      )
    }
    if (existing.partitions.length >= source.partitions.length) return
    throw new TwinlogError(
      'TWINLOG_UNSUPPORTED',
      `topic ${source.name} has ${source.partitions.length} partitions on ${this.#source.alias} but ${existing.partitions.length} on ${this.#target.alias}, ` +
        'and createTopics is false: add partitions there',
      where
    )
  }

  async #lanesOf({ source, configs, existing }: JudgedTopic): Promise<LaneSpec[]> {
    const target = await this.#ensure(source, configs, existing)
    const targetConfigs = (await topicConfigs(this.#target, [target.name])).get(target.name)
    const limit = Number(targetConfigs?.get('max.message.bytes')?.value ?? DEFAULT_MAX_MESSAGE_BYTES)
    this.#done.set(source.topicId, source.partitions.length)
    return source.partitions.map(({ partition }) => ({
      source: { topic: source.name, topicId: source.topicId, partition },
      target: { topic: target.name, topicId: target.topicId, partition },
      maxBatchBytes: limit
    }))
  }

  async #ensure(
    source: TopicMetadata,
    configs: TopicConfigs,
    existing: TopicMetadata | undefined
  ): Promise<TopicMetadata> {
    const partitions = source.partitions.length
    if (existing) return existing.partitions.length >= partitions ? existing : this.#grow(source.name, partitions)
    const create = this.#options.createTopics || { replicationFactor: undefined, configs: {} }
    const { brokers } = await this.#target.metadata({ topics: [] })
    const replicationFactor =
      create.replicationFactor ?? Math.min(source.partitions[0]?.replicas.length ?? 1, brokers.size)
    const wanted = configsToCopy(configs, replicationFactor, create.configs)
    const { created, topic } = await createTopic(this.#target, {
      name: source.name,
      partitions,
      replicationFactor,
      configs: wanted
    })
    if (created) this.#events.created(topic.name, partitions)
    return topic.partitions.length >= partitions ? topic : this.#grow(source.name, partitions)
  }

  async #grow(name: string, partitions: number): Promise<TopicMetadata> {
    const topic = await growTopic(this.#target, name, partitions)
    this.#events.grown(name, partitions)
    return topic
  }
}

const same = (topic: TopicMetadata) => topic
const sourceOf = (judged: JudgedTopic) => judged.source

/** A topic that cannot be copied shows as failed lanes, never as nothing. */
function refusedLanes(topic: TopicMetadata, refused: TwinlogError): LaneSpec[] {
  return topic.partitions.map(({ partition }) => ({
    source: { topic: topic.name, topicId: topic.topicId, partition },
    target: { topic: topic.name, topicId: '', partition },
    maxBatchBytes: DEFAULT_MAX_MESSAGE_BYTES,
    refused
  }))
}
