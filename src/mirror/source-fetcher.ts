import type { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { BrokerConnection } from '../kafka/connection.js'
import type { FramePool } from '../kafka/frame-pool.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { type FetchedPartition, fetchRequest, type FetchResponse } from '../kafka/requests/fetch.js'
import { watchLeaders } from '../lineage/leader-watch.js'
import type { Logger } from '../logger.js'
import { type ByteBudget, SMALLEST_ANSWER_BYTES } from './byte-budget.js'
import { FetchSession, SESSION_ERRORS } from './fetch-session.js'
import type { FetchedLane } from './fetched-lane.js'
import { LaneDigester } from './lane-digester.js'
import type { ByteRate } from './rate-limit.js'
import { SourceSeats } from './source-seats.js'
import type { WorkSlices } from './work-slices.js'

const LARGEST_ANSWER_BYTES = 8 << 20
/** Two lanes' worth: a frame is soon used up. More is asked for at once only where the way is long. */
const USUAL_ANSWER_BYTES = 2 << 20
const LONG_WAY_MS = 20
/** Long poll while every lane takes part; shorter while one of them waits for room, so that it is asked for again soon. */
const POLL_MS = 500
/** A link that is dead on one side must be noticed soon, a slow one that carries megabytes must not be taken for dead. */
const ANSWER_GRACE_MS = 8_000
const SLOWEST_BYTES_PER_MS = 500
const BUSY_POLL_MS = 10
const SHORTEST_POLL_MS = 1
const RETRY_MS = 100
/** Between two small answers: thousands of lanes with a record now and then share a request. */
const GATHER_MS = 4
const SMALL_ANSWER_BYTES = 64 << 10
/** A broker that is this late with its answer may have lost its lanes to another one. */
const SILENCE_MS = 1_000
const REPLICA_SILENCE_MS = 4_000
/** What all fetchers of a Mirror share. */
export interface FetchSettings {
  isolation: 'read_committed' | 'read_uncommitted'
  budget: ByteBudget
  rate: ByteRate
  frames: FramePool
  slices: WorkSlices
}

export interface FetcherEvents {
  /** The broker does not answer: leaders may have moved. */
  lost(error: unknown): void
  throttled(throttleMs: number): void
  /** True: it has been taken care of, the lane must not hear of it. */
  redirected(lane: FetchedLane, result: FetchedPartition): boolean
}

/**
 * Fetches for all lanes that are read from one broker, over a connection of its own, in an incremental session. What arrives is read
 * and planned beside the fetching: a lane that takes its time is left out meanwhile, and the others go on.
 */
export class SourceFetcher {
  readonly nodeId: number
  readonly seats: SourceSeats
  readonly #cluster: ClusterClient
  readonly #logger: Logger
  readonly #settings: FetchSettings
  readonly #events: FetcherEvents
  readonly #rackId: string | undefined
  readonly #session = new FetchSession()
  readonly #digester: LaneDigester
  readonly #offRoom: () => void
  #connection: BrokerConnection | undefined
  #stopped = false
  #wake: (() => void) | undefined
  #endPause: (() => void) | undefined
  #loop: Promise<void> | undefined
  #answerBytes = USUAL_ANSWER_BYTES
  #contended = false

  constructor(o: {
    nodeId: number
    cluster: ClusterClient
    logger: Logger
    settings: FetchSettings
    events: FetcherEvents
    /** Sent along: the broker may then name a replica that is nearer. */
    rackId?: string | undefined
  }) {
    this.nodeId = o.nodeId
    this.#cluster = o.cluster
    this.#logger = o.logger
    this.#settings = o.settings
    this.#events = o.events
    this.#rackId = o.rackId
    this.#digester = new LaneDigester({ ...o.settings, done: lane => this.kick(lane) })
    this.seats = new SourceSeats({ session: this.#session, budget: o.settings.budget })
    this.#offRoom = o.settings.budget.onRoom(() => this.#wake?.())
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /** The lane is read from here, or begins again. */
  add(lane: FetchedLane, priority = 1): void {
    this.seats.add(lane, priority)
    this.#wake?.()
  }

  remove(lane: FetchedLane): void {
    this.seats.remove(lane)
  }

  /** The lane may want something else than before. */
  kick(lane: FetchedLane): void {
    this.seats.touch(lane)
    this.#wake?.()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#offRoom()
    this.#connection?.destroy()
    this.#wake?.()
    this.#endPause?.()
    await this.#loop
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#step()
      } catch (error) {
        if (this.#stopped) return
        this.#logger.info({ error, nodeId: this.nodeId }, 'fetching from a source broker failed, trying again')
        this.#connection?.destroy(error as TwinlogError)
        this.#connection = undefined
        this.#session.lost()
        this.#events.lost(error)
        await this.#pause(RETRY_MS)
      }
    }
  }

  async #step(): Promise<void> {
    const { budget, rate } = this.#settings
    const now = performance.now()
    this.seats.review(now, this.#contended)
    if (this.#session.size === 0)
      return this.#idle(this.seats.nextMs(now, { shortest: BUSY_POLL_MS, longest: POLL_MS }))
    const waitMs = rate.waitMs(SMALLEST_ANSWER_BYTES)
    if (waitMs > 0) return this.#pause(Math.min(waitMs, POLL_MS))
    if (budget.room < SMALLEST_ANSWER_BYTES) return this.#idle(POLL_MS)
    if (!this.#connection || this.#connection.closed) {
      this.#session.lost()
      this.#connection = await this.#cluster.openConnection(this.nodeId, { frames: this.#settings.frames })
      if (this.#stopped) return this.#connection.destroy()
    }
    await this.#fetch(this.#connection)
  }

  async #fetch(connection: BrokerConnection): Promise<void> {
    const { budget, rate, slices } = this.#settings
    const maxBytes = this.#bytesToAskFor()
    const unreserve = budget.reserve(maxBytes)
    const { topics, session } = this.#session.next()
    const pending = this.#session.pending
    const shortest = pending ? SHORTEST_POLL_MS : BUSY_POLL_MS
    const maxWaitMs = pending
      ? SHORTEST_POLL_MS
      : Math.ceil(this.seats.nextMs(performance.now(), { shortest, longest: POLL_MS }))
    const { isolation } = this.#settings
    const request = fetchRequest({
      maxWaitMs,
      minBytes: 1,
      maxBytes,
      isolation,
      rackId: this.#rackId,
      session,
      topics
    })
    const sentAt = performance.now()
    const stopWatch = this.#watchSilence(connection)
    let answer: FetchResponse
    try {
      answer = await connection.send(request, {
        timeoutMs: POLL_MS + ANSWER_GRACE_MS + maxBytes / SLOWEST_BYTES_PER_MS
      })
    } finally {
      stopWatch()
      unreserve()
    }
    if (this.#stopped) return
    if (!this.#session.answered(answer)) {
      // The session is gone, not the broker.
      if (SESSION_ERRORS.has(answer.errorCode)) return
      throw kafkaError(answer.errorCode, `source broker ${this.nodeId} refused to be fetched from`, {
        cluster: this.#cluster.alias
      })
    }
    const bytes = answer.partitions.reduce((sum, { records }) => sum + records.length, 0)
    rate.spend(bytes)
    this.#learn(bytes, maxBytes, performance.now() - sentAt)
    await this.#take(answer)
    if (answer.throttleMs > 0) {
      this.#events.throttled(answer.throttleMs)
      await this.#pause(answer.throttleMs)
    } else if (bytes > 0 && bytes < SMALL_ANSWER_BYTES && !this.#contended) {
      await this.#pause(GATHER_MS - (performance.now() - sentAt))
    }
    // What was read without waiting for anything has a new position by now, and stays in the session.
    await slices.turn()
  }

  /** Gives each lane what is its own; returns when all have begun with it. */
  async #take(answer: FetchResponse): Promise<void> {
    const { budget, frames, slices } = this.#settings
    const first = answer.partitions.find(result => result.records.length > 0)
    const frame = first && frames.leaseOf(first.records)
    if (frame) budget.charge(frame)
    for (const result of answer.partitions) {
      const seat = this.seats.at(result.topicId, result.partition)
      const asked = this.#session.asked(result.topicId, result.partition)
      if (!seat || !asked) continue
      if (result.errorCode !== 0 || result.preferredReadReplica >= 0 || result.divergingEpoch) {
        if (this.#events.redirected(seat.lane, result)) continue
        if (result.errorCode !== 0) this.seats.rest(seat, performance.now())
      }
      if (result.errorCode === 0) this.seats.heard(seat, result)
      if (result.records.length === 0) {
        this.#digester.note(seat, result, asked.fetchOffset)
        continue
      }
      await slices.turn()
      if (this.#stopped) break
      void this.#digester.digest(seat, result, frame, asked.fetchOffset)
    }
    frame?.release()
  }

  #bytesToAskFor(): number {
    const { budget, rate } = this.#settings
    const most = budget.scarce ? SMALLEST_ANSWER_BYTES : Math.min(this.#answerBytes, budget.room / 2, rate.available)
    return Math.max(SMALLEST_ANSWER_BYTES, Math.floor(most))
  }

  #learn(bytes: number, asked: number, tookMs: number): void {
    const full = bytes >= asked * 0.75
    this.#contended = full || this.#settings.budget.scarce
    if (!full || asked < this.#answerBytes) return
    const factor = tookMs > LONG_WAY_MS ? 2 : 0.5
    this.#answerBytes = Math.min(LARGEST_ANSWER_BYTES, Math.max(USUAL_ANSWER_BYTES, this.#answerBytes * factor))
  }

  #watchSilence(connection: BrokerConnection): () => void {
    const leads = ({ source }: FetchedLane) =>
      this.#cluster.leaderOf(source.topic, source.partition)?.nodeId === this.nodeId
    let stop: (() => void) | undefined
    let replicaTimer: NodeJS.Timeout | undefined
    const timer = setTimeout(() => {
      const lanes = [...this.seats.lanes]
      const partitions = lanes.filter(leads).map(lane => lane.source)
      const moved = () => connection.destroy()
      stop = watchLeaders({ cluster: this.#cluster, nodeId: this.nodeId, partitions, moved, silenceMs: 0 })
      // Nobody knows better than the leader whether a replica is alive: it is asked instead.
      if (partitions.length < lanes.length) replicaTimer = setTimeout(moved, REPLICA_SILENCE_MS).unref()
    }, POLL_MS + SILENCE_MS)
    timer.unref()
    return () => {
      clearTimeout(timer)
      clearTimeout(replicaTimer)
      stop?.()
    }
  }

  /** Until a lane is kicked or the memory has room, at most so long. */
  async #idle(ms: number): Promise<void> {
    if (this.#stopped) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }

  /** Whatever happens, except for the end. */
  async #pause(ms: number): Promise<void> {
    if (this.#stopped || ms <= 0) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms)
      this.#endPause = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#endPause = undefined
  }
}
