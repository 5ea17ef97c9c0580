import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { TopicMetadata } from '../kafka/types.js'
import type { LaneSpec } from './lane-types.js'
import type { ResolvedMirrorOptions } from './options.js'
import { type TargetEvents, TargetKeeper, type TargetTopic } from './target-keeper.js'
import { type Outcome, TopicJudge } from './topic-judge.js'
import { deletedTopics, TopicSearch } from './topic-search.js'
import {
  type Readable,
  sameTraits,
  sourceTraits,
  targetTraits,
  type TopicTraits,
  traitsOf,
  UNKNOWN_TRAITS
} from './topic-traits.js'

/** Configs of topics that are copied are looked at again this often. */
const CONFIGS_INTERVAL_MS = 30_000
/** A broker that shows a topic which was followed by another one is behind; by then it has caught up. */
const FORMER_MS = 60_000
const UNKNOWN_TOPIC = 3

export interface DiscoveryEvents extends TargetEvents {
  /** Told once, and again when the reason changes. */
  refused(topic: string, error: TwinlogError): void
  /** Nothing to copy under this name, or under any. Told once, until it is there. */
  missing(error: TwinlogError): void
  /** Configs of a topic that is being copied. */
  configsChanged(topic: string, traits: TopicTraits): void
}

export interface DiscoveryRound {
  /** New or changed. A lane of the same source partition (topic id and number) that was handed out before is replaced by these words. */
  lanes: LaneSpec[]
  /** Source topics that no longer exist, under this id at least. */
  gone: { topic: string; topicId: string }[]
}

/** What was handed out for a topic. */
interface KnownTopic {
  topicId: string
  /** Empty while the topic is refused. */
  targetId: string
  partitions: number
  traits: TopicTraits
  /** Why it is refused. */
  reason: string | undefined
}

/**
 * Finds the topics to copy, makes sure that they are on the target, and names the lanes. One topic's trouble is its own, and is
 * judged again every round. A round in which nothing has changed costs one metadata request on each side.
 */
