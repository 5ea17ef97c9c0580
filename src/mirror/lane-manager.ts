import { randomUUID } from 'node:crypto'
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
import { keyOf, LaneFactory } from './lane-factory.js'
import { LaneLauncher } from './lane-launcher.js'
import { LaneRouter } from './lane-router.js'
import { LaneRoutes, type TargetFacts } from './lane-routes.js'
import { LaneStarter } from './lane-starter.js'
import type { LaneStateName } from './lane-status.js'
import { LaneTaker } from './lane-taker.js'
import type { DroppedRecord } from './lane-troubles.js'
import { type LaneSpec, type LaneTopic, shareIdOf } from './lane-types.js'
import { LinkFencer } from './link-fencer.js'
import type { LinkBinding, LinkSession } from './link-session.js'
import { MetadataFeed } from './metadata-feed.js'
import type { ResolvedMirrorOptions } from './options.js'
import { BeatOwnership, type Ownership } from './ownership.js'
import { SourceDoctor } from './source-doctor.js'
import type { TopicTraits } from './topic-traits.js'

const STARTS_AT_ONCE = 32
/** A lane that goes to another process has so long to get what it holds to the target. */
const RELEASE_MS = 2_000

export type { LaneSpec } from './lane-types.js'

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
  events: LaneManagerEvents
}

/** All lanes of a Mirror: starts those that are this process's, brings back those that lost their way, keeps their checkpoints. */
export class LaneManager implements LaneHost {
  readonly lanes = new Map<string, Lane>()
  /** Name of this process in the state topic. */
  readonly process = randomUUID().slice(0, 13)
  /** Who owns lanes while they are not shared. */
  readonly beats: BeatOwnership
  readonly #o: LaneManagerOptions
  readonly #abort = new AbortController()
  readonly #router: LaneRouter
  readonly #launcher: LaneLauncher
  readonly #births: LaneBirths
  readonly #doctor: SourceDoctor
  readonly #factory: LaneFactory
  readonly #routes: LaneRoutes
  readonly #care: LaneCare
  readonly #checkpoints: CheckpointWriter
  readonly #deadLetters: DeadLetters | undefined
  readonly #gapWriters = new Map<string, GapWriter>()
  /** Every source partition that discovery has named, with the lanes that its transform has opened. */
  readonly #specs = new Map<string, LaneSpec[]>()
  readonly #releasing = new Set<Lane>()
  readonly #toldLosses = new Map<string, string>()
  #assigned: ReadonlySet<string> | 'all' = 'all'

