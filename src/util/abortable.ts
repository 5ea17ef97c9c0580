import { TwinlogError } from '../errors.js'

/** Stops waiting for a promise when the signal aborts (`TWINLOG_ABORTED`); what the promise stands for goes on. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      reject(new TwinlogError('TWINLOG_ABORTED', 'aborted by the caller', { cause: signal.reason }))
    }
    const settle = () => signal.removeEventListener('abort', onAbort)
    promise.finally(settle).then(resolve, reject)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}
