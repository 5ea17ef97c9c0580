import pRetry from 'p-retry'
import { TwinlogError } from '../errors.js'

export interface RetryOptions {
  /** Attempts after the first one. */
  retries: number
  /** Pause before the first retry; it doubles each time. Default 100. */
  minTimeoutMs?: number | undefined
  /** Longest pause. Default 5000. */
  maxTimeoutMs?: number | undefined
  signal?: AbortSignal | undefined
  /** Default: TwinlogErrors that call themselves retriable. */
  shouldRetry?: ((error: Error) => boolean) | undefined
}

/** Calls `fn` until it succeeds, with pauses that grow and are spread at random. An abort is a `TWINLOG_ABORTED` error. */
export async function retry<T>(fn: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { signal, shouldRetry = isRetriable } = options
  try {
    return await pRetry(fn, {
      retries: options.retries,
      minTimeout: options.minTimeoutMs ?? 100,
      maxTimeout: options.maxTimeoutMs ?? 5_000,
      randomize: true,
      shouldRetry: context => shouldRetry(context.error),
      ...(signal === undefined ? {} : { signal })
    })
  } catch (error) {
    if (signal?.aborted === true && error === signal.reason) {
      throw new TwinlogError('TWINLOG_ABORTED', 'aborted by the caller while waiting to try again', { cause: error })
    }
    throw error
  }
}

function isRetriable(error: Error): boolean {
  return error instanceof TwinlogError && error.retriable
}
