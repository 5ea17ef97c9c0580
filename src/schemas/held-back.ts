import type { SchemaConflict } from './plan-types.js'
import type { SchemaVersion } from './registry-types.js'

/** A refusal is tried again after a minute, then ever more seldom. */
const FIRST_MS = 60_000
const LONGEST_MS = 3_600_000

interface Held {
  conflict: SchemaConflict
  signature: string
  until: number
  pauseMs: number
}

/**
 * Subjects that a registry refused. Continuous sync does not try them again with every look: only when one of the two sides has changed, or
 * a good while later, as the reason can be a config that shows nowhere.
 */
export class HeldBack {
  readonly #held = new Map<string, Held>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  hold(conflict: SchemaConflict, signature: string): void {
    const before = this.#held.get(conflict.subject)
    const pauseMs = before?.signature === signature ? Math.min(before.pauseMs * 2, LONGEST_MS) : FIRST_MS
    this.#held.set(conflict.subject, { conflict, signature, pauseMs, until: this.#now() + pauseMs })
  }

  release(subject: string): void {
    this.#held.delete(subject)
  }

  /** Why it is not tried now; undefined: it is. */
  reason(subject: string, signature: string): SchemaConflict | undefined {
    const held = this.#held.get(subject)
    return held && held.signature === signature && this.#now() < held.until ? held.conflict : undefined
  }
}

/** Changes when either side does. */
export function signatureOf(
  source: readonly SchemaVersion[] | undefined,
  target: readonly SchemaVersion[] | undefined
): string {
  const words = (versions: readonly SchemaVersion[] | undefined) =>
    (versions ?? []).map(({ version, id, deleted }) => `${version}:${id}${deleted ? 'd' : ''}`).join()
  return `${words(source)} > ${words(target)}`
}
