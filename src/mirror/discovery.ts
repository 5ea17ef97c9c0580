import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { TopicMetadata } from '../kafka/types.js'
import { configsToCopy, createTopic, growTopic, topicConfigs, type TopicConfigs } from '../topics/target-topics.js'
import { exactNames, isExact, matches } from '../util/selector.js'
import { assertNotCompacted } from './lane-guard.js'
import type { LaneSpec } from './lane-manager.js'
import type { ResolvedMirrorOptions } from './options.js'

const DEFAULT_MAX_MESSAGE_BYTES = 1_048_588

export interface DiscoveryEvents {
  created(topic: string, partitions: number): void
  grown(topic: string, partitions: number): void
  refused(topic: string, error: TwinlogError): void
}

/** Finds the topics to copy, makes sure that they are on the target, and names the lanes. One topic's trouble is its own. */
export class Discovery {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #options: ResolvedMirrorOptions
  readonly #events: DiscoveryEvents
  /** topic id → partitions that have their lanes; looked at again only when one of them changes */
  readonly #done = new Map<string, number>()

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    options: ResolvedMirrorOptions
    events: DiscoveryEvents
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#options = o.options
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
    for (const topic of found) {
      try {
        specs.push(...(await this.#lanesOf(topic, target.topics.get(topic.name))))
        this.#done.set(topic.topicId, topic.partitions.length)
      } catch (error) {
        if (!(error instanceof TwinlogError)) throw error
        this.#events.refused(topic.name, error)
        if (error.retriable) continue
        this.#done.set(topic.topicId, topic.partitions.length)
        specs.push(...refusedLanes(topic, error))
      }
    }
    return specs
  }

  async #matchingTopics(): Promise<TopicMetadata[]> {
    const { topics: selector } = this.#options
    const names = isExact(selector) ? exactNames(selector) : undefined
    const metadata = await this.#source.metadata(names === undefined ? {} : { topics: names })
    return [...metadata.topics.values()].filter(topic => topic.errorCode === 0 && matches(selector, topic.name))
  }

  async #lanesOf(source: TopicMetadata, existing: TopicMetadata | undefined): Promise<LaneSpec[]> {
    const configs = (await topicConfigs(this.#source, [source.name])).get(source.name) ?? (new Map() as TopicConfigs)
    assertNotCompacted(configs.get('cleanup.policy')?.value ?? 'delete', source.name)
    const target = await this.#ensure(source, configs, existing?.errorCode === 0 ? existing : undefined)
    const targetConfigs = (await topicConfigs(this.#target, [target.name])).get(target.name)
    const limit = Number(targetConfigs?.get('max.message.bytes')?.value ?? DEFAULT_MAX_MESSAGE_BYTES)
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
    const { createTopics } = this.#options
    if (!existing) {
      if (createTopics === false) {
        throw new TwinlogError(
          'TWINLOG_UNKNOWN_TOPIC',
          `topic ${source.name} is not on ${this.#target.alias}, and createTopics is false: create it there`,
          {
            cluster: this.#target.alias,
            topic: source.name
          }
        )
      }
      const { brokers } = await this.#target.metadata({ topics: [] })
      const replicationFactor =
        createTopics.replicationFactor ?? Math.min(source.partitions[0]?.replicas.length ?? 1, brokers.size)
      const wanted = {
        name: source.name,
        partitions,
        replicationFactor,
        configs: configsToCopy(configs, replicationFactor, createTopics.configs)
      }
      const { created, topic } = await createTopic(this.#target, wanted)
      if (created) this.#events.created(topic.name, partitions)
      if (topic.partitions.length >= partitions) return topic
      return this.#grow(source.name, partitions)
    }
    if (existing.partitions.length >= partitions) return existing
    if (createTopics === false) {
      throw new TwinlogError(
        'TWINLOG_UNSUPPORTED',
        `topic ${source.name} has ${partitions} partitions on ${this.#source.alias} but ${existing.partitions.length} on ${this.#target.alias}, and createTopics is false: add partitions there`,
        { cluster: this.#target.alias, topic: source.name }
      )
    }
    return this.#grow(source.name, partitions)
  }

  async #grow(name: string, partitions: number): Promise<TopicMetadata> {
    const topic = await growTopic(this.#target, name, partitions)
    this.#events.grown(name, partitions)
    return topic
  }
}

/** A topic that cannot be copied shows as failed lanes, never as nothing. */
function refusedLanes(topic: TopicMetadata, refused: TwinlogError): LaneSpec[] {
  return topic.partitions.map(({ partition }) => ({
    source: { topic: topic.name, topicId: topic.topicId, partition },
    target: { topic: topic.name, topicId: '', partition },
    maxBatchBytes: DEFAULT_MAX_MESSAGE_BYTES,
    refused
  }))
}