export class Discovery {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #events: DiscoveryEvents
  readonly #now: () => number
  readonly #search: TopicSearch
  readonly #keeper: TargetKeeper
  readonly #judge: TopicJudge
  readonly #known = new Map<string, KnownTopic>()
  /** Topic ids that were followed by others under their name → since when. */
  readonly #former = new Map<string, number>()
  /** Trouble that passes by itself, by topic: told once. */
  readonly #passing = new Map<string, string>()
  #configsReadAt: number

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    options: Pick<ResolvedMirrorOptions, 'topics' | 'createTopics'>
    /** Called before the first topic is created and before lanes are handed out, not for topics that are refused. */
    beforeWriting: () => Promise<void>
    events: DiscoveryEvents
    now?: () => number
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#events = o.events
    this.#now = o.now ?? Date.now
    this.#search = new TopicSearch({
      source: o.source,
      selector: o.options.topics,
      missing: error => o.events.missing(error)
    })
    this.#keeper = new TargetKeeper({ ...o, createTopics: o.options.createTopics })
    this.#judge = new TopicJudge({ ...o, keeper: this.#keeper })
    this.#configsReadAt = this.#now()
  }

  /** One at a time. What a round that rejects has found is found again by the next one. */
  async round(): Promise<DiscoveryRound> {
    for (const [topicId, since] of this.#former) if (this.#now() - since > FORMER_MS) this.#former.delete(topicId)
    const found = (await this.#search.find()).filter(topic => !this.#former.has(topic.topicId))
    const names = new Set(found.map(topic => topic.name))
    const unseen = [...this.#known.keys()].filter(name => !names.has(name))
    const deleted = await deletedTopics(this.#source, unseen)
    const targets = await this.#targetTopics([...names])
    const news = new Set(found.filter(source => this.#isNews(source, targets.get(source.name))))
    await this.#readConfigs(found.filter(source => !news.has(source)).map(source => source.name))
    const outcomes = await this.#judge.outcomes([...news], targets)
    // From here on nothing waits and nothing throws: a round is handed out as a whole.
    const gone = [...deleted].map(name => this.#forget(name))
    const round: DiscoveryRound = { lanes: [], gone }
    for (const outcome of outcomes) {
      const known = this.#known.get(outcome.source.name)
      if (known && known.topicId !== outcome.source.topicId) {
        this.#former.set(known.topicId, this.#now())
        gone.push(this.#forget(outcome.source.name))
      }
      round.lanes.push(...(outcome.kind === 'copy' ? this.#copied(outcome) : this.#refused(outcome)))
    }
    return round
  }

  /** A topic on the target that a transform routes records to; made like the topic they come from when it is missing. */
  ensureTarget(topic: string, like: TopicMetadata): Promise<TargetTopic> {
    return this.#keeper.ensureRouted(topic, like)
  }

  async #targetTopics(names: string[]): Promise<Map<string, TopicMetadata>> {
    if (names.length === 0) return new Map()
    const { topics } = await this.#target.metadata({ topics: names })
    // One broker's word is not enough to begin a topic of ours anew.
    const lost = names.filter(name => this.#known.get(name)?.targetId && topics.get(name)?.errorCode === UNKNOWN_TOPIC)
    if (lost.length === 0) return topics
    const again = await this.#target.metadata({ topics: lost })
    return new Map([...topics, ...again.topics])
  }

  /** Whether the topic has to be looked at: anything else than what was handed out. */
  #isNews(source: TopicMetadata, target: TopicMetadata | undefined): boolean {
    const known = this.#known.get(source.name)
    if (target && this.#former.has(target.topicId)) return false
    if (!known || known.reason !== undefined) return true
    if (known.topicId !== source.topicId || known.partitions < source.partitions.length) return true
    const errorCode = target?.errorCode ?? UNKNOWN_TOPIC
    // The right to see it is gone: the lanes find out by themselves what that means for them.
    if (errorCode !== 0 && errorCode !== UNKNOWN_TOPIC) return false
    return errorCode !== 0 || target?.topicId !== known.targetId
  }

  #copied({ source, target, traits }: Outcome & { kind: 'copy' }): LaneSpec[] {
    const before = this.#known.get(source.name)
    this.#passing.delete(source.name)
    const same = before?.targetId === target.topicId
    if (before && !same && before.targetId !== '') this.#former.set(before.targetId, this.#now())
    this.#known.set(source.name, {
      topicId: source.topicId,
      targetId: target.topicId,
      partitions: source.partitions.length,
      traits,
      reason: undefined
    })
    if (before && same && !sameTraits(before.traits, traits)) this.#events.configsChanged(source.name, traits)
    return source.partitions
      .filter(({ partition }) => !same || partition >= before.partitions)
      .map(({ partition }) => ({
        source: { topic: source.name, topicId: source.topicId, partition },
        target: { topic: target.name, topicId: target.topicId, partition },
        ...traits
      }))
  }

  /** A topic that cannot be copied shows as failed lanes, never as nothing. */
  #refused({ source, error }: Outcome & { kind: 'refuse' }): LaneSpec[] {
    const { name, topicId, partitions } = source
    const known = this.#known.get(name)
    const reason = `${error.code} ${error.message}`
    if (error.retriable) {
      if (known?.reason === undefined && this.#passing.get(name) !== reason) this.#events.refused(name, error)
      this.#passing.set(name, reason)
      return []
    }
    const told = known?.reason === reason
    if (told && known.partitions === partitions.length) return []
    if (!told) this.#events.refused(name, error)
    this.#known.set(name, { topicId, targetId: '', partitions: partitions.length, traits: UNKNOWN_TRAITS, reason })
    return partitions.map(({ partition }) => ({
      source: { topic: name, topicId, partition },
      target: { topic: name, topicId: '', partition },
      ...UNKNOWN_TRAITS,
      refused: error
    }))
  }

  #forget(name: string): { topic: string; topicId: string } {
    const topicId = this.#known.get(name)?.topicId ?? ''
    this.#known.delete(name)
    this.#passing.delete(name)
    return { topic: name, topicId }
  }

  /** What cannot be read just now stays as it was: the lanes go on. */
  async #readConfigs(names: string[]): Promise<void> {
    if (names.length === 0 || this.#now() - this.#configsReadAt < CONFIGS_INTERVAL_MS) return
    const [source, target] = await Promise.all([sourceTraits(this.#source, names), targetTraits(this.#target, names)])
    this.#configsReadAt = this.#now()
    for (const name of names) {
      const known = this.#known.get(name)
      const traits = readTraits(name, source, target)
      if (!known || !traits || sameTraits(known.traits, traits)) continue
      this.#known.set(name, { ...known, traits })
      this.#events.configsChanged(name, traits)
    }
  }
}

function readTraits(name: string, source: Readable, target: Readable): TopicTraits | undefined {
  const [ofSource, ofTarget] = [source.get(name), target.get(name)]
  if (!ofSource || !ofTarget || ofSource instanceof TwinlogError || ofTarget instanceof TwinlogError) return undefined
  return traitsOf(ofSource, ofTarget)
}
