import type { TwinlogError } from '../errors.js'

export type LaneStateName = 'starting' | 'copying' | 'caught-up' | 'waiting' | 'paused' | 'stopped' | 'failed'

/** How a lane is protected against a second writer: `stable` needs nothing but the broker's sequence check. */
export type LaneGuard = 'stable' | 'fenced' | 'transactional'

export interface LaneStatus {
  topic: string
  partition: number
  targetTopic: string
  targetPartition: number
  state: LaneStateName
  /** For `waiting`, `failed` and `stopped`: for what, or why. */
  why?: string
  guard: LaneGuard
  /** Why the broker's sequence check alone does not protect the lane; absent for `stable`. */
  guardWhy?: string
  /** Source end at the lane's isolation (last stable offset). */
  sourceEnd: bigint
  /** Source offset that is fetched next. */
  position: bigint
  /** Source position up to which everything is on the target or known to be a gap. */
  reached: bigint
  /** Target offset behind the lane's last record. */
  targetEnd: bigint
  lagRecords: bigint
  /** How long the oldest source offset that is not on the target has been waiting, in milliseconds. */
  lagMs: number
  recordsPerSecond: number
  bytesPerSecond: number
  error?: TwinlogError
}

/** Which state may follow which. A lane that failed or was stopped begins again only through `starting`. */
export const LANE_TRANSITIONS: Record<LaneStateName, readonly LaneStateName[]> = {
  starting: ['copying', 'caught-up', 'waiting', 'paused', 'stopped', 'failed'],
  copying: ['starting', 'caught-up', 'waiting', 'paused', 'stopped', 'failed'],
  'caught-up': ['starting', 'copying', 'waiting', 'paused', 'stopped', 'failed'],
  waiting: ['starting', 'copying', 'caught-up', 'paused', 'stopped', 'failed'],
  paused: ['starting', 'copying', 'caught-up', 'waiting', 'stopped', 'failed'],
  stopped: ['starting'],
  failed: ['starting', 'stopped']
}

/** How long the source end has been ahead of the lane: samples of (time, end) not yet reached, oldest first. */
export class LagClock {
  readonly #samples: { at: number; end: bigint }[] = []

  observe(end: bigint, reached: bigint, now: number): void {
    this.#drop(reached)
    const last = this.#samples.at(-1)
    if (end <= reached || (last && end <= last.end)) return
    // Coarse samples are enough: the age of the oldest one is the lag, and old ones are what matters.
    if (last && now - last.at < 100 && this.#samples.length > 64) last.end = end
    else this.#samples.push({ at: now, end })
    if (this.#samples.length > 256) this.#thin()
  }

  lagMs(reached: bigint, now: number): number {
    this.#drop(reached)
    const oldest = this.#samples[0]
    return oldest ? Math.max(0, Math.round(now - oldest.at)) : 0
  }

  /** Every two samples become one with the earlier time: the lag may look longer by that step, never shorter. */
  #thin(): void {
    for (let index = 0; index + 1 < this.#samples.length; index++) {
      const [first, second] = this.#samples.splice(index, 2) as [
        { at: number; end: bigint },
        { at: number; end: bigint }
      ]
      this.#samples.splice(index, 0, { at: first.at, end: second.end })
    }
  }

  #drop(reached: bigint): void {
    while (this.#samples.length > 0 && (this.#samples[0]?.end ?? 0n) <= reached) this.#samples.shift()
  }
}

/** Rate over the last seconds, by one-second buckets. */
export class RateMeter {
  static readonly #WINDOW = 5
  readonly #buckets: { second: number; records: number; bytes: number }[] = []

  add(records: number, bytes: number, now: number): void {
    const second = Math.floor(now / 1000)
    const last = this.#buckets.at(-1)
    if (last?.second === second) {
      last.records += records
      last.bytes += bytes
      return
    }
    this.#buckets.push({ second, records, bytes })
    if (this.#buckets.length > RateMeter.#WINDOW + 1) this.#buckets.shift()
  }

  rates(now: number): { recordsPerSecond: number; bytesPerSecond: number } {
    const since = Math.floor(now / 1000) - RateMeter.#WINDOW
    const recent = this.#buckets.filter(bucket => bucket.second > since)
    const seconds = Math.max(1, Math.min(RateMeter.#WINDOW, now / 1000 - (recent[0]?.second ?? now / 1000)))
    const sum = (field: 'records' | 'bytes') => recent.reduce((total, bucket) => total + bucket[field], 0)
    return {
      recordsPerSecond: Math.round(sum('records') / seconds),
      bytesPerSecond: Math.round(sum('bytes') / seconds)
    }
  }
}
