import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { Logger } from '../logger.js'
import type { Gap } from '../lineage/gap-table.js'
import { BeatLog } from '../lineage/beat-log.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import { CheckpointWriter } from './checkpoint-writer.js'
import { DeadLetters } from './dead-letters.js'
import { GapWriter } from './gap-writer.js'
import type { Lane, LaneHost } from './lane.js'
import { LaneBirths } from './lane-births.js'
import { LaneCare } from './lane-care.js'
import { LaneFactory } from './lane-factory.js'
import { LaneLauncher } from './lane-launcher.js'
import { LaneRouter } from './lane-router.js'
import { LaneRoutes, type TargetFacts } from './lane-routes.js'
import { LaneSet } from './lane-set.js'
import { LaneStarter } from './lane-starter.js'
import type { LaneStateName } from './lane-status.js'
import { LaneTaker } from './lane-taker.js'
import type { DroppedRecord } from './lane-troubles.js'
import type { LaneTopic } from './lane-types.js'
import { LinkFencer } from './link-fencer.js'
import type { LinkBinding, LinkSession } from './link-session.js'
import { MetadataFeed } from './metadata-feed.js'
import type { ResolvedMirrorOptions } from './options.js'
import { BeatOwnership, type Ownership } from './ownership.js'
import type { MirrorSchemas } from './schemas/mirror-schemas.js'
import { SourceDoctor } from './source-doctor.js'

const STARTS_AT_ONCE = 32

export interface LaneManagerEvents {
  stateChanged(lane: Lane, from: LaneStateName, to: LaneStateName): void
  /** Told once for each loss. */
  lost(lane: Lane, error: TwinlogError): void
  dropped(lane: Lane, record: DroppedRecord, deadLetterTopic: string | undefined): void
  throttled(role: 'source' | 'target', nodeId: number, throttleMs: number): void
}

export interface LaneManagerOptions {
  source: ClusterClient
  target: ClusterClient
  link: LinkBinding
  options: ResolvedMirrorOptions
  logger: Logger
  /** Whether a lane of one owner is left to somebody else; undefined: signs of life in the state topic decide. */
  ownership: (lane: Lane, owner: string | undefined) => Promise<string | undefined> | undefined
  ensureTarget(topic: string, source: LaneTopic): Promise<TargetFacts>
  /** Whether the user has paused the topic. */
  isPaused(topic: string): boolean
  schemas?: MirrorSchemas | undefined
  events: LaneManagerEvents
}

/** All lanes of a Mirror: starts those that are this process's, brings back those that lost their way, keeps their checkpoints. */
export class LaneManager implements LaneHost {
  readonly set: LaneSet
  /** Name of this process in the state topic. */
  readonly process = randomUUID().slice(0, 13)
  /** Who owns lanes while they are not shared. */
  readonly beats: BeatOwnership
  readonly #o: LaneManagerOptions
  readonly #abort = new AbortController()
  readonly #router: LaneRouter
  readonly #launcher: LaneLauncher
  readonly #doctor: SourceDoctor
  readonly #care: LaneCare
  readonly #checkpoints: CheckpointWriter
  readonly #deadLetters: DeadLetters | undefined
  readonly #gapWriters = new Map<string, GapWriter>()
  readonly #toldLosses = new Map<string, string>()

