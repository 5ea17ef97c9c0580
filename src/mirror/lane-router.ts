import type { ClusterClient } from '../kafka/cluster.js'
import { FramePool } from '../kafka/frame-pool.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { Logger } from '../logger.js'
import { ByteBudget } from './byte-budget.js'
import type { EngineLane, FetchedLane } from './fetched-lane.js'
import type { Lane } from './lane.js'
import { NearReplicas } from './near-replicas.js'
import { ByteRate } from './rate-limit.js'
import { type FetchSettings, SourceFetcher } from './source-fetcher.js'
import { TargetAppender } from './target-appender.js'
import { WorkSlices } from './work-slices.js'

/** Produce connections a target broker: lanes are pinned to one of them. */
const CONNECTIONS_A_BROKER = 2
/** The connection of lanes whose replicas are slow: a broker answers one connection's requests one after another. */
const SLOW_SLOT = CONNECTIONS_A_BROKER
const SLOW_FOR_MS = 60_000
/** Of the limit: memory for frames that is kept while nothing uses it. */
const MOST_FREE_SHARE = 4
const MOST_FREE_BYTES = 16 << 20
const DEFAULT_PRIORITY = 1

/** A quota of the source or of the target holds us back. */
export interface Throttle {
  role: 'source' | 'target'
  nodeId: number
  throttleMs: number
}

interface Place {
  fetcher: SourceFetcher | undefined
  appender: TargetAppender | undefined
  slot: number
  slowUntil: number
}

