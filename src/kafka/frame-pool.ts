const POOLED_FROM_BYTES = 256 * 1024
const CAPACITY_STEP_BYTES = 256 * 1024
/** Free memory that is kept for the next frames. */
const MOST_FREE_BYTES = 16 * 1024 * 1024
/** A frame does not take memory that is more than so many times too large for it: all of it counts while one view of it lives. */
const MOST_CAPACITY_FACTOR = 2

/** Survives its lease, so that the end of a lease that nobody ended is seen when the collector takes its memory. */
interface LeaseEnd {
  run: (() => void) | undefined
}

/**
 * Memory of large frames, used again. Left to the garbage collector, each 64 MB of buffers costs a full collection of the
 * process's whole heap: more than all the rest of copying, and the more the larger the service is that embeds us.
 *
 * Forgetting to release is harmless (the collector takes it); releasing what is still read is not. So whoever is not certain
 * abandons instead.
 */
export class FramePool {
  readonly #free: Buffer[] = []
  readonly #leases = new WeakMap<ArrayBufferLike, FrameLease>()
  readonly #collected = new FinalizationRegistry<LeaseEnd>(end => end.run?.())
  readonly #mostFreeBytes: number
  #freeBytes = 0

  constructor(o: { mostFreeBytes?: number | undefined } = {}) {
    this.#mostFreeBytes = o.mostFreeBytes ?? MOST_FREE_BYTES
  }

  /** Memory that waits for the next frame. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /** A frame with one holder. */
  take(bytes: number): Buffer {
    const pooled = bytes >= POOLED_FROM_BYTES
    const capacity = pooled ? Math.ceil(bytes / CAPACITY_STEP_BYTES) * CAPACITY_STEP_BYTES : bytes
    const memory = (pooled ? this.#takeFree(bytes) : undefined) ?? Buffer.allocUnsafeSlow(capacity)
    const end: LeaseEnd = { run: undefined }
    const lease = new FrameLease(memory, end, reusable => {
      this.#collected.unregister(end)
      this.#leases.delete(memory.buffer)
      if (pooled && reusable) this.#giveBack(memory)
    })
    this.#leases.set(memory.buffer, lease)
    this.#collected.register(memory.buffer, end, end)
    return memory.subarray(0, bytes)
  }

  /** A copy in a frame of its own, with one holder. */
  copyOf(view: Buffer): Buffer {
    const copy = this.take(view.length)
    view.copy(copy)
    return copy
  }

  /** The lease of the frame that this is a view of, if it came from here. */
  leaseOf(view: Buffer): FrameLease | undefined {
    return this.#leases.get(view.buffer)
  }

  #takeFree(bytes: number): Buffer | undefined {
    let best: Buffer | undefined
    for (const memory of this.#free) {
      if (memory.length < bytes || memory.length > bytes * MOST_CAPACITY_FACTOR) continue
      if (best === undefined || memory.length < best.length) best = memory
    }
    if (best === undefined) return undefined
    this.#free.splice(this.#free.indexOf(best), 1)
    this.#freeBytes -= best.length
    return best
  }

  #giveBack(memory: Buffer): void {
    this.#free.push(memory)
    this.#freeBytes += memory.length
    // The oldest goes first: sizes that are not asked for any more do not stay.
    while (this.#freeBytes > this.#mostFreeBytes) this.#freeBytes -= this.#free.shift()?.length ?? 0
  }
}

/** Counts who still reads a frame; with the last one gone its memory may be written again. */
export class FrameLease {
  /** What one view of it keeps alive. */
  readonly capacity: number
  readonly #buffer: WeakRef<ArrayBufferLike>
  readonly #end: LeaseEnd
  readonly #onEnd: (reusable: boolean) => void
  #holders = 1
  #reusable = true

  constructor(memory: Buffer, end: LeaseEnd, onEnd: (reusable: boolean) => void) {
    this.capacity = memory.length
    this.#buffer = new WeakRef(memory.buffer)
    this.#end = end
    this.#onEnd = onEnd
  }

  covers(view: Buffer): boolean {
    return view.buffer === this.#buffer.deref()
  }

  hold(): void {
    this.#holders += 1
  }

  release(): void {
    this.#holders -= 1
    if (this.#holders !== 0) return
    const { run } = this.#end
    this.#end.run = undefined
    this.#onEnd(this.#reusable)
    run?.()
  }

  /** As release, by a holder who cannot be certain that nobody reads the memory any more (a socket may): it is not used again. */
  abandon(): void {
    this.#reusable = false
    this.release()
  }

  /** Called once, with the last holder gone, or with the memory collected although nobody had ended its lease. */
  whenEnded(listener: () => void): void {
    const before = this.#end.run
    this.#end.run = before
      ? () => {
          before()
          listener()
        }
      : listener
  }
}