  constructor(o: LaneManagerOptions) {
    this.#o = o
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
    const starter = new LaneStarter({ target, link, births, taker, ownership, process: this.process })
    const sourceFeed = new MetadataFeed(source)
    this.#births = births
    this.#launcher = new LaneLauncher({ source, target, starter, sourceFeed, places: this.#router })
    this.#doctor = new SourceDoctor({
      source,
      feed: sourceFeed,
      placeSource: lane => void this.#router.placeSource(lane)
    })
    this.#routes = new LaneRoutes({
      ensureTarget: (topic, from) => o.ensureTarget(topic, from),
      addRouted: spec => this.#addRouted(spec)
    })
    this.#factory = new LaneFactory({
      target,
      link,
      options,
      host: this,
      routes: this.#routes,
      hold: (bytes, frame) => this.#router.budget.hold(bytes, frame),
      signal: this.#abort.signal
    })
    this.#checkpoints = new CheckpointWriter({ lanes: this.lanes, link })
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

  /** Source partitions that can be shared out. */
  get shareIds(): string[] {
    return [...this.#specs].flatMap(([id, [main]]) => (main?.refused ? [] : [id]))
  }

  /** What discovery has found; resolves when each lane of this process is copying, waiting, stopped or failed. */
  async add(specs: LaneSpec[]): Promise<void> {
    for (const spec of specs) {
      const id = shareIdOf(spec.source)
      const before = this.#specs.get(id)
      if (before?.[0] && keyOf(before[0]) !== keyOf(spec)) this.#forget(spec.source)
      this.#routes.add(spec)
      const routed = before?.[0] && keyOf(before[0]) === keyOf(spec) ? before.slice(1) : []
      this.#specs.set(id, [spec, ...routed])
    }
    await this.#apply()
  }

  /** Source topics that are gone: nothing is left to copy from them. */
  retire(topics: { topic: string; topicId: string }[]): void {
    for (const [id, [main]] of [...this.#specs]) {
      if (!main || !topics.some(({ topicId }) => topicId === main.source.topicId)) continue
      this.#specs.delete(id)
      this.#forget(main.source)
    }
  }

  reconfigure(topic: string, traits: TopicTraits): void {
    for (const [id, specs] of this.#specs) {
      if (specs[0]?.source.topic !== topic) continue
      const changed = specs.map(spec =>
        spec.routed === true ? { ...spec, compacted: traits.compacted } : { ...spec, ...traits }
      )
      this.#specs.set(id, changed)
      for (const spec of changed) this.#respec(spec)
    }
  }

  /** What holds for the whole target has changed. */
  reconfigureAll(): void {
    for (const specs of this.#specs.values()) for (const spec of specs) if (!spec.refused) this.#respec(spec)
  }

  /** Which source partitions this process copies. Lanes that stay go on undisturbed; those that go hand over what they hold. */
  async assign(ids: ReadonlySet<string> | 'all'): Promise<void> {
    this.#assigned = ids
    for (const lane of [...this.lanes.values()]) if (!this.#isMine(lane.source)) void this.#release(lane)
    await this.#apply()
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

  /** Lanes of this link that another process copies, or would. */
  elsewhere(): LaneSpec[] {
    return [...this.#specs.values()].flat().filter(spec => !spec.refused && !this.#isMine(spec.source))
  }

  /** Lets what is in flight arrive, writes the last checkpoints, and lets go of the connections. */
  async stop(timeoutMs: number): Promise<void> {
    this.#checkpoints.stop()
    this.#care.stop()
    this.abort()
    await Promise.all([this.#router.stopFetching(), this.#launcher.ended()])
    const deadline = Date.now() + timeoutMs
    const busy = () => [...this.lanes.values()].some(lane => lane.active && !lane.needsRecovery && !lane.drained)
    while (busy() && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 5))
    await this.writeCheckpoints().catch((error: unknown) =>
      this.#o.logger.warn({ error }, 'the last checkpoints could not be written')
    )
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
    if (this.#releasing.has(lane)) return lane.stop('another process copies it now')
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
    const spec = this.#specOf(lane)
    if (!spec || spec.compacted || !(await this.#doctor.isCompacted(lane))) return true
    // Compaction was switched on while the lane was copied: from here on one owner at a time may plan around its holes.
    for (const own of this.#specs.get(shareIdOf(lane.source)) ?? []) this.#respec({ ...own, compacted: true })
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

  #isMine(source: LaneTopic): boolean {
    return this.#assigned === 'all' || this.#assigned.has(shareIdOf(source))
  }

  #ownsLanes(): boolean {
    for (const lane of this.lanes.values()) if (lane.epoch?.owner === this.process && !lane.needsRecovery) return true
    return false
  }

  #specOf(lane: Lane): LaneSpec | undefined {
    return this.#specs.get(shareIdOf(lane.source))?.find(spec => keyOf(spec) === lane.key)
  }

  /** Starts every lane that is this process's and is not there yet. */
  async #apply(): Promise<void> {
    const fresh: Lane[] = []
    for (const [id, specs] of [...this.#specs]) {
      const [main] = specs
      if (!main || !this.#isMine(main.source)) continue
      if (
        specs.length === 1 &&
        !main.refused &&
        !this.lanes.has(keyOf(main)) &&
        this.#o.options.transform(main.source.topic)
      ) {
        await this.#session.state.refresh()
        const known = await this.#routes.known(main, this.#session.state.lanes)
        for (const spec of known) this.#routes.add(spec)
        this.#specs.set(id, [main, ...known])
      }
      for (const spec of this.#specs.get(id) ?? []) {
        const lane = this.#make(spec)
        if (lane) fresh.push(lane)
      }
    }
    const queue = [...fresh]
    const worker = async () => {
      for (let lane = queue.shift(); lane; lane = queue.shift()) await this.#launcher.start(lane)
    }
    await Promise.all(Array.from({ length: Math.min(STARTS_AT_ONCE, fresh.length) }, worker))
  }

  /** The lane, if it has to be started. */
  #make(spec: LaneSpec): Lane | undefined {
    const key = keyOf(spec)
    const before = this.lanes.get(key)
    if (before && !this.#releasing.has(before)) return undefined
    if (before) this.#remove(before)
    const lane = this.#factory.make(spec)
    this.lanes.set(key, lane)
    if (this.#o.isPaused(spec.source.topic)) lane.pause()
    if (!spec.refused) return lane
    lane.fail(spec.refused)
    return undefined
  }

  /** A lane that a transform needs from now on: its beginning is written down when this resolves. */
  async #addRouted(spec: LaneSpec): Promise<void> {
    const id = shareIdOf(spec.source)
    const lane = this.#make(spec)
    if (!lane) return
    try {
      await this.#births.bear(lane)
    } catch (error) {
      this.#remove(lane)
      throw error
    }
    this.#specs.set(id, [...(this.#specs.get(id) ?? []), spec])
    void this.#launcher.start(lane)
  }

  #respec(spec: LaneSpec): void {
    const id = shareIdOf(spec.source)
    const specs = this.#specs.get(id) ?? []
    this.#specs.set(
      id,
      specs.map(known => (keyOf(known) === keyOf(spec) ? spec : known))
    )
    const lane = this.lanes.get(keyOf(spec))
    if (lane && this.#factory.reconfigure(lane, spec)) lane.replan()
  }

  /** No lane of this source partition goes on. */
  #forget(source: LaneTopic): void {
    this.#routes.forget(source)
    for (const lane of [...this.lanes.values()]) {
      if (shareIdOf(lane.source) !== shareIdOf(source)) continue
      lane.stop('its topic is gone')
      this.#remove(lane)
    }
  }

  /** What the lane holds goes out, its place is written down, then it is another process's. */
  async #release(lane: Lane): Promise<void> {
    if (this.#releasing.has(lane)) return
    this.#releasing.add(lane)
    lane.pause()
    const deadline = Date.now() + RELEASE_MS
    const busy = () => lane.state === 'paused' && !lane.needsRecovery && !lane.drained && !this.#isMine(lane.source)
    while (busy() && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 10))
    await this.writeCheckpoints().catch(() => undefined)
    if (this.lanes.get(lane.key) !== lane) return
    lane.stop('another process copies it now')
    this.#remove(lane)
    // It came back in the meantime.
    if (this.#isMine(lane.source)) await this.#apply()
  }

  #remove(lane: Lane): void {
    this.#releasing.delete(lane)
    this.#router.remove(lane)
    this.#gapWriters.delete(lane.key)
    this.#toldLosses.delete(lane.key)
    if (this.lanes.get(lane.key) === lane) this.lanes.delete(lane.key)
  }

  #sourceLost(nodeId: number): void {
    for (const lane of this.#router.lanesFetchedFrom(nodeId)) void this.#doctor.replaceSource(lane)
  }
}
