const SLICE_MS = 5

/**
 * Work for thousands of lanes in the event loop of somebody else's service: after a few milliseconds of it the loop gets a turn.
 * Whoever has to wait comes back alone: many that came back in one turn would be one long turn again.
 */
export class WorkSlices {
  readonly #waiting: (() => void)[] = []
  readonly #sliceMs: number
  #since = 0
  #scheduled = false

  constructor(sliceMs = SLICE_MS) {
    this.#sliceMs = sliceMs
  }

  /** Before each piece of work. Resolves when there is time for it. */
  async turn(): Promise<void> {
    if (this.#waiting.length === 0 && !this.#scheduled && performance.now() - this.#since < this.#sliceMs) return
    await new Promise<void>(resolve => {
      this.#waiting.push(resolve)
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#since = performance.now()
      const next = this.#waiting.shift()
      if (this.#waiting.length > 0) this.#schedule()
      next?.()
    })
  }
}
