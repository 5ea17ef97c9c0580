import { type TwinlogError, toTwinlogError } from '../errors.js'

export interface PollLoopOptions {
  intervalMs: number
  work: (signal: AbortSignal) => Promise<unknown>
  failed: (error: TwinlogError) => void
}

/** A registry that does not answer is asked ever more seldom, but not more seldom than that. */
const LONGEST_MS = 60_000

/** Work that is done again and again, with a pause in between. */
export class PollLoop {
  readonly #o: PollLoopOptions
  #abort: AbortController | undefined
  #started: Promise<void> | undefined
  #ended: Promise<void> = Promise.resolve()

  constructor(o: PollLoopOptions) {
    this.#o = o
  }

  get running(): boolean {
    return this.#abort !== undefined
  }

  /** Resolves after the first time. A failure that will not pass ends it; others come to `failed`, and it goes on. */
  start({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    this.#started ??= this.#first(signal)
    return this.#started
  }

  async stop(): Promise<void> {
    this.#abort?.abort()
    this.#abort = undefined
    this.#started = undefined
    await this.#ended
  }

  async #first(signal: AbortSignal | undefined): Promise<void> {
    const controller = new AbortController()
    this.#abort = controller
    const abort = () => controller.abort(signal?.reason)
    if (signal?.aborted === true) abort()
    signal?.addEventListener('abort', abort, { once: true })
    let failures = 0
    try {
      await this.#o.work(controller.signal)
    } catch (thrown) {
      const error = toTwinlogError(thrown, 'TWINLOG_INTERNAL', 'the first run failed')
      if (!error.retriable || controller.signal.aborted) {
        if (this.#abort === controller) {
          this.#abort = undefined
          this.#started = undefined
        }
        throw error
      }
      failures = 1
      this.#o.failed(error)
    } finally {
      signal?.removeEventListener('abort', abort)
    }
    if (!controller.signal.aborted) this.#ended = this.#repeat(controller.signal, failures)
  }

  async #repeat(signal: AbortSignal, before: number): Promise<void> {
    for (let failures = before; ; ) {
      await pause(Math.max(this.#o.intervalMs, Math.min(this.#o.intervalMs * 2 ** failures, LONGEST_MS)), signal)
      if (signal.aborted) return
      try {
        await this.#o.work(signal)
        failures = 0
      } catch (thrown) {
        if (signal.aborted) return
        failures = Math.min(failures + 1, 16)
        this.#o.failed(toTwinlogError(thrown, 'TWINLOG_INTERNAL', 'a run failed'))
      }
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    // Holds the process: a program that does nothing but keep registries alike must not end.
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
  })
}
