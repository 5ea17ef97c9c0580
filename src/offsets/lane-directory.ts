import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { LaneMap } from '../lineage/lane-map.js'
import type { LaneState } from '../lineage/lane-state.js'
import { LinkState } from '../lineage/link-state.js'
import { TargetLog } from '../lineage/target-log.js'
import type { Logger } from '../logger.js'

/** How long a map may be used for positions it already knows before the target is looked at again. */
const FRESH_MS = 1_000

interface Entry {
  map: LaneMap
  updatedAt: number
}

export type LaneLookup =
  | { kind: 'lane'; map: LaneMap; topic: string; partition: number }
  | { kind: 'unknown'; reason: 'topic' | 'partition' | 'topic-recreated' | 'state-lost' }

/** Finds the lane of a source partition in the link's state and keeps its offset map. Reads the target only. */
export class LaneDirectory {
  readonly #cluster: ClusterClient
  readonly #link: string
  readonly #logger: Logger
  readonly #maps = new Map<string, Entry>()
  readonly #updating = new Map<string, Promise<LaneMap>>()
  #state: LinkState | undefined

  constructor(cluster: ClusterClient, link: string, logger: Logger) {
    this.#cluster = cluster
    this.#link = link
    this.#logger = logger
  }

  /** The link's state, opened when it exists. */
  async state(): Promise<LinkState | undefined> {
    if (this.#state) return this.#state
    const state = await LinkState.open({
      cluster: this.#cluster,
      link: this.#link,
      logger: this.#logger,
      create: false
    })
    if (!state) return undefined
    await state.refresh()
    this.#state = state
    return state
  }

  /** All source partitions that have a lane. */
  async partitions(): Promise<{ topic: string; partition: number }[]> {
    const state = await this.state()
    if (!state) return []
    await state.refresh()
    return [...state.lanes].flatMap(({ birth }) =>
      birth ? [{ topic: birth.sourceTopic, partition: birth.sourcePartition }] : []
    )
  }

  /**
   * The lane of a source partition that a consumer follows: the one to the partition's own target. Where a transform sends all its records
   * to one other place, it is that one's. `known`: whether the map answers already; then it is not refreshed more often than once a second.
   */
  async find(topic: string, partition: number, known: (map: LaneMap) => boolean): Promise<LaneLookup> {
    const state = await this.state()
    if (!state) return { kind: 'unknown', reason: 'state-lost' }
    let lanes = await this.#lanesOf(state, topic, partition)
    if (typeof lanes === 'string') {
      await state.refresh()
      lanes = await this.#lanesOf(state, topic, partition)
    }
    if (typeof lanes === 'string') return { kind: 'unknown', reason: lanes }
    const main = lanes.find(({ birth }) => birth?.targetTopic === topic && birth.targetPartition === partition)
    const routed = lanes.filter(lane => lane !== main)
    const first = main ?? routed[0]
    if (!first) return { kind: 'unknown', reason: 'topic' }
    const lookup = await this.#lookUp(state, first, known)
    const [only] = routed
    const isEmpty = lookup.kind === 'lane' && lookup.map.end.next === first.birth?.first
    return only && only !== first && routed.length === 1 && isEmpty ? this.#lookUp(state, only, known) : lookup
  }

  async #lookUp(state: LinkState, lane: LaneState, known: (map: LaneMap) => boolean): Promise<LaneLookup> {
    const birth = lane.birth
    if (!birth) return { kind: 'unknown', reason: 'state-lost' }
    const entry = this.#maps.get(lane.key)
    const fresh = entry && performance.now() - entry.updatedAt < FRESH_MS && known(entry.map)
    const map = fresh ? entry.map : await this.#update(state, lane)
    return { kind: 'lane', map, topic: birth.targetTopic, partition: birth.targetPartition }
  }

  /** Lanes of the source partition whose target topics are those of now, one for each target partition. */
  async #lanesOf(
    state: LinkState,
    topic: string,
    partition: number
  ): Promise<LaneState[] | 'topic' | 'partition' | 'topic-recreated'> {
    const ofTopic = [...state.lanes].filter(lane => lane.birth?.sourceTopic === topic)
    if (ofTopic.length === 0) return 'topic'
    const candidates = ofTopic.filter(lane => lane.birth?.sourcePartition === partition)
    if (candidates.length === 0) return 'partition'
    // The newest of each target partition: what came before copied a source topic that was deleted since.
    const newest = new Map<string, LaneState>()
    for (const lane of candidates) {
      const { birth } = lane
      if (!birth || (await this.#targetTopicId(birth.targetTopic)) !== birth.targetTopicId) continue
      const place = `${birth.targetTopic}/${birth.targetPartition}`
      // A later lane begins further behind: the state topic has many partitions, so the order of reading tells nothing.
      const known = newest.get(place)?.birth
      if (!known || known.targetEnd <= birth.targetEnd) newest.set(place, lane)
    }
    return newest.size === 0 ? 'topic-recreated' : [...newest.values()]
  }

  readonly #topicIds = new Map<string, { id: string | undefined; at: number }>()

  async #targetTopicId(topic: string): Promise<string | undefined> {
    const known = this.#topicIds.get(topic)
    if (known && performance.now() - known.at < FRESH_MS) return known.id
    const found = (await this.#cluster.metadata({ topics: [topic] })).topics.get(topic)
    const id = found?.errorCode === 0 ? found.topicId : undefined
    this.#topicIds.set(topic, { id, at: performance.now() })
    return id
  }

  /** One update a lane at a time; who comes during one takes its result. */
  #update(state: LinkState, lane: LaneState): Promise<LaneMap> {
    const running = this.#updating.get(lane.key)
    if (running) return running
    const run = this.#refresh(state, lane).finally(() => this.#updating.delete(lane.key))
    this.#updating.set(lane.key, run)
    return run
  }

  async #refresh(state: LinkState, lane: LaneState): Promise<LaneMap> {
    const birth = lane.birth
    if (!birth)
      throw new TwinlogError('TWINLOG_STATE_INVALID', `the state topic does not hold the birth of lane ${lane.key}`)
    const entry = this.#maps.get(lane.key)
    // The high watermark first, the state after it: gaps of everything below that mark are then in what is read.
    const log = new TargetLog(this.#cluster, birth.targetTopic, birth.targetPartition)
    const bounds = await log.bounds()
    const fresh = (await state.refreshLane(lane.key)) ?? lane
    const map = entry?.map ?? (await LaneMap.open(log, fresh, bounds))
    if (entry) await map.update(fresh, bounds)
    this.#maps.set(lane.key, { map, updatedAt: performance.now() })
    return map
  }

  /** A map of its own that nobody else moves on. */
  async openFresh(topic: string, partition: number): Promise<LaneLookup> {
    const own = new LaneDirectory(this.#cluster, this.#link, this.#logger)
    own.#state = this.#state
    return own.find(topic, partition, () => false)
  }
}
