export interface HedgeOptions<C> {
  /** An attempt that has not settled after this time gets company. */
  delayMs: number
  /** Stop trying others after such a failure. */
  isFinal?: ((error: unknown) => boolean) | undefined
  /** Told about an attempt that has just got company. */
  onSlow?: ((candidate: C) => void) | undefined
}

/** All attempts failed; `failures` are in the order of the candidates tried. */
export class HedgeError extends Error {
  readonly failures: readonly { candidate: unknown; error: unknown }[]

  constructor(failures: readonly { candidate: unknown; error: unknown }[]) {
    super(`all ${failures.length} attempts failed`)
    this.failures = failures
  }
}

/**
 * Tries candidates one after the other, the next one as soon as the one before has failed or is slow; the first success wins.
 * So a broker that hangs costs `delayMs` and not a time-out. `attempt` must be harmless to run more than once.
 */
export function hedge<C, T>(
  candidates: readonly C[],
  attempt: (candidate: C) => Promise<T>,
  { delayMs, isFinal, onSlow }: HedgeOptions<C>
): Promise<T> {
  return new Promise((resolve, reject) => {
    const failures: { candidate: C; error: unknown }[] = []
    let next = 0
    let running = 0
    let settled = false
    let timer: NodeJS.Timeout | undefined
    const settle = (finish: () => void) => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      finish()
    }
    const fail = (candidate: C, error: unknown) => {
      running--
      failures.push({ candidate, error })
      if (isFinal?.(error) === true) settle(() => reject(new HedgeError(failures)))
      else startNext()
    }
    const startNext = () => {
      clearTimeout(timer)
      if (settled) return
      if (next >= candidates.length) {
        if (running === 0) settle(() => reject(new HedgeError(failures)))
        return
      }
      const candidate = candidates[next++] as C
      running++
      timer = setTimeout(() => {
        onSlow?.(candidate)
        startNext()
      }, delayMs)
      attempt(candidate).then(
        value => settle(() => resolve(value)),
        (error: unknown) => fail(candidate, error)
      )
    }
    startNext()
  })
}
