import { setTimeout as sleep } from 'node:timers/promises'
import { EventEmitter } from 'eventemitter3'
import { TwinlogError, toTwinlogError } from '../errors.js'
import { ClusterClient } from '../kafka/cluster.js'
import { childLogger, type Logger } from '../logger.js'
import { GroupSync } from '../offsets/group-sync.js'
import { retry } from '../util/retry.js'
import { matches, type Selector, selectorText } from '../util/selector.js'
import { Discovery } from './discovery.js'
import type { MirrorEvents } from './events.js'
import type { Lane } from './lane.js'
import { LaneManager } from './lane-manager.js'
import { LinkBinding, renewProducerId } from './link-session.js'
import { type MirrorOptions, type ResolvedMirrorOptions, resolveMirrorOptions } from './options.js'
import { sourceEnds } from './source-ends.js'
import { MirrorStatus } from './status.js'
import { Watermarks } from './watermarks.js'

const STOP_TIMEOUT_MS = 10_000
const RENEWAL_CHECK_MS = 60 * 60 * 1000
const CAUGHT_UP_POLL_MS = 10
const DISCOVERY_RETRIES = 5
const ALL_TOPICS = /.*/

interface Running {
  source: ClusterClient
  target: ClusterClient
  lanes: LaneManager
  discovery: Discovery
  groups: GroupSync | undefined
  timers: NodeJS.Timeout[]
}

/**
 * Copies topics from one cluster to another: every byte, header, time stamp and order, exactly once, from inside this process.
 * Any number of processes may run the same link; they cannot damage each other's copy.
 *
 * MirrorMaker 2's counterpart is MirrorSourceConnector together with the group sync of MirrorCheckpointConnector.
 */
export class Mirror {
  readonly #options: ResolvedMirrorOptions
  readonly #logger: Logger
  readonly #emitter = new EventEmitter<MirrorEvents>()
  #running: Running | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined
  #discovering: Promise<void> = Promise.resolve()
  /** What the user paused and resumed, by the selector's text, oldest first: the last one that fits counts, for lanes found later too. */
  readonly #pauses = new Map<string, { topics: Selector; paused: boolean }>()

  /** Validates everything that can be judged without a cluster. @throws InvalidOptionError */
  constructor(options: MirrorOptions) {
    this.#options = resolveMirrorOptions(options)
    this.#logger = childLogger(this.#options.logger, { link: this.#options.link })
  }

