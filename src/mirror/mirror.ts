import { EventEmitter } from 'eventemitter3'
import { TwinlogError, toTwinlogError } from '../errors.js'
import { childLogger, type Logger } from '../logger.js'
import { matches, type Selector, selectorText } from '../util/selector.js'
import { caughtUp } from './caught-up.js'
import type { MirrorEvents } from './events.js'
import type { Lane } from './lane.js'
import { MirrorSession, type SessionHost } from './mirror-session.js'
import { type MirrorOptions, type ResolvedMirrorOptions, resolveMirrorOptions } from './options.js'
import { MirrorStatus } from './status.js'
import type { Watermarks } from './watermarks.js'

const ALL_TOPICS = /.*/

/**
 * Copies topics from one cluster to another: every byte, header, time stamp and order, exactly once, from inside this process.
 * Any number of processes may run the same link: they share its lanes, and cannot damage each other's copy.
 *
 * MirrorMaker 2's counterpart is MirrorSourceConnector together with the group sync of MirrorCheckpointConnector.
 */
export class Mirror {
  readonly #options: ResolvedMirrorOptions
  readonly #logger: Logger
  readonly #emitter = new EventEmitter<MirrorEvents>()
  readonly #counters = { lost: 0, dropped: 0, throttled: 0 }
  /** What each lane failed with last: the same again, after another attempt, is no news. */
  readonly #failures = new Map<string, string>()
  #session: MirrorSession | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined
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

  /** A picture of this process's lanes now; immutable. */
  status(): MirrorStatus {
    const now = performance.now()
    const session = this.#session
    return new MirrorStatus({
      link: this.#options.link,
      lanes: [...(session?.lanes.lanes.values() ?? [])].map(lane => lane.status(now)),
      groups: session?.groupFreshness(now) ?? [],
      members: session?.members ?? 0,
      counters: this.#counters
    })
  }

  /**
   * Resolves when everything that was in the source at the call (committed, by default) is on the target, written down in the link's
   * state: lanes that other processes copy included.
   *
   * @throws TwinlogError TWINLOG_NOT_CAUGHT_UP after `timeoutMs` (default: none), or at once when a lane has failed or was stopped
   */
  async caughtUp(o: { timeoutMs?: number | undefined; signal?: AbortSignal | undefined } = {}): Promise<Watermarks> {
    if (!this.#session)
      throw new TwinlogError('TWINLOG_INVALID_STATE', 'this Mirror is not running: call start() first')
    const { isolation } = this.#options
    return caughtUp(this.#session, { isolation, timeoutMs: o.timeoutMs, signal: o.signal })
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
    const host: SessionHost = {
      emit: (event, payload) => void this.#emit(event, payload),
      warn: (message, error) => this.#warn(message, error),
      problem: error => this.#problem(error),
      isPaused: topic => this.#isPaused(topic),
      laneChanged: (lane, from, to) => this.#laneChanged(lane, from, to),
      count: (what, times = 1) => void (this.#counters[what] += times)
    }
    const session = new MirrorSession({ options: this.#options, logger: this.#logger, host })
    this.#session = session
    try {
      await session.start(signal)
    } catch (error) {
      this.#session = undefined
      await session.abandon()
      throw error
    }
  }

  async #stop(): Promise<void> {
    this.#session?.lanes.abort()
    await this.#starting?.catch(() => undefined)
    const session = this.#session
    if (!session) return
    await session.stop()
    this.#session = undefined
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
    if (to === 'caught-up' || to === 'stopped') this.#failures.delete(lane.key)
    if (to !== 'failed' || !error || this.#failures.get(lane.key) === error.message) return
    this.#failures.set(lane.key, error.message)
    this.#logger.error({ ...where, error }, 'lane failed')
    this.#emit('lane:failed', { ...where, error })
  }

  #setPaused(topics: Selector, paused: boolean): void {
    // A word about everything makes the earlier ones void.
    if (topics === ALL_TOPICS) this.#pauses.clear()
    const text = selectorText(topics)
    this.#pauses.delete(text)
    this.#pauses.set(text, { topics, paused })
    for (const lane of this.#session?.lanes.lanes.values() ?? []) {
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
