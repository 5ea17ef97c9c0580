import { type Clocks, elapsedMs } from '../util/clocks.js'

/** While answers come this often, the broker has not had the time to forget a producer and be written to by another one unnoticed. */
const FORGET_CHECK_MS = 60_000
const LONG_SILENCE_MS = 60 * 60 * 1000
const NEVER: Clocks = { wall: 0, monotonic: Number.NEGATIVE_INFINITY }

/**
 * How well a target broker can still know a producer: by the time stamp of the last acknowledged batch, and by when the target last
 * told where the lane ends. Pure arithmetic on times that it is given.
 */
export class TargetContact {
  /** The target forgets a producer this long after the time stamp of its last batch. */
  expirationMs: number
  #lastTimestampMs = 0
  #contactAt = NEVER

  constructor(expirationMs: number) {
    this.expirationMs = expirationMs
  }

  /** The target was asked where the lane ends. */
  asked(now: Clocks): void {
    this.acknowledged(now.wall, now)
  }

  /** The broker keeps the time stamp of the last batch, not the highest one. */
  acknowledged(batchTimestampMs: number, now: Clocks): void {
    this.#contactAt = now
    this.#lastTimestampMs = batchTimestampMs
  }

  /** The broker forgets a producer by the time stamp of its last batch. */
  mayBeForgotten(now: Clocks): boolean {
    // As old as it was then, and the time since: the clock may have been set back.
    const ageThen = this.#contactAt.wall - this.#lastTimestampMs
    return ageThen + elapsedMs(this.#contactAt, now) > this.expirationMs * 0.75
  }

  /** After a silence: another owner may have gone on and been forgotten, or a fence's marker may have been. */
  mustAskFirst(now: Clocks): boolean {
    const silenceMs = elapsedMs(this.#contactAt, now)
    if (this.mayBeForgotten(now)) return silenceMs > Math.min(FORGET_CHECK_MS, this.expirationMs / 4)
    return silenceMs > LONG_SILENCE_MS
  }
}