  /**
   * Connects, binds the link, creates missing topics and starts the lanes. Resolves when every lane found at the start is
   * copying, waiting or failed (see `status()`); no matching topic is a `warning` event, and discovery goes on.
   *
   * @throws TwinlogError TWINLOG_UNREACHABLE, TWINLOG_UNAUTHORIZED, TWINLOG_INVALID_OPTION (both clusters are the same one),
   *   TWINLOG_INVALID_STATE (the link belongs to another source cluster), TWINLOG_UNSUPPORTED_BROKER
   */
  start(o: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    if (this.#stopping)
      return Promise.reject(
        new TwinlogError('TWINLOG_INVALID_STATE', 'this Mirror is stopping; create a new one after stop()')
      )
    this.#starting ??= this.#start(o.signal).catch((error: unknown) => {
      this.#starting = undefined
      throw toTwinlogError(error, 'TWINLOG_INTERNAL', 'the Mirror cannot start')
    })
    return this.#starting
  }

  /** Drains what is in flight, writes the last checkpoints, closes. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined
      this.#starting = undefined
    })
    return this.#stopping
  }

  /** Stops fetching for the lanes of these topics (all by default); what was fetched still goes out. */
  pause(topics: Selector = ALL_TOPICS): void {
    this.#setPaused(topics, true)
  }

  resume(topics: Selector = ALL_TOPICS): void {
    this.#setPaused(topics, false)
  }

  /** A picture of all lanes now; immutable. */
  status(): MirrorStatus {
    const now = Date.now()
    const lanes = [...(this.#running?.lanes.lanes.values() ?? [])].map(lane => lane.status(now))
    return new MirrorStatus({ link: this.#options.link, lanes, groups: this.#running?.groups?.freshness(now) ?? [] })
  }

  /**
   * Resolves when everything that was committed in the source at the call is on the target, written down in the link's state.
   *
   * @throws TwinlogError TWINLOG_NOT_CAUGHT_UP after `timeoutMs` (default: none), or at once when a lane has failed or was stopped
   */
  async caughtUp(o: { timeoutMs?: number | undefined; signal?: AbortSignal | undefined } = {}): Promise<Watermarks> {
    const running = this.#running
    if (!running) throw new TwinlogError('TWINLOG_INVALID_STATE', 'this Mirror is not running: call start() first')
    const deadline = o.timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + o.timeoutMs
    // A control connection that was cut says nothing about the copy.
    await retry(() => this.#discover(running), { retries: DISCOVERY_RETRIES, signal: o.signal })
    const at = new Date()
    const lanes = [...running.lanes.lanes.values()]
    const ends = await sourceEnds(
      running.source,
      lanes.map(lane => lane.source)
    )
    const wanted = lanes.map((lane, index) => ({ lane, end: ends[index] ?? 0n }))
    for (const { lane, end } of wanted) lane.sourceEndIs(end)
    for (;;) {
      if (o.signal?.aborted === true) throw new TwinlogError('TWINLOG_ABORTED', 'caughtUp() was aborted by the caller')
      const behind = wanted.find(({ lane, end }) => lane.reached < end || lane.needsRecovery)
      const dead = wanted.find(({ lane }) => lane.state === 'failed' || lane.state === 'stopped')
      if (dead) throw notCaughtUp(dead.lane, dead.end)
      if (!behind) break
      if (Date.now() > deadline) throw notCaughtUp(behind.lane, behind.end)
      await sleep(CAUGHT_UP_POLL_MS)
    }
    await running.lanes.writeCheckpoints()
    return new Watermarks(
      at,
      wanted.map(({ lane, end }) => ({
        topic: lane.source.topic,
        partition: lane.source.partition,
        sourceEnd: end,
        targetTopic: lane.target.topic,
        targetPartition: lane.target.partition,
        targetEnd: lane.targetEnd
      }))
    )
  }

  on<E extends keyof MirrorEvents>(event: E, listener: MirrorEvents[E]): this {
    this.#emitter.on(event, listener as never)
    return this
  }

  once<E extends keyof MirrorEvents>(event: E, listener: MirrorEvents[E]): this {
    this.#emitter.once(event, listener as never)
    return this
  }

  off<E extends keyof MirrorEvents>(event: E, listener: MirrorEvents[E]): this {
    this.#emitter.off(event, listener as never)
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #start(signal: AbortSignal | undefined): Promise<void> {
    const { link } = this.#options
    const source = new ClusterClient(this.#options.source, { logger: this.#logger })
    const target = new ClusterClient(this.#options.target, { logger: this.#logger })
    try {
      await Promise.all([source.connect({ signal }), target.connect({ signal })])
      if (source.clusterId === target.clusterId) {
        throw new TwinlogError(
          'TWINLOG_INVALID_OPTION',
          `mirror.target: ${target.alias} is the same cluster as the source ${source.alias} (cluster id ${source.clusterId}): topics would be copied into themselves`
        )
      }
      const binding = new LinkBinding({ source, target, link, logger: this.#logger })
      await binding.check()
      const lanes = new LaneManager({
        source,
        target,
        link: binding,
        logger: this.#logger,
        events: {
          stateChanged: (lane, from, to) => this.#laneChanged(lane, from, to),
          gap: (lane, error) =>
            this.#emit('lane:gap', { topic: lane.source.topic, partition: lane.source.partition, error })
        }
      })
      const discovery = new Discovery({
        source,
        target,
        options: this.#options,
        beforeWriting: () => binding.open(),
        events: {
          created: (topic, partitions) => this.#emit('topic:created', { topic, partitions }),
          grown: (topic, partitions) => this.#emit('topic:grown', { topic, partitions }),
          refused: (topic, error) => this.#warn(`topic ${topic} is not copied: ${error.message}`, error),
          missing: error => this.#warn(error.message, error)
        }
      })
      const running: Running = { source, target, lanes, discovery, groups: undefined, timers: [] }
      this.#running = running
      await this.#discover(running)
      running.groups = this.#options.syncGroups ? this.#groupSync(running) : undefined
      running.groups?.start()
      const every = (ms: number, work: () => Promise<unknown>) =>
        setInterval(() => void work().catch((error: unknown) => this.#problem(error)), ms)
      running.timers.push(
        every(this.#options.discoveryIntervalMs, () => this.#discover(running)),
        every(RENEWAL_CHECK_MS, async () => binding.opened && renewProducerId(target, binding.opened.state))
      )
    } catch (error) {
      await this.#running?.lanes.stop(0).catch(() => undefined)
      this.#running = undefined
      source.destroy()
      target.destroy()
      throw error
    }
  }

  async #stop(): Promise<void> {
    this.#running?.lanes.abort()
    await this.#starting?.catch(() => undefined)
    const running = this.#running
    if (!running) return
    for (const timer of running.timers) clearInterval(timer)
    await running.groups?.stop()
    await this.#discovering.catch(() => undefined)
    await running.lanes.stop(STOP_TIMEOUT_MS)
    this.#running = undefined
    await Promise.all([running.source.close(), running.target.close()])
  }

  /** One discovery at a time; a call during one waits for a look that began after it. */
  #discover(running: Running): Promise<void> {
    const run = this.#discovering
      .catch(() => undefined)
      .then(async () => {
        if (this.#running !== running || this.#stopping) return
        const specs = await running.discovery.newLanes()
        await running.lanes.add(specs.map(spec => ({ ...spec, paused: this.#isPaused(spec.source.topic) })))
        await running.lanes.revisitStopped()
      })
    this.#discovering = run
    return run
  }

  #groupSync(running: Running): GroupSync {
    return new GroupSync({
      source: running.source,
      target: running.target,
      link: this.#options.link,
      logger: this.#logger,
      settle: () => running.lanes.writeCheckpoints(),
      events: {
        synced: event => this.#emit('group:synced', event),
        diverged: event => this.#emit('group:diverged', event)
      }
    })
  }

  #laneChanged(lane: Lane, from: Lane['state'], to: Lane['state']): void {
    const { why, error } = lane.status()
    const where = { topic: lane.source.topic, partition: lane.source.partition }
    this.#logger.debug({ ...where, from, to, why }, 'lane state')
    this.#emit('lane:state', {
      ...where,
      from,
      to,
      ...(why === undefined ? {} : { why }),
      ...(error === undefined ? {} : { error })
    })
    if (to !== 'failed' || !error) return
    this.#logger.error({ ...where, error }, 'lane failed')
    this.#emit('lane:failed', { ...where, error })
  }

  #setPaused(topics: Selector, paused: boolean): void {
    // A word about everything makes the earlier ones void.
    if (topics === ALL_TOPICS) this.#pauses.clear()
    const text = selectorText(topics)
    this.#pauses.delete(text)
    this.#pauses.set(text, { topics, paused })
    for (const lane of this.#running?.lanes.lanes.values() ?? []) {
      if (!selects(topics, lane.source.topic)) continue
      if (paused) lane.pause()
      else lane.resume()
    }
  }

  #isPaused(topic: string): boolean {
    return [...this.#pauses.values()].findLast(({ topics }) => selects(topics, topic))?.paused ?? false
  }

  #warn(message: string, error?: TwinlogError): void {
    this.#logger.warn({ error }, message)
    this.#emit('warning', { message, ...(error === undefined ? {} : { error }) })
  }

  /** A listener that throws must not look like a failure of the copy. */
  #emit<E extends keyof MirrorEvents>(event: E, payload: Parameters<MirrorEvents[E]>[0]): boolean {
    try {
      return (this.#emitter as unknown as EventEmitter).emit(event, payload)
    } catch (error) {
      this.#logger.error({ event, error: String(error) }, 'a listener of this Mirror has thrown')
      return true
    }
  }

  #problem(error: unknown): void {
    const known = toTwinlogError(error, 'TWINLOG_INTERNAL', 'background work of the Mirror failed')
    if (known.retriable) this.#logger.info({ error: known }, 'background work failed, it will be tried again')
    else if (!this.#emit('error', known)) this.#logger.error({ error: known }, 'background work failed')
  }
}

/** Without a selector everything is meant, internal topics that were named in `topics` included. */
const selects = (topics: Selector, topic: string) => topics === ALL_TOPICS || matches(topics, topic)

function notCaughtUp(lane: Lane, end: bigint): TwinlogError {
  const { state, why } = lane.status()
  return new TwinlogError(
    'TWINLOG_NOT_CAUGHT_UP',
    `lane ${lane.source.topic}-${lane.source.partition} is ${state}${why === undefined ? '' : ` (${why})`} at source offset ${lane.reached}, the source ended at ${end}`,
    { topic: lane.source.topic, partition: lane.source.partition, offset: lane.reached, cause: lane.error }
  )
}