  constructor(o: LaneManagerOptions) {
    this.#o = o
    // Every transform and dead letter that is waited for listens to it.
    setMaxListeners(0, this.#abort.signal)
    const { source, target, link, logger, options } = o
    this.#router = new LaneRouter({
      source,
      target,
      logger,
      limits: options.limits,
      isolation: options.isolation,
      rackId: options.rackId,
      onSourceLost: nodeId => this.#sourceLost(nodeId),
      onThrottled: event => o.events.throttled(event.role, event.nodeId, event.throttleMs)
    })
    this.beats = new BeatOwnership({
      process: this.process,
      link: options.link,
      log: new BeatLog(target),
      ownsLanes: () => this.#ownsLanes()
    })
    const fencer = new LinkFencer({ target, link: options.link, logger })
    const announce = () => this.beats.announce()
    const taker = new LaneTaker({ target, link, fencer, process: this.process, announce, logger })
    const births = new LaneBirths({ source, target, link, taker, start: options.start })
    const ownership: Ownership = {
      refusal: (lane, owner) => o.ownership(lane, owner) ?? this.beats.refusal(lane, owner)
    }
    const starter = new LaneStarter({
      target,
      link,
      births,
      taker,
      ownership,
      process: this.process,
      gapsWritten: lane => this.#gapWriters.get(lane.key)?.settled() ?? Promise.resolve()
    })
    const sourceFeed = new MetadataFeed(source)
    this.#launcher = new LaneLauncher({ source, target, starter, sourceFeed, places: this.#router })
    this.#doctor = new SourceDoctor({
      source,
      feed: sourceFeed,
      placeSource: lane => void this.#router.placeSource(lane)
    })
    const routes = new LaneRoutes({
      ensureTarget: (topic, from) => o.ensureTarget(topic, from),
      addRouted: spec => this.set.addRouted(spec)
    })
    const factory = new LaneFactory({
      target,
      link,
      options,
      host: this,
      routes,
      hold: (bytes, frame) => this.#router.budget.hold(bytes, frame),
      signal: this.#abort.signal,
      schemas: o.schemas
    })
    this.set = new LaneSet(routes, {
      make: spec => factory.make(spec),
      start: lanes => this.#startAll(lanes),
      bear: async lane => void (await births.bear(lane)),
      reconfigure: (lane, spec) => factory.reconfigure(lane, spec),
      removed: lane => this.#removed(lane),
      writeCheckpoints: () => this.writeCheckpoints(),
      isPaused: topic => o.isPaused(topic),
      isTransformed: topic => options.transform(topic) !== undefined,
      bornLanes: async () => {
        await this.#session.state.refresh()
        return this.#session.state.lanes
      }
    })
    this.#checkpoints = new CheckpointWriter({ target, lanes: this.lanes, link })
    this.#care = new LaneCare({
      source,
      lanes: this.lanes,
      start: lane => void this.#launcher.start(lane),
      logger
    })
    const { onRecordError } = options
    this.#deadLetters =
      typeof onRecordError === 'string'
        ? undefined
        : new DeadLetters({
            target,
            link: options.link,
            sourceAlias: source.alias,
            topic: onRecordError.deadLetterTopic,
            logger
          })
  }

  /** Ends all attempts to start lanes: the first step of a stop, which must not wait for what may never come. */
  abort(): void {
    this.#abort.abort()
    this.#launcher.abort()
  }

  get lanes(): ReadonlyMap<string, Lane> {
    return this.set.lanes
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
    this.#care.stop()
    this.abort()
    await Promise.all([this.#router.stopFetching(), this.#launcher.ended()])
    const deadline = performance.now() + timeoutMs
    const busy = () => [...this.lanes.values()].some(lane => lane.active && !lane.needsRecovery && !lane.drained)
    while (busy() && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, 5))
    const last = timeoutMs > 0 ? this.#checkpoints.writeLast() : this.writeCheckpoints()
    await last.catch((error: unknown) => this.#o.logger.warn({ error }, 'the last checkpoints could not be written'))
    await this.beats.stop()
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
    if (this.set.isReleasing(lane)) return lane.stop('another process copies it now')
    this.#o.logger.info({ lane: lane.key, reason }, 'lane stopped, asking the target where to go on')
    void this.#launcher.start(lane)
  }

  sourceMoved(lane: Lane): void {
    void this.#doctor.replaceSource(lane)
  }

  sourceOutOfRange(lane: Lane): void {
    void this.#doctor.judgeOutOfRange(lane).catch((error: unknown) => {
      this.#o.logger.info({ lane: lane.key, error }, 'cannot ask the source for its bounds yet')
    })
  }

  async mayHaveHoles(lane: Lane): Promise<boolean> {
    const spec = this.set.specOf(lane)
    if (!spec || spec.compacted || !(await this.#doctor.isCompacted(lane))) return true
    // Compaction was switched on while the lane was copied: from here on one owner at a time may plan around its holes.
    this.set.compacted(lane)
    return false
  }

  lost(lane: Lane, error: TwinlogError): void {
    if (this.#toldLosses.get(lane.key) === error.message) return
    this.#toldLosses.set(lane.key, error.message)
    this.#o.events.lost(lane, error)
  }

  async dropped(lane: Lane, record: DroppedRecord): Promise<void> {
    const { topic, partition } = lane.source
    await this.#deadLetters?.write(
      { topic, partition, offset: record.offset, record: record.record, raw: record.raw, error: record.error },
      { signal: this.#abort.signal }
    )
    const { onRecordError } = this.#o.options
    this.#o.events.dropped(lane, record, typeof onRecordError === 'string' ? undefined : onRecordError.deadLetterTopic)
  }

  stateChanged(lane: Lane, from: LaneStateName, to: LaneStateName): void {
    this.#o.events.stateChanged(lane, from, to)
  }

  // ── inner workings ────────────────────────────────────────────────────────────────────────────────────────────

  get #session(): LinkSession {
    return this.#o.link.session
  }

  #ownsLanes(): boolean {
    for (const lane of this.lanes.values()) if (lane.epoch?.owner === this.process && !lane.needsRecovery) return true
    return false
  }

  async #startAll(lanes: Lane[]): Promise<void> {
    const queue = [...lanes]
    const worker = async () => {
      for (let lane = queue.shift(); lane; lane = queue.shift()) await this.#launcher.start(lane)
    }
    await Promise.all(Array.from({ length: Math.min(STARTS_AT_ONCE, lanes.length) }, worker))
  }

  #removed(lane: Lane): void {
    this.#router.remove(lane)
    this.#gapWriters.delete(lane.key)
    this.#toldLosses.delete(lane.key)
  }

  #sourceLost(nodeId: number): void {
    for (const lane of this.#router.lanesFetchedFrom(nodeId)) void this.#doctor.replaceSource(lane)
  }
}
