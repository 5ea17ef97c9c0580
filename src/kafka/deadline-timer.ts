const LONGEST_TIMER_MS = 2 ** 31 - 1

/** setTimeout for any length of time, never keeping the process alive. */
export function unrefTimer(callback: () => void, waitMs: number): NodeJS.Timeout {
  return setTimeout(callback, Math.min(Math.max(0, Math.ceil(waitMs)), LONGEST_TIMER_MS)).unref()
}

/** One timer for the earliest of many deadlines. It is only ever moved nearer; when it fires, the owner looks for itself. */
export class DeadlineTimer {
  readonly #onDue: () => void
  #timer: NodeJS.Timeout | undefined
  #dueAt = Number.POSITIVE_INFINITY

  constructor(onDue: () => void) {
    this.#onDue = onDue
  }

  watch(deadline: number): void {
    if (deadline >= this.#dueAt) return
    clearTimeout(this.#timer)
    this.#dueAt = deadline
    this.#timer = unrefTimer(() => {
      this.#dueAt = Number.POSITIVE_INFINITY
      this.#onDue()
    }, deadline - performance.now())
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
