import { TwinlogError } from '../errors.js'

/** At most `concurrency` at a time; the first error ends it, when all that runs has ended. */
export async function inParallel<T>(
  items: Iterable<T>,
  o: { concurrency: number; signal?: AbortSignal | undefined },
  work: (item: T) => Promise<void>
): Promise<void> {
  const left = items[Symbol.iterator]()
  const errors: unknown[] = []
  const worker = async () => {
    for (let next = left.next(); next.done !== true; next = left.next()) {
      if (errors.length > 0) return
      try {
        if (o.signal?.aborted === true) throw aborted(o.signal)
        await work(next.value)
      } catch (error) {
        errors.push(error)
        return
      }
    }
  }
  await Promise.all(Array.from({ length: o.concurrency }, worker))
  if (errors.length > 0) throw errors[0]
}

export function aborted(signal: AbortSignal): TwinlogError {
  return new TwinlogError('TWINLOG_ABORTED', 'aborted by the caller', { cause: signal.reason })
}
