const WINDOW_MS = 10_000
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 500

/**
 * Two owners of one lane take it from each other with error 45: exact, but each time both ask the target anew. The more often this
 * happened lately, the longer and the more at random a loser stays back, so that one of them copies and the other one waits.
 */
export class RaceMeter {
  readonly #random: () => number
  #losses: number[] = []

  constructor(random: () => number = Math.random) {
    this.#random = random
  }

  lost(now: number): void {
    this.#forget(now)
    this.#losses.push(now)
  }

  /** The first loss costs nothing: after a crash or a lost answer it is our own batch that is in the way. */
  pauseMs(now: number): number {
    this.#forget(now)
    if (this.#losses.length < 2) return 0
    return this.#random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#losses.length - 1))
  }

  #forget(now: number): void {
    this.#losses = this.#losses.filter(at => now - at < WINDOW_MS).slice(-16)
  }
}
