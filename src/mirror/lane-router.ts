import type { ClusterClient } from '../kafka/cluster.js'
import type { Logger } from '../logger.js'
import type { Lane } from './lane.js'
import { SourceFetcher } from './source-fetcher.js'
import { TargetAppender } from './target-appender.js'

/** Produce connections a target broker: lanes are pinned to one of them. */
const CONNECTIONS_A_BROKER = 2

/** Which fetcher and which appender serve a lane: by the leaders of its two partitions. */
export class LaneRouter {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #logger: Logger
  readonly #memoryFull: () => boolean
  readonly #isWhole: (lane: Lane) => Promise<boolean>
  readonly #onSourceLost: (nodeId: number) => void
  readonly #fetchers = new Map<number, SourceFetcher>()
  readonly #appenders = new Map<string, TargetAppender>()
  readonly #slots = new Map<Lane, number>()
  #nextSlot = 0

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    logger: Logger
    memoryFull: () => boolean
    isWhole: (lane: Lane) => Promise<boolean>
    onSourceLost: (nodeId: number) => void
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#logger = o.logger
    this.#memoryFull = o.memoryFull
    this.#isWhole = o.isWhole
    this.#onSourceLost = o.onSourceLost
  }

  /** Puts the lane with the leaders known now; only when nothing of it is in flight. False while one of them has no leader. */
  place(lane: Lane): boolean {
    const leader = this.#target.leaderOf(lane.target.topic, lane.target.partition)
    if (!leader || leader.nodeId < 0 || !this.placeSource(lane)) return false
    for (const appender of this.#appenders.values()) appender.lanes.delete(lane)
    this.#appender(leader.nodeId, this.#slot(lane)).lanes.add(lane)
    return true
  }

  placeSource(lane: Lane): boolean {
    const leader = this.#source.leaderOf(lane.source.topic, lane.source.partition)
    if (!leader || leader.nodeId < 0) return false
    for (const fetcher of this.#fetchers.values()) if (fetcher.nodeId !== leader.nodeId) fetcher.lanes.delete(lane)
    this.#fetcher(leader.nodeId).lanes.add(lane)
    return true
  }

  lanesFetchedFrom(nodeId: number): Lane[] {
    return [...(this.#fetchers.get(nodeId)?.lanes ?? [])]
  }

  kick(lane: Lane): void {
    for (const appender of this.#appenders.values()) if (appender.lanes.has(lane)) appender.kick()
    for (const fetcher of this.#fetchers.values()) if (fetcher.lanes.has(lane)) fetcher.wake()
  }

  async stopFetching(): Promise<void> {
    await Promise.all([...this.#fetchers.values()].map(fetcher => fetcher.stop()))
  }

  stopAppending(): void {
    for (const appender of this.#appenders.values()) appender.stop()
  }

  #slot(lane: Lane): number {
    let slot = this.#slots.get(lane)
    if (slot === undefined) {
      slot = this.#nextSlot++ % CONNECTIONS_A_BROKER
      this.#slots.set(lane, slot)
    }
    return slot
  }

  #fetcher(nodeId: number): SourceFetcher {
    let fetcher = this.#fetchers.get(nodeId)
    if (!fetcher) {
      fetcher = new SourceFetcher({
        nodeId,
        cluster: this.#source,
        logger: this.#logger,
        memory: { full: this.#memoryFull },
        isWhole: this.#isWhole,
        onLost: () => this.#onSourceLost(nodeId)
      })
      this.#fetchers.set(nodeId, fetcher)
      fetcher.start()
    }
    return fetcher
  }

  #appender(nodeId: number, slot: number): TargetAppender {
    const key = `${nodeId}/${slot}`
    let appender = this.#appenders.get(key)
    if (!appender) {
      appender = new TargetAppender({ nodeId, cluster: this.#target, logger: this.#logger })
      this.#appenders.set(key, appender)
    }
    return appender
  }
}
