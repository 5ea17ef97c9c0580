/** While answers come this often, the broker has not had the time to forget a producer and be written to by another one unnoticed. */
const FORGET_CHECK_MS = 60_000
const LONG_SILENCE_MS = 60 * 60 * 1000

/**
 * How well a target broker can still know a producer: by the time stamp of the last acknowledged batch, and by when the target last
 * told where the lane ends. Pure arithmetic on times that it is given.
 */
export class TargetContact {
  /** The target forgets a producer this long after the time stamp of its last batch. */
  expirationMs: number
  #lastTimestampMs = 0
  #contactAtMs = 0

  constructor(expirationMs: number) {
    this.expirationMs = expirationMs
  }

  /** The target was asked where the lane ends. */
  asked(now: number): void {
    this.#lastTimestampMs = now
    this.#contactAtMs = now
  }

  /** The broker keeps the time stamp of the last batch, not the highest one. */
  acknowledged(batchTimestampMs: number, now: number): void {
    this.#contactAtMs = now
    this.#lastTimestampMs = batchTimestampMs
  }

  /** The broker forgets a producer by the time stamp of its last batch. */
  mayBeForgotten(now: number): boolean {
    return now - this.#lastTimestampMs > this.expirationMs * 0.75
  }

  /** After a silence: another owner may have gone on and been forgotten, or a fence's marker may have been. */
  mustAskFirst(now: number): boolean {
    const silenceMs = now - this.#contactAtMs
    if (this.mayBeForgotten(now)) return silenceMs > Math.min(FORGET_CHECK_MS, this.expirationMs / 4)
    return silenceMs > LONG_SILENCE_MS
  }
}