/** Which fetcher and which appender serve a lane: by the leaders of its two partitions, or by a replica of the source that is nearer. */
export class LaneRouter<L extends EngineLane = Lane> {
  /** Lanes count here what they hold. */
  readonly budget: ByteBudget
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #logger: Logger
  readonly #settings: FetchSettings
  readonly #priorityOf: (topic: string) => number
  readonly #rackId: string | undefined
  readonly #onSourceLost: (nodeId: number) => void
  readonly #onThrottled: (throttle: Throttle) => void
  readonly #fetchers = new Map<string, SourceFetcher>()
  readonly #appenders = new Map<string, TargetAppender>()
  readonly #places = new Map<L, Place>()
  readonly #near = new NearReplicas()
  #nextSlot = 0
  #stopped = false

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    logger: Logger
    isolation: 'read_committed' | 'read_uncommitted'
    limits: {
      bytesInFlight: number
      bytesPerSecond: number | undefined
      /** By source topic, default 1. Higher is asked for first, and served first where memory is scarce. */
      priorities: Readonly<Record<string, number>>
    }
    /** Where this process runs, as the source's `replica.selector.class` understands it. */
    rackId?: string | undefined
    /** The broker does not answer: leaders may have moved. */
    onSourceLost: (nodeId: number) => void
    onThrottled?: ((throttle: Throttle) => void) | undefined
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#logger = o.logger
    const { bytesInFlight, bytesPerSecond, priorities } = o.limits
    this.budget = new ByteBudget(bytesInFlight)
    this.#settings = {
      isolation: o.isolation,
      budget: this.budget,
      rate: new ByteRate(bytesPerSecond),
      frames: new FramePool({ mostFreeBytes: Math.min(MOST_FREE_BYTES, bytesInFlight / MOST_FREE_SHARE) }),
      slices: new WorkSlices()
    }
    const priorityByTopic = new Map(Object.entries(priorities))
    this.#priorityOf = topic => priorityByTopic.get(topic) ?? DEFAULT_PRIORITY
    this.#rackId = o.rackId
    this.#onSourceLost = o.onSourceLost
    this.#onThrottled = o.onThrottled ?? (() => undefined)
  }

  /** Puts the lane with the leaders known now; only when nothing of it is in flight. False while one of them has no leader. */
  place(lane: L): boolean {
    const leader = this.#target.leaderOf(lane.target.topic, lane.target.partition)
    if (!leader || leader.nodeId < 0 || !this.placeSource(lane)) return false
    const place = this.#placeOf(lane)
    const slot = place.slowUntil > performance.now() ? SLOW_SLOT : place.slot
    const appender = this.#appender(leader.nodeId, slot)
    if (place.appender !== appender) place.appender?.remove(lane)
    place.appender = appender
    appender.add(lane, this.#priorityOf(lane.source.topic))
    return true
  }

  /** The lane begins, or its leader moved. */
  placeSource(lane: L): boolean {
    const leader = this.#source.leaderOf(lane.source.topic, lane.source.partition)
    if (!leader || leader.nodeId < 0) return false
    const near = this.#near.of(lane, leader.nodeId)
    this.#fetchFrom(lane, near ?? leader.nodeId, near === undefined && this.#near.mayAsk(lane))
    return true
  }

  /** The lane is not served here any more. Only when nothing of it is in flight. */
  remove(lane: L): void {
    const place = this.#places.get(lane)
    place?.fetcher?.remove(lane)
    place?.appender?.remove(lane)
    this.#places.delete(lane)
    this.#near.forget(lane)
  }

  lanesFetchedFrom(nodeId: number): L[] {
    return [...this.#places].filter(([, place]) => place.fetcher?.nodeId === nodeId).map(([lane]) => lane)
  }

  lanesAppendedTo(nodeId: number): L[] {
    return [...this.#places].filter(([, place]) => place.appender?.nodeId === nodeId).map(([lane]) => lane)
  }

  /** Something can be sent, or fetched again. */
  kick(lane: L): void {
    const place = this.#places.get(lane)
    place?.appender?.kick(lane)
    place?.fetcher?.kick(lane)
  }

  async stopFetching(): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.#fetchers.values()].map(fetcher => fetcher.stop()))
  }

  stopAppending(): void {
    for (const appender of this.#appenders.values()) appender.stop()
  }

  #placeOf(lane: L): Place {
    let place = this.#places.get(lane)
    if (!place) {
      place = { fetcher: undefined, appender: undefined, slot: this.#nextSlot++ % CONNECTIONS_A_BROKER, slowUntil: 0 }
      this.#places.set(lane, place)
    }
    return place
  }

  #fetchFrom(lane: L, nodeId: number, askForNear: boolean): void {
    if (this.#stopped) return
    const place = this.#placeOf(lane)
    const fetcher = this.#fetcher(lane, nodeId, askForNear)
    if (place.fetcher !== fetcher) place.fetcher?.remove(lane)
    place.fetcher = fetcher
    fetcher.add(lane, this.#priorityOf(lane.source.topic))
  }

  /** One for lanes that ask for a replica nearby, one for those that read from this very broker; a session knows one position of a partition. */
  #fetcher(lane: L, nodeId: number, askForNear: boolean): SourceFetcher {
    const rackId = askForNear ? this.#rackId : undefined
    for (let copy = 0; ; copy++) {
      const key = `${nodeId}/${rackId === undefined ? 'here' : 'near'}/${copy}`
      const known = this.#fetchers.get(key)
      if (known?.seats.takes(lane)) return known
      if (known) continue
      const fetcher = new SourceFetcher({
        nodeId,
        cluster: this.#source,
        logger: this.#logger,
        settings: this.#settings,
        rackId,
        events: {
          lost: () => this.#lost(fetcher),
          throttled: throttleMs => this.#onThrottled({ role: 'source', nodeId, throttleMs }),
          redirected: (fetched, result) => this.#redirected(fetched as L, nodeId, result)
        }
      })
      this.#fetchers.set(key, fetcher)
      fetcher.start()
      return fetcher
    }
  }

  #appender(nodeId: number, slot: number): TargetAppender {
    const key = `${nodeId}/${slot}`
    let appender = this.#appenders.get(key)
    if (!appender) {
      appender = new TargetAppender({
        nodeId,
        cluster: this.#target,
        logger: this.#logger,
        events: {
          throttled: throttleMs => this.#onThrottled({ role: 'target', nodeId, throttleMs }),
          slow: lane => {
            this.#placeOf(lane as L).slowUntil = performance.now() + SLOW_FOR_MS
          }
        }
      })
      this.#appenders.set(key, appender)
    }
    return appender
  }

  /** A follower that is lost sends its lanes back to their leaders; what became of a leader is asked elsewhere. */
  #lost(fetcher: SourceFetcher): void {
    for (const lane of [...fetcher.seats.lanes] as L[]) {
      if (this.#near.follows(lane)) this.#backToLeader(lane)
    }
    this.#onSourceLost(fetcher.nodeId)
  }

  /** Follows the leader's advice, and takes no follower's word for anything but records. */
  #redirected(lane: FetchedLane & L, nodeId: number, result: FetchedPartition): boolean {
    const failed = result.errorCode !== 0 || result.divergingEpoch !== undefined
    if (this.#near.follows(lane)) {
      if (!failed) return false
      this.#backToLeader(lane)
      return true
    }
    if (failed || result.preferredReadReplica < 0 || result.preferredReadReplica === nodeId) return false
    this.#near.follow(lane, result.preferredReadReplica, performance.now(), () => void this.placeSource(lane))
    return this.placeSource(lane)
  }

  #backToLeader(lane: L): void {
    this.#logger.debug({ lane: lane.key }, 'a replica nearby cannot serve the lane, reading from the leader')
    this.#near.refuse(lane, performance.now(), () => void this.placeSource(lane))
    this.placeSource(lane)
  }
}
