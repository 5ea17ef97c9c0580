/**
 * A token bucket over everything a Mirror fetches. What an answer brings is known only when it is there, so bytes are spent afterwards
 * and a debt is waited for: over any stretch no more is fetched than rate × time, plus one second's worth, plus one answer.
 */
export class ByteRate {
  readonly #bytesPerSecond: number
  readonly #now: () => number
  #tokens: number
  #at: number

  /** Without a rate there is no limit. `now` in milliseconds. */
  constructor(bytesPerSecond: number | undefined, now: () => number = () => performance.now()) {
    this.#bytesPerSecond = bytesPerSecond ?? Number.POSITIVE_INFINITY
    this.#now = now
    this.#tokens = this.#bytesPerSecond
    this.#at = now()
  }

  /** What may be asked for now; 0: wait. */
  get available(): number {
    this.#refill()
    return Math.max(0, Math.floor(this.#tokens))
  }

  /** Until `bytes` (at most one second's worth) are available. */
  waitMs(bytes = 1): number {
    this.#refill()
    const missing = Math.min(bytes, this.#bytesPerSecond) - this.#tokens
    return missing > 0 ? Math.ceil((missing / this.#bytesPerSecond) * 1000) : 0
  }

  spend(bytes: number): void {
    this.#refill()
    this.#tokens -= bytes
  }

  #refill(): void {
    const now = this.#now()
    if (this.#bytesPerSecond === Number.POSITIVE_INFINITY) {
      this.#tokens = Number.POSITIVE_INFINITY
      return
    }
    this.#tokens = Math.min(this.#bytesPerSecond, this.#tokens + ((now - this.#at) / 1000) * this.#bytesPerSecond)
    this.#at = now
  }
}
