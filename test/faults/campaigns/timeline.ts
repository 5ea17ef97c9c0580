import { setTimeout as sleep } from 'node:timers/promises'
import type { ChildFigures, LaneSample } from '../../support/mirror-process.js'

/** One thing that was done to the system, and how long it hurt. */
export interface Injection {
  what: string
  /** Since the campaign's load began. */
  atMs: number
  /** When the last lane concerned had a leader again; only where leaders moved. */
  electedAfterMs: number | undefined
  /** Longest time without an append to a lane among those between this injection and the next. */
  stoodStillMs: number
}

const NOTICEABLE_MS = 150

interface Pause {
  partition: number
  from: number
  to: number
}

/** Collects lane samples of all mirror processes: a lane stands still when none of them has appended to it. */
export class Timeline {
  readonly #start = Date.now()
  readonly #ends = new Map<number, { end: number; at: number }>()
  readonly #pauses: Pause[] = []
  readonly #injections: { what: string; at: number; electedAt?: number }[] = []
  readonly #recoveries = new Map<number, number>()
  deepest = 0
  #loadEndedAt: number | undefined

  sample(at: number, lanes: LaneSample[], figures: ChildFigures, pid: number): void {
    if (figures.deepest > this.deepest) this.deepest = figures.deepest
    this.#recoveries.set(pid, figures.recoveries)
    if (this.#loadEndedAt !== undefined) return
    for (const { partition, targetEnd } of lanes) {
      const known = this.#ends.get(partition)
      if (known && targetEnd <= known.end) continue
      if (known && at - known.at > NOTICEABLE_MS) this.#pauses.push({ partition, from: known.at, to: at })
      this.#ends.set(partition, { end: targetEnd, at })
    }
  }

  /** Answers a function that notes the moment at which all lanes had a leader again. */
  inject(what: string): () => void {
    const injection: { what: string; at: number; electedAt?: number } = { what, at: Date.now() }
    this.#injections.push(injection)
    return () => {
      injection.electedAt = Date.now()
    }
  }

  /** How often a lane of any process stopped and asked the target where to go on. */
  get recoveries(): number {
    return [...this.#recoveries.values()].reduce((sum, count) => sum + count, 0)
  }

  /** From here on a lane that stands still has nothing to do. */
  loadEnds(): void {
    const now = Date.now()
    for (const [partition, { at }] of this.#ends) {
      if (now - at > NOTICEABLE_MS) this.#pauses.push({ partition, from: at, to: now })
    }
    this.#loadEndedAt = now
  }

  /** Every lane has moved on since this call. */
  async progress(timeoutMs = 60_000): Promise<void> {
    const before = new Map([...this.#ends].map(([partition, { end }]) => [partition, end]))
    const deadline = Date.now() + timeoutMs
    while ([...before].some(([partition, end]) => (this.#ends.get(partition)?.end ?? 0) <= end)) {
      if (Date.now() > deadline) throw new Error(`a lane has not moved on for ${timeoutMs} ms`)
      await sleep(20)
    }
  }

  injections(): Injection[] {
    return this.#injections.map(({ what, at, electedAt }, index) => {
      const next = this.#injections[index + 1]?.at ?? Number.POSITIVE_INFINITY
      const pauses = this.#pauses.filter(pause => pause.to > at && pause.from < next && pause.to - at > 0)
      return {
        what,
        atMs: at - this.#start,
        electedAfterMs: electedAt === undefined ? undefined : electedAt - at,
        // A pause that had begun before counts from the injection on.
        stoodStillMs: pauses.reduce((most, pause) => Math.max(most, pause.to - Math.max(pause.from, at)), 0)
      }
    })
  }

  longestPauses(): { partition: number; ms: number }[] {
    const longest = new Map<number, number>()
    for (const partition of this.#ends.keys()) longest.set(partition, 0)
    for (const { partition, from, to } of this.#pauses) {
      longest.set(partition, Math.max(longest.get(partition) ?? 0, to - from))
    }
    return [...longest].map(([partition, ms]) => ({ partition, ms })).sort((a, b) => a.partition - b.partition)
  }
}
