import { setMaxListeners } from 'node:events'
import { TwinlogError } from '../errors.js'
import { aborted } from './in-parallel.js'

/** One piece of work at a time, in the order of the calls. */
export class RunQueue {
  readonly #running = new Set<AbortController>()
  #last: Promise<unknown> = Promise.resolve()

  /** `work` gets a signal that also ends with {@link stop}. Waiting for one's turn can be aborted too. */
  async run<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const own = new AbortController()
    // Every request that is under way listens.
    setMaxListeners(0, own.signal)
    const abort = () => own.abort(signal?.reason)
    if (signal?.aborted === true) throw aborted(signal)
    signal?.addEventListener('abort', abort, { once: true })
    this.#running.add(own)
    const before = this.#last
    const turn = before.then(() => {
      if (own.signal.aborted) throw aborted(own.signal)
      return work(own.signal)
    })
    this.#last = turn.then(noop, noop)
    try {
      return await Promise.race([turn, abortedBefore(before, own.signal)])
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#running.delete(own)
    }
  }

  /** Ends what runs, in order, and what waits. */
  async stop(): Promise<void> {
    const reason = new TwinlogError('TWINLOG_ABORTED', 'stopped by stop()')
    for (const controller of this.#running) controller.abort(reason)
    await this.#last
  }
}

/** Rejects when the signal aborts before it is one's turn; never settles else. */
function abortedBefore(before: Promise<unknown>, signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    let waiting = true
    const abort = () => {
      if (waiting) reject(aborted(signal))
    }
    signal.addEventListener('abort', abort, { once: true })
    before
      .finally(() => {
        waiting = false
        signal.removeEventListener('abort', abort)
      })
      .catch(noop)
  })
}

function noop(): void {}
