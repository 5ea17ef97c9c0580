import type { FrameLease } from '../kafka/frame-pool.js'

/** With less room nothing is asked for. */
export const SMALLEST_ANSWER_BYTES = 32 << 10
const LARGEST_HEADROOM_BYTES = 1 << 20
/** While this share of the limit is held, only lanes that hold nothing get anything, and little at a time; until it has fallen to the other. */
const SCARCE_FROM = 3 / 4
const SCARCE_UNTIL = 5 / 8

/** What a planned batch keeps alive. Ended once. */
export interface HeldMemory {
  /** Acknowledged: nobody reads it any more. */
  release(): void
  /** Let go of, but a socket may still read it. */
  abandon(): void
}

/**
 * What all lanes of a Mirror hold between source and target, and what is on its way to them. A frame counts whole as long as one view
 * of it lives. Each lane may fill up to half of what is free: so however many lanes stand still, there is something left for the others
 * (dynamic thresholds, Choudhury and Hahne 1998).
 */
export class ByteBudget {
  readonly limit: number
  readonly #headroom: number
  readonly #listeners = new Set<() => void>()
  #held = 0
  #reserved = 0
  #scarce = false
  #full = false

  constructor(limit: number) {
    this.limit = limit
    // A broker answers with one whole batch however little was asked for.
    this.#headroom = Math.min(LARGEST_HEADROOM_BYTES, limit / 8)
  }

  /** Bytes that lanes hold. */
  get held(): number {
    return this.#held
  }

  /** What another answer may bring. */
  get room(): number {
    return Math.max(0, this.limit - this.#headroom - this.#held - this.#reserved)
  }

  /** Little is left: it is for lanes that hold nothing. */
  get scarce(): boolean {
    return this.#scarce
  }

  /** Whether a lane that holds so much may be fetched for. */
  mayHold(bytes: number): boolean {
    return bytes === 0 || (!this.#scarce && bytes < (this.limit - this.#held) / 2)
  }

  /** Sets room aside for an answer; the function returned gives it back. */
  reserve(bytes: number): () => void {
    this.#reserved += bytes
    this.#changed()
    let given = false
    return () => {
      if (given) return
      given = true
      this.#reserved -= bytes
      this.#changed()
    }
  }

  /** The frame counts until its lease ends. */
  charge(lease: FrameLease): void {
    // The listener must not keep the lease, and with it the memory, alive: nobody could see then that it was forgotten.
    const { capacity } = lease
    this.#add(capacity)
    lease.whenEnded(() => this.#add(-capacity))
  }

  /** For each planned batch, once. A view of the frame holds the frame; other memory counts as what it is. */
  hold(bytes: Buffer, frame?: FrameLease): HeldMemory {
    if (frame?.covers(bytes)) {
      frame.hold()
      let ended = false
      const once = (end: () => void) => {
        if (ended) return
        ended = true
        end()
      }
      return { release: () => once(() => frame.release()), abandon: () => once(() => frame.abandon()) }
    }
    let counted = bytes.length
    this.#add(counted)
    const end = () => {
      this.#add(-counted)
      counted = 0
    }
    return { release: end, abandon: end }
  }

  /** Called whenever there is room again after there was none, or plenty after it was scarce. */
  onRoom(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #add(bytes: number): void {
    this.#held += bytes
    this.#changed()
  }

  #changed(): void {
    const before = { full: this.#full, scarce: this.#scarce }
    this.#full = this.room < SMALLEST_ANSWER_BYTES
    if (this.#held >= this.limit * SCARCE_FROM) this.#scarce = true
    else if (this.#held <= this.limit * SCARCE_UNTIL) this.#scarce = false
    if ((before.full && !this.#full) || (before.scarce && !this.#scarce))
      for (const listener of this.#listeners) listener()
  }
}
