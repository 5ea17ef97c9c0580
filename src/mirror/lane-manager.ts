import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError, toTwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { offsetForLeaderEpochRequest } from '../kafka/requests/offset-for-leader-epoch.js'
import type { Logger } from '../logger.js'
import type { Gap } from '../lineage/gap-table.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import { laneKey } from '../lineage/state-keys.js'
import { TargetLog } from '../lineage/target-log.js'
import { loadCodec } from '../records/compression.js'
import { retry } from '../util/retry.js'
import { topicConfigs } from '../topics/target-topics.js'
import { GapWriter } from './gap-writer.js'
import { assertNotCompacted } from './lane-guard.js'
import { judgeOutOfRange, unknownEpoch } from './lane-errors.js'
import { Lane, type LaneHost, type LaneTopic } from './lane.js'
import { LaneRouter } from './lane-router.js'
import { LaneStarter } from './lane-starter.js'
import type { LaneStateName } from './lane-status.js'
import type { LinkBinding, LinkSession } from './link-session.js'
import { MetadataFeed } from './metadata-feed.js'

/** Memory that all lanes together may hold between source and target. */
const BYTES_IN_FLIGHT = 64 << 20
const LANE_BUFFER_BYTES = 4 << 20
const COALESCE_BELOW_BYTES = 32 << 10
const STARTS_AT_ONCE = 32
const CHECKPOINT_INTERVAL_MS = 500
/** A lane that cannot start for so long shows as waiting, and nobody waits for it. */
const BLOCKED_MS = 3_000
const WHOLE_CHECK_MS = 30_000
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
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #link: LinkBinding
  readonly #logger: Logger
  readonly #events: LaneManagerEvents
  readonly #router: LaneRouter
  readonly #starter: LaneStarter
  readonly #sourceFeed: MetadataFeed
  readonly #targetFeed: MetadataFeed
  readonly #abort = new AbortController()
  readonly #starting = new Set<Promise<void>>()
  readonly #wholeAt = new Map<string, number>()
  readonly #gapWriters = new Map<string, GapWriter>()
  #checkpointTimer: NodeJS.Timeout | undefined
  #checkpointing: Promise<void> = Promise.resolve()
  #nextCheckpoints: Promise<void> | undefined

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    link: LinkBinding
    logger: Logger
    events: LaneManagerEvents
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#link = o.link
    this.#logger = o.logger
    this.#events = o.events
    // Every lane that starts listens to it, and there may be thousands.
    setMaxListeners(0, this.#abort.signal)
    this.#starter = new LaneStarter(o)
    this.#sourceFeed = new MetadataFeed(o.source)
    this.#targetFeed = new MetadataFeed(o.target)
    this.#router = new LaneRouter({
      source: o.source,
      target: o.target,
      logger: o.logger,
      memoryFull: () => this.#bytes() >= BYTES_IN_FLIGHT,
      isWhole: lane => this.#isWhole(lane),
      onSourceLost: nodeId => this.#sourceLost(nodeId)
    })
    this.#checkpointTimer = setInterval(
      () => void this.writeCheckpoints().catch(() => undefined),
      CHECKPOINT_INTERVAL_MS
    )
  }

  /** Ends all attempts to start lanes: the first step of a stop, which must not wait for what may never come. */
  abort(): void {
    this.#abort.abort()
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
      for (let lane = queue.shift(); lane; lane = queue.shift()) await this.#start(lane)
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
      await this.#start(lane)
    }
  }

  /** Lets what is in flight arrive, writes the last checkpoints, and lets go of the connections. */
  async stop(timeoutMs: number): Promise<void> {
    clearInterval(this.#checkpointTimer)
    this.abort()
    await Promise.all([this.#router.stopFetching(), ...this.#starting])
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
    // One run and one that waits for it: in an outage callers share the waiting one instead of queueing up.
    this.#nextCheckpoints ??= this.#checkpointing
      .catch(() => undefined)
      .then(() => {
        this.#checkpointing = this.#nextCheckpoints ?? Promise.resolve()
        this.#nextCheckpoints = undefined
        return this.#writeDirty()
      })
    return this.#nextCheckpoints
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
    void this.#start(lane)
  }

  sourceMoved(lane: Lane): void {
    void this.#replaceSource(lane)
  }

  sourceOutOfRange(lane: Lane): void {
    void this.#judgeOutOfRange(lane).catch((error: unknown) => {
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

  /** Resolves when the lane has started, cannot start, or waits for something that may take long; then it goes on trying by itself. */
  #start(lane: Lane): Promise<void> {
    return new Promise(resolve => {
      const run = this.#startUntilSettled(lane, resolve).finally(() => {
        this.#starting.delete(run)
        resolve()
      })
      this.#starting.add(run)
    })
  }

  /** Tries for as long as the cause may pass; a lane that cannot go on says why and leaves the others alone. */
  async #startUntilSettled(lane: Lane, onBlocked: () => void): Promise<void> {
    const stayBackMs = lane.stayBackMs()
    if (stayBackMs > 0) await sleep(stayBackMs, undefined, { signal: this.#abort.signal }).catch(() => undefined)
    const since = Date.now()
    let last: TwinlogError | undefined
    const blocked = () => {
      lane.blocked(last ?? noAnswer(lane))
      onBlocked()
    }
    // One attempt alone may take longer: a silent broker fails nothing.
    const timer = setTimeout(blocked, BLOCKED_MS)
    timer.unref()
    const attempt = async () => {
      try {
        return await unlessAborted(this.#attempt(lane), this.#abort.signal)
      } catch (error) {
        if (error instanceof TwinlogError && error.retriable) {
          last = error
          if (Date.now() - since > BLOCKED_MS) blocked()
        }
        throw error
      }
    }
    try {
      const start = await retry(attempt, {
        retries: Number.POSITIVE_INFINITY,
        minTimeoutMs: 30,
        // Lanes wait for a new leader here: pauses are short against an election.
        maxTimeoutMs: 400,
        signal: this.#abort.signal
      })
      if (start.kind === 'closed') lane.stop(start.error.message, start.error)
      else {
        // The batch that straddles the recovered position is cut, whatever its codec.
        for (const codec of lane.heldCodecs()) await loadCodec(codec)
        lane.begin(start.at, start.fromState)
        if (!this.#router.place(lane)) lane.unreachable(noLeader(lane))
        this.#router.kick(lane)
      }
    } catch (error) {
      if (this.#abort.signal.aborted) return
      const cause = toTwinlogError(
        error,
        'TWINLOG_INTERNAL',
        `lane ${lane.source.topic}-${lane.source.partition} cannot start`
      )
      if (cause.code === 'TWINLOG_FENCED') lane.stop(cause.message, cause)
      else lane.fail(cause)
    } finally {
      clearTimeout(timer)
    }
  }

  async #attempt(lane: Lane) {
    const [source, target] = await Promise.all([
      this.#sourceFeed.refresh(lane.source.topic),
      this.#targetFeed.refresh(lane.target.topic)
    ])
    assertSameTopic(lane.source, source.topics.get(lane.source.topic)?.topicId, this.#source.alias)
    assertSameTopic(lane.target, target.topics.get(lane.target.topic)?.topicId, this.#target.alias)
    const start = await this.#starter.start(lane)
    // Without a leader of the source there is nothing to begin: it counts as an attempt, with its pauses and its reason.
    const leader = this.#source.leaderOf(lane.source.topic, lane.source.partition)
    if (start.kind === 'go' && (!leader || leader.nodeId < 0)) throw noLeader(lane)
    return start
  }

  async #judgeOutOfRange(lane: Lane): Promise<void> {
    await this.#replaceSource(lane)
    const position = lane.position
    const bounds = await new TargetLog(this.#source, lane.source.topic, lane.source.partition).bounds()
    const error = judgeOutOfRange(position, bounds, lane.source) ?? (await this.#judgeEpoch(lane))
    if (error && lane.active && lane.position === position) lane.fail(error)
  }

  /** The offset exists, but a source that lost its end and was written to again does not know the epoch it was copied under. */
  async #judgeEpoch(lane: Lane): Promise<TwinlogError | undefined> {
    const { topic, partition } = lane.source
    const { leaderEpoch, position } = lane
    const leader = this.#source.leaderOf(topic, partition)
    if (!leader || leader.nodeId < 0 || leaderEpoch < 0) return undefined
    const topics = [{ topic, partitions: [{ partition, currentLeaderEpoch: -1, leaderEpoch }] }]
    const answer = await this.#source.send({ node: leader.nodeId }, offsetForLeaderEpochRequest({ topics }))
    const result = answer.partitions[0]
    return result?.errorCode === 0 && result.leaderEpoch < 0
      ? unknownEpoch(lane.source, position, leaderEpoch)
      : undefined
  }

  /** Compaction can be switched on while a lane copies; two owners that read before and after it would plan differently. */
  async #isWhole(lane: Lane): Promise<boolean> {
    const { topic } = lane.source
    const checkedAt = this.#wholeAt.get(topic)
    if (checkedAt !== undefined && Date.now() - checkedAt < WHOLE_CHECK_MS) return true
    const configs = await topicConfigs(this.#source, [topic])
    assertNotCompacted(configs.get(topic)?.get('cleanup.policy')?.value ?? 'delete', topic)
    this.#wholeAt.set(topic, Date.now())
    return true
  }

  async #replaceSource(lane: Lane): Promise<void> {
    try {
      const metadata = await this.#sourceFeed.refresh(lane.source.topic)
      assertSameTopic(lane.source, metadata.topics.get(lane.source.topic)?.topicId, this.#source.alias)
      this.#router.placeSource(lane)
    } catch (error) {
      if (!(error instanceof TwinlogError)) return
      if (!error.retriable) lane.fail(error)
      else if (error.code === 'TWINLOG_UNKNOWN_TOPIC') lane.unreachable(error)
    }
  }

  #sourceLost(nodeId: number): void {
    for (const lane of this.#router.lanesFetchedFrom(nodeId)) void this.#replaceSource(lane)
  }

  async #writeDirty(): Promise<void> {
    const dirty = [...this.lanes.values()].filter(lane => lane.takeDirty())
    if (dirty.length === 0) return
    const entries = dirty.map(lane => ({
      lane: lane.key,
      checkpoint: {
        next: lane.acknowledgedNext,
        targetEnd: lane.targetEnd,
        sourceLeaderEpoch: lane.leaderEpoch,
        reached: lane.reached
      }
    }))
    try {
      await this.#session.state.writeCheckpoints(entries)
    } catch (error) {
      for (const lane of dirty) lane.markDirty()
      throw error
    }
  }

  #bytes(): number {
    let bytes = 0
    for (const lane of this.lanes.values()) bytes += lane.bytes
    return bytes
  }
}

function noLeader(lane: Lane): TwinlogError {
  const message = `a partition of lane ${lane.source.topic}-${lane.source.partition} has no leader`
  return new TwinlogError('TWINLOG_UNREACHABLE', message, {
    topic: lane.source.topic,
    partition: lane.source.partition,
    retriable: true
  })
}

function noAnswer(lane: Lane): TwinlogError {
  const message = `lane ${lane.source.topic}-${lane.source.partition} cannot start: nobody has answered for ${BLOCKED_MS} ms`
  return new TwinlogError('TWINLOG_TIMEOUT', message, {
    topic: lane.source.topic,
    partition: lane.source.partition,
    retriable: true
  })
}

/** What is waited for may never come: an abort ends the waiting, not the work. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new TwinlogError('TWINLOG_ABORTED', 'aborted while a lane was being started'))
    signal.addEventListener('abort', onAbort, { once: true })
    work.finally(() => signal.removeEventListener('abort', onAbort)).then(resolve, reject)
  })
}

function assertSameTopic(lane: LaneTopic, topicId: string | undefined, cluster: string): void {
  if (topicId === lane.topicId) return
  if (topicId === undefined || topicId === '' || topicId === 'AAAAAAAAAAAAAAAAAAAAAA') {
    throw new TwinlogError('TWINLOG_UNKNOWN_TOPIC', `topic ${lane.topic} is not on cluster ${cluster} (any more)`, {
      cluster,
      topic: lane.topic,
      partition: lane.partition,
      retriable: true
    })
  }
  throw new TwinlogError(
    'TWINLOG_TOPIC_RECREATED',
    `topic ${lane.topic} on ${cluster} was deleted and created again (id ${topicId}, the lane copies ${lane.topicId}): it is another log now`,
    { cluster, topic: lane.topic, partition: lane.partition }
  )
}
