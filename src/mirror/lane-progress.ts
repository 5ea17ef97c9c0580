import type { TwinlogError } from '../errors.js'
import { LagClock, type LaneGuard, type LaneStateName, type LaneStatus, RateMeter } from './lane-status.js'
import type { LaneTopic } from './lane-types.js'
import type { Isolation } from './options.js'

const CAUGHT_UP_LAG_MS = 1_000

/** What a lane knows of itself. */
interface LaneFacts {
  source: LaneTopic
  target: LaneTopic
  state: LaneStateName
  error: TwinlogError | undefined
  position: bigint
  reached: bigint
  targetEnd: bigint
  guard: { guard: LaneGuard; why?: string }
}

/** Who keeps an open transaction on the source. */
export interface TransactionHolder {
  producerId: bigint
  startOffset: bigint
}

/** How far a lane is behind its source, how fast it copies, and which state follows from that. */
export class LaneProgress {
  readonly #lag = new LagClock()
  readonly #rate = new RateMeter()
  #sourceEnd = 0n
  #highWatermark = 0n
  /** The source has told where it ends. */
  #heard = false
  readonly #isolation: Isolation
  #holder: TransactionHolder | undefined

  constructor(isolation: Isolation = 'read_committed') {
    this.#isolation = isolation
  }

  /** The source's ends as a fetched answer tells them. */
  fetched(ends: { highWatermark: bigint; lastStableOffset: bigint }): void {
    this.#heard = true
    this.#highWatermark = ends.highWatermark
    const stable = ends.lastStableOffset >= 0n && this.#isolation === 'read_committed'
    this.#sourceEnd = stable ? ends.lastStableOffset : ends.highWatermark
    if (this.#holder && this.#holder.startOffset < this.#sourceEnd) this.#holder = undefined
  }

  /** Offset at which an open transaction of the source holds the lane up, if that is what it waits for. */
  heldAt(reached: bigint): bigint | undefined {
    return reached >= this.#sourceEnd && this.#sourceEnd < this.#highWatermark ? this.#sourceEnd : undefined
  }

  heldBy(holder: TransactionHolder): void {
    if (holder.startOffset <= this.#sourceEnd) this.#holder = holder
  }

  sourceEndIs(end: bigint): void {
    if (end > this.#sourceEnd) this.#sourceEnd = end
  }

  copied(records: number, bytes: number, now: number): void {
    this.#rate.add(records, bytes, now)
  }

  observe(reached: bigint, now: number): void {
    this.#lag.observe(this.#sourceEnd, reached, now)
  }

  /** The state of a lane that copies; undefined: the one it has. */
  next(
    lane: { state: LaneStateName; drained: boolean; reached: bigint },
    now: number
  ): { state: LaneStateName; why?: string } | undefined {
    if (!this.#heard) return undefined
    const done = lane.drained && lane.reached >= this.#sourceEnd
    // Live traffic leaves a few records on the way at any time: a lane that keeps within a second of the source stays caught up.
    if (!done) {
      const staysCaughtUp = lane.state === 'caught-up' && this.#lag.lagMs(lane.reached, now) <= CAUGHT_UP_LAG_MS
      return staysCaughtUp ? undefined : { state: 'copying' }
    }
    if (this.#sourceEnd >= this.#highWatermark) return { state: 'caught-up' }
    const who = this.#holder ? ` of producer id ${this.#holder.producerId}` : ''
    return {
      state: 'waiting',
      why: `an open transaction${who} on the source holds the log at offset ${this.#sourceEnd}`
    }
  }

  /** `why`: what the lane waits for, or why it is not copied. */
  status(lane: LaneFacts, why: string | undefined, now: number): LaneStatus {
    const { reached, error } = lane
    return {
      topic: lane.source.topic,
      partition: lane.source.partition,
      targetTopic: lane.target.topic,
      targetPartition: lane.target.partition,
      state: lane.state,
      ...(why === undefined ? {} : { why }),
      guard: lane.guard.guard,
      ...(lane.guard.why === undefined ? {} : { guardWhy: lane.guard.why }),
      sourceEnd: this.#sourceEnd,
      position: lane.position,
      reached,
      targetEnd: lane.targetEnd,
      lagRecords: this.#sourceEnd > reached ? this.#sourceEnd - reached : 0n,
      lagMs: this.#lag.lagMs(reached, now),
      ...this.#rate.rates(now),
      ...(error === undefined ? {} : { error })
    }
  }
}
