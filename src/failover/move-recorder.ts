import type { EvidenceStep } from './evidence.js'

/** Keeps the time of a move's steps. Durations come from the monotonic clock, dates from the wall. */
export class MoveRecorder {
  readonly startedAt = new Date()
  readonly steps: EvidenceStep[] = []
  readonly decisions: string[] = []
  readonly #start = performance.now()

  get elapsedMs(): number {
    return performance.now() - this.#start
  }

  /** The step's result; `detail` says it in words. A step that fails is recorded too. */
  async step<T>(name: string, work: () => Promise<T>, detail: (result: T) => string): Promise<T> {
    const start = performance.now()
    const done = (text: string) => this.steps.push({ name, ms: performance.now() - start, detail: text })
    try {
      const result = await work()
      done(detail(result))
      return result
    } catch (error) {
      done(`failed: ${error instanceof Error ? error.message : String(error)}`)
      throw error
    }
  }

  decide(decision: string): void {
    this.decisions.push(decision)
  }
}
