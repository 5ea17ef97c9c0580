import { TwinlogError } from '../errors.js'

/** The result of `work`, or TWINLOG_ABORTED as soon as the caller's signal says so; the work itself may go on. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work
  const cancelled = () => new TwinlogError('TWINLOG_ABORTED', 'cancelled by the caller', { cause: signal.reason })
  if (signal.aborted) throw cancelled()
  let stop: (() => void) | undefined
  const abort = new Promise<never>((_resolve, reject) => {
    stop = () => reject(cancelled())
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([work, abort])
  } finally {
    if (stop) signal.removeEventListener('abort', stop)
  }
}
