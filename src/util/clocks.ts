/** A moment by both clocks: the wall clock may be set, and the monotonic one may stand still while the machine sleeps. In milliseconds. */
export interface Clocks {
  readonly wall: number
  readonly monotonic: number
}

export const clocks = (): Clocks => ({ wall: Date.now(), monotonic: performance.now() })

/** By whichever clock saw more of it: for silences that must not be taken for shorter than they were. */
export const elapsedMs = (since: Clocks, now: Clocks): number =>
  Math.max(now.wall - since.wall, now.monotonic - since.monotonic)
