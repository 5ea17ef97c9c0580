import type { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { Logger } from '../logger.js'
import type { Gap } from '../lineage/gap-table.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import { laneKey } from '../lineage/state-keys.js'
import { CheckpointWriter } from './checkpoint-writer.js'
import { GapWriter } from './gap-writer.js'
import { Lane, type LaneHost } from './lane.js'
import { LaneLauncher } from './lane-launcher.js'
import { LaneRouter } from './lane-router.js'
import type { LaneStateName } from './lane-status.js'
import type { LaneTopic } from './lane-types.js'
import type { LinkBinding, LinkSession } from './link-session.js'
import { MetadataFeed } from './metadata-feed.js'
import { SourceDoctor } from './source-doctor.js'

/** Memory that all lanes together may hold between source and target. */
const BYTES_IN_FLIGHT = 64 << 20
const LANE_BUFFER_BYTES = 4 << 20
const COALESCE_BELOW_BYTES = 32 << 10
const STARTS_AT_ONCE = 32
/** What a batch may take at most, header included, below the broker's limit for uncompressed growth. */
const BATCH_BYTES = 1_000_000

export interface LaneSpec {
  source: LaneTopic
  target: LaneTopic
  maxBatchBytes: number
  /** Why this lane is not copied. */
  refused?: TwinlogError
  /** Begins only when it is resumed. */
  paused?: boolean
}

export interface LaneManagerEvents {
  stateChanged(lane: Lane, from: LaneStateName, to: LaneStateName): void
  gap(lane: Lane, error: TwinlogError): void
}

/** All lanes of a Mirror: starts them, brings back those that lost their way, keeps their checkpoints. */
export class LaneManager implements LaneHost {
  readonly lanes = new Map<string, Lane>()
  readonly #link: LinkBinding
  readonly #logger: Logger
  readonly #events: LaneManagerEvents
  readonly #router: LaneRouter
  readonly #launcher: LaneLauncher
  readonly #doctor: SourceDoctor
  readonly #checkpoints: CheckpointWriter
  readonly #gapWriters = new Map<string, GapWriter>()

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    link: LinkBinding
    logger: Logger
    events: LaneManagerEvents
  }) {
    this.#link = o.link
    this.#logger = o.logger
    this.#events = o.events
    this.#router = new LaneRouter({
      source: o.source,
      target: o.target,
      logger: o.logger,
      memoryFull: () => this.#bytes() >= BYTES_IN_FLIGHT,
      isWhole: lane => this.#doctor.isWhole(lane),
      onSourceLost: nodeId => this.#sourceLost(nodeId)
    })
    const sourceFeed = new MetadataFeed(o.source)
    this.#launcher = new LaneLauncher({ ...o, sourceFeed, places: this.#router })
    const placeSource = (lane: Lane) => void this.#router.placeSource(lane)
    this.#doctor = new SourceDoctor({ source: o.source, feed: sourceFeed, placeSource })
    this.#checkpoints = new CheckpointWriter({ lanes: this.lanes, link: o.link })
  }

  /** Ends all attempts to start lanes: the first step of a stop, which must not wait for what may never come. */
  abort(): void {
    this.#launcher.abort()
  }

  /** Adds lanes that are not known yet; resolves when each of them is copying, waiting, stopped or failed. */
  async add(specs: LaneSpec[]): Promise<void> {
    const fresh: Lane[] = []
    for (const spec of specs) {
      const key = laneKey({
        sourceTopicId: spec.source.topicId,
        sourcePartition: spec.source.partition,
        targetTopicId: spec.target.topicId,
        targetPartition: spec.target.partition
      })
      if (this.lanes.has(key)) continue
      const limits = {
        maxBatchBytes: Math.min(spec.maxBatchBytes, BATCH_BYTES),
        coalesceBelowBytes: COALESCE_BELOW_BYTES,
        bufferBytes: LANE_BUFFER_BYTES,
        producerIdExpirationMs: spec.refused ? 0 : this.#session.producerIdExpirationMs
      }
      const lane = new Lane({ key, source: spec.source, target: spec.target, host: this, limits })
      this.lanes.set(key, lane)
      if (spec.paused === true) lane.pause()
      if (spec.refused) lane.fail(spec.refused)
      else fresh.push(lane)
    }
    const queue = [...fresh]
    const worker = async () => {
      for (let lane = queue.shift(); lane; lane = queue.shift()) await this.#launcher.start(lane)
    }
    await Promise.all(Array.from({ length: Math.min(STARTS_AT_ONCE, fresh.length) }, worker))
  }

  /** Looks whether lanes that a move had closed were opened again. */
  async revisitStopped(): Promise<void> {
    const stopped = [...this.lanes.values()].filter(
      lane => lane.state === 'stopped' && lane.error?.code === 'TWINLOG_FENCED' && lane.settled
    )
    for (const lane of stopped) {
      const state = await this.#session.state.refreshLane(lane.key)
      if (state?.gate?.state !== 'opened') continue
      lane.reopen()
      await this.#launcher.start(lane)
    }
  }

  /** Lets what is in flight arrive, writes the last checkpoints, and lets go of the connections. */
  async stop(timeoutMs: number): Promise<void> {
    this.#checkpoints.stop()
    this.abort()
    await Promise.all([this.#router.stopFetching(), this.#launcher.ended()])
    const deadline = Date.now() + timeoutMs
    const busy = () => [...this.lanes.values()].some(lane => lane.active && !lane.needsRecovery && !lane.drained)
    while (busy() && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 5))
    await this.writeCheckpoints().catch((error: unknown) =>
      this.#logger.warn({ error }, 'the last checkpoints could not be written')
    )
    this.#router.stopAppending()
    for (const lane of this.lanes.values()) if (lane.state !== 'failed') lane.stop()
  }

  /** Everything acknowledged so far is in the state topic when this resolves. One writer at a time. */
  writeCheckpoints(): Promise<void> {
    return this.#checkpoints.write()
  }

  // ── LaneHost ──────────────────────────────────────────────────────────────────────────────────────────────────

  kick(lane: Lane): void {
    this.#router.kick(lane)
  }

  writeGaps(lane: Lane, epoch: LaneEpoch, gaps: Gap[]): Promise<void> {
    let writer = this.#gapWriters.get(lane.key)
    if (!writer) {
      writer = new GapWriter(this.#session.state, lane.key)
      this.#gapWriters.set(lane.key, writer)
    }
    return writer.write(epoch, gaps)
  }

  recover(lane: Lane, reason: TwinlogError): void {
    this.#logger.info({ lane: lane.key, reason }, 'lane stopped, asking the target where to go on')
    void this.#launcher.start(lane)
  }

  sourceMoved(lane: Lane): void {
    void this.#doctor.replaceSource(lane)
  }

  sourceOutOfRange(lane: Lane): void {
    void this.#doctor.judgeOutOfRange(lane).catch((error: unknown) => {
      this.#logger.info({ lane: lane.key, error }, 'cannot ask the source for its bounds yet')
    })
  }

  stateChanged(lane: Lane, from: LaneStateName, to: LaneStateName): void {
    this.#events.stateChanged(lane, from, to)
    if (
      to === 'failed' &&
      lane.error &&
      (lane.error.code === 'TWINLOG_GAP' || lane.error.code === 'TWINLOG_TRUNCATED')
    ) {
      this.#events.gap(lane, lane.error)
    }
  }

  // ── inner workings ────────────────────────────────────────────────────────────────────────────────────────────

  get #session(): LinkSession {
    return this.#link.session
  }

  #sourceLost(nodeId: number): void {
    for (const lane of this.#router.lanesFetchedFrom(nodeId)) void this.#doctor.replaceSource(lane)
  }

  #bytes(): number {
    let bytes = 0
    for (const lane of this.lanes.values()) bytes += lane.bytes
    return bytes
  }
}
