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

  /** `known`: whether the map answers already; then it is not refreshed more often than once a second. */
  async find(topic: string, partition: number, known: (map: LaneMap) => boolean): Promise<LaneLookup> {
    const state = await this.state()
    if (!state) return { kind: 'unknown', reason: 'state-lost' }
    let lane = await this.#laneOf(state, topic, partition)
    if (typeof lane === 'string') {
      await state.refresh()
      lane = await this.#laneOf(state, topic, partition)
    }
    if (typeof lane === 'string') return { kind: 'unknown', reason: lane }
    const birth = lane.birth
    if (!birth) return { kind: 'unknown', reason: 'state-lost' }
    const entry = this.#maps.get(lane.key)
    const fresh = entry && Date.now() - entry.updatedAt < FRESH_MS && known(entry.map)
    const map = fresh ? entry.map : await this.#update(state, lane)
    return { kind: 'lane', map, topic: birth.targetTopic, partition: birth.targetPartition }
  }

  async #laneOf(
    state: LinkState,
    topic: string,
    partition: number
  ): Promise<LaneState | 'topic' | 'partition' | 'topic-recreated'> {
    const ofTopic = [...state.lanes].filter(lane => lane.birth?.sourceTopic === topic)
    if (ofTopic.length === 0) return 'topic'
    const candidates = ofTopic.filter(lane => lane.birth?.sourcePartition === partition)
    if (candidates.length === 0) return 'partition'
    const newest = candidates.at(-1) as LaneState
    const targetTopic = newest.birth?.targetTopic ?? topic
    const targetId = (await this.#targetTopicId(targetTopic)) ?? ''
    const current = candidates.findLast(lane => lane.birth?.targetTopicId === targetId)
    return current ?? 'topic-recreated'
  }

  readonly #topicIds = new Map<string, { id: string | undefined; at: number }>()

  async #targetTopicId(topic: string): Promise<string | undefined> {
    const known = this.#topicIds.get(topic)
    if (known && Date.now() - known.at < FRESH_MS) return known.id
    const found = (await this.#cluster.metadata({ topics: [topic] })).topics.get(topic)
    const id = found?.errorCode === 0 ? found.topicId : undefined
    this.#topicIds.set(topic, { id, at: Date.now() })
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
    this.#maps.set(lane.key, { map, updatedAt: Date.now() })
    return map
  }

  /** A map of its own that nobody else moves on. */
  async openFresh(topic: string, partition: number): Promise<LaneLookup> {
    const own = new LaneDirectory(this.#cluster, this.#link, this.#logger)
    own.#state = this.#state
    return own.find(topic, partition, () => false)
  }
}
