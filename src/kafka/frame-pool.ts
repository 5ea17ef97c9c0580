const POOLED_FROM_BYTES = 256 * 1024
const CAPACITY_STEP_BYTES = 1024 * 1024
/** Free memory that is kept for the next frames. */
const MOST_FREE_BYTES = 16 * 1024 * 1024

/**
 * Memory of large frames, used again. Left to the garbage collector, each 64 MB of buffers costs a full collection of the
 * process's whole heap: more than all the rest of copying, and the more the larger the service is that embeds us.
 *
 * Forgetting to release is harmless (the collector takes it); releasing what is still read is not. So whoever is not certain
 * does not release.
 */
export class FramePool {
  readonly #free: Buffer[] = []
  readonly #leases = new WeakMap<ArrayBufferLike, FrameLease>()
  #freeBytes = 0

  /** A frame with one holder. */
  take(bytes: number): Buffer {
    if (bytes < POOLED_FROM_BYTES) return Buffer.allocUnsafeSlow(bytes)
    const memory =
      this.#takeFree(bytes) ?? Buffer.allocUnsafeSlow(Math.ceil(bytes / CAPACITY_STEP_BYTES) * CAPACITY_STEP_BYTES)
    this.#leases.set(memory.buffer, new FrameLease(memory, () => this.#giveBack(memory)))
    return memory.subarray(0, bytes)
  }

  /** The lease of the frame that this is a view of, if it came from here and was large. */
  leaseOf(view: Buffer): FrameLease | undefined {
    return this.#leases.get(view.buffer)
  }

  #takeFree(bytes: number): Buffer | undefined {
    let best: Buffer | undefined
    for (const memory of this.#free) {
      if (memory.length >= bytes && (best === undefined || memory.length < best.length)) best = memory
    }
    if (best === undefined) return undefined
    this.#free.splice(this.#free.indexOf(best), 1)
    this.#freeBytes -= best.length
    return best
  }

  #giveBack(memory: Buffer): void {
    this.#leases.delete(memory.buffer)
    this.#free.push(memory)
    this.#freeBytes += memory.length
    // The oldest goes first: sizes that are not asked for any more do not stay.
    while (this.#freeBytes > MOST_FREE_BYTES) this.#freeBytes -= this.#free.shift()?.length ?? 0
  }
}

/** Counts who still reads a frame; with the last one gone its memory may be written again. */
export class FrameLease {
  readonly #memory: Buffer
  readonly #onFree: () => void
  #holders = 1

  constructor(memory: Buffer, onFree: () => void) {
    this.#memory = memory
    this.#onFree = onFree
  }

  covers(view: Buffer): boolean {
    return view.buffer === this.#memory.buffer
  }

  hold(): void {
    this.#holders += 1
  }

  release(): void {
    this.#holders -= 1
    if (this.#holders === 0) this.#onFree()
  }
}
