import { isDeepStrictEqual } from 'node:util'
import { TwinlogError } from '../errors.js'
import type { GapTable } from './gap-table.js'
import { sameIdentity } from './lane-epochs.js'
import type { LaneState } from './lane-state.js'
import type { LaneEpoch } from './sequence.js'
import type { TargetLog } from './target-log.js'
import { TargetRuns, type Unknown } from './target-runs.js'

export type LanePosition =
  | { kind: 'exact'; offset: bigint }
  | { kind: 'beyond-mirrored'; offset: bigint; missing: { from: bigint; to: bigint } }
  | { kind: 'before-mirrored'; offset: bigint }

export interface TargetBounds {
  start: bigint
  end: bigint
}

/** The lane's end as the target shows it below its high watermark. */
interface LaneEnd {
  /** Ordinal of the next record. */
  next: bigint
  /** Target offset behind the lane's last record; the lane's first possible offset while it is empty. */
  offset: bigint
  /** Source position up to which everything is on the target or known to be a gap. */
  reached: bigint
  logStart: bigint
}

/**
 * One lane's offset map: source offset → ordinal by the gap table, ordinal → target offset by runs that are found by bisecting
 * batch headers. Works from the target alone. `load` does the I/O, `translate` is pure and says `undefined` when it needs a load.
 */
export class LaneMap {
  readonly #runs = new TargetRuns()
  readonly #log: TargetLog
  #gaps: GapTable
  #epochs: readonly LaneEpoch[]
  #end: LaneEnd
  /** Where the target ended when the lane was born: nothing of it lies before. */
  readonly #bornAt: bigint

  private constructor(log: TargetLog, gaps: GapTable, epochs: readonly LaneEpoch[], end: LaneEnd) {
    this.#log = log
    this.#gaps = gaps
    this.#epochs = epochs
    this.#end = end
    this.#bornAt = end.offset
  }

  /** As `update`. */
  static async open(log: TargetLog, state: LaneState, bounds: TargetBounds): Promise<LaneMap> {
    const birth = requireBirth(state)
    const gaps = state.gaps()
    const end = { next: birth.first, offset: birth.targetEnd, reached: gaps.begin, logStart: bounds.start }
    const map = new LaneMap(log, gaps, state.epochs, end)
    await map.update(state, bounds)
    return map
  }

  get reached(): bigint {
    return this.#end.reached
  }

  get end(): { next: bigint; offset: bigint } {
    return { next: this.#end.next, offset: this.#end.offset }
  }

  /**
   * Follows the lane to the target's end. `bounds` must be asked before `state` is read: gaps are written ahead of the data behind
   * them, so the state then holds the gaps of everything below that end.
   */
  async update(state: LaneState, bounds: TargetBounds): Promise<void> {
    const birth = requireBirth(state)
    this.#follow(state)
    const { start } = bounds
    const { next: resume, targetEnd } = state.resumeFrom
    const known = resume > this.#end.next ? { next: resume, offset: targetEnd } : this.#end
    // A place noted after the bounds were asked lies behind them. Its gaps stand before it in the state, so it is an end as good.
    const logEnd = max(bounds.end, known.offset)
    if (logEnd > bounds.end && (await this.#log.bounds()).end < known.offset) {
      throw new TwinlogError(
        'TWINLOG_TRUNCATED',
        `target partition ${this.#log.topic}-${this.#log.partition} ends at ${bounds.end}, but this lane had already written up to ${known.offset}: ` +
          'the target lost records; translation of this lane is not exact any more',
        { topic: this.#log.topic, partition: this.#log.partition, offset: bounds.end }
      )
    }
    const from = known.offset > start ? known.offset : start
    const last = await this.#log.lastBatch(from, logEnd, this.#epochs, known.next)
    let next = known.next
    let offset = known.offset
    if (last && last.ordinal + BigInt(last.count) > next) {
      this.#learn(last)
      next = last.ordinal + BigInt(last.count)
      offset = last.offset + BigInt(last.count)
    } else if (next > birth.first && (this.#runs.last?.end ?? birth.first) < next) {
      // What was noted is the end: its own shift is known without a look at the log.
      this.#learn({ ordinal: next - 1n, count: 1, offset: offset - 1n })
    }
    const written = this.#gaps.positionAt(next)
    const { checkpoint } = state
    const claimed = checkpoint && checkpoint.next <= next ? checkpoint.reached : written
    this.#end = { next, offset, reached: max(max(written, claimed), this.#end.reached), logStart: start }
  }

  /** Takes over what the state says now, and forgets what does not hold under it any more. */
  #follow(state: LaneState): void {
    const birth = requireBirth(state)
    const gaps = state.gaps()
    const fresh = state.epochs.filter(epoch => !this.#epochs.some(known => sameIdentity(known, epoch)))
    // The target had lost its end: what was known from there on is void, and other records stand in its place.
    if (fresh.some(epoch => epoch.base < this.#end.next)) {
      this.#runs.clear()
      this.#end = { ...this.#end, next: birth.first, offset: birth.targetEnd }
    }
    // A new identity may begin a new history of the source, in which what was reached in the former one means nothing.
    if (fresh.length > 0 || !isDeepStrictEqual(gaps.newestEra, this.#gaps.newestEra))
      this.#end = { ...this.#end, reached: gaps.begin }
    this.#gaps = gaps
    this.#epochs = state.epochs
  }

  /** Pure look-up; undefined: the ordinal's run is not known yet, call `load` first. */
  translate(source: bigint): LanePosition | undefined {
    const { origin, begin } = this.#gaps
    if (source < begin) {
      const first = this.#offsetOf(origin)
      return first === undefined ? undefined : { kind: 'before-mirrored', offset: first }
    }
    const ordinal = this.#gaps.ordinalAt(source)
    if (ordinal < this.#end.next) {
      const offset = this.#offsetOf(ordinal)
      return offset === undefined ? undefined : { kind: 'exact', offset }
    }
    if (source <= this.#end.reached) return { kind: 'exact', offset: this.#end.offset }
    return { kind: 'beyond-mirrored', offset: this.#end.offset, missing: { from: this.#end.reached, to: source } }
  }

  /** Makes `translate(source)` answer. */
  async load(source: bigint): Promise<void> {
    const { origin, begin } = this.#gaps
    const ordinal = source < begin ? origin : this.#gaps.ordinalAt(source)
    if (ordinal < this.#end.next) await this.#locate(ordinal)
  }

  /** Makes `translate` answer for every source offset: bisects between all runs until neighbours have nothing unknown between them. */
  async loadAll(): Promise<void> {
    await this.#locateOldest()
    for (;;) {
      const open = this.#runs.runs.find((run, index) => {
        const above = this.#runs.runs[index + 1]
        return above !== undefined && above.first > run.end
      })
      if (!open) return
      await this.#locate(open.end)
    }
  }

  #offsetOf(ordinal: bigint): bigint | undefined {
    if (ordinal >= this.#end.next) return this.#end.offset
    const found = this.#runs.find(ordinal)
    if (typeof found === 'bigint') return max(found, this.#end.logStart)
    return undefined
  }

  /** Finds the run of one ordinal by bisecting the offsets between its known neighbours. */
  async #locate(ordinal: bigint): Promise<void> {
    let found = this.#runs.find(ordinal)
    if (typeof found !== 'bigint' && this.#mayBeGone(found)) {
      await this.#locateOldest()
      found = this.#runs.find(ordinal)
    }
    if (typeof found === 'bigint') return
    if (!found.below || !found.above) throw this.#unlocatable(ordinal)
    await this.#bisect(ordinal, found)
  }

  #mayBeGone({ below }: Unknown): boolean {
    return below === undefined || below.end + below.shift < this.#end.logStart
  }

  async #bisect(ordinal: bigint, between: Unknown): Promise<void> {
    const below = between.below as NonNullable<Unknown['below']>
    const above = between.above as NonNullable<Unknown['above']>
    let low = ordinal + below.shift
    let high = ordinal + above.shift
    while (low <= high) {
      // The first guess is the most likely place: nothing foreign before the ordinal.
      const probe = low === ordinal + below.shift ? low : (low + high) / 2n
      const batch = await this.#log.firstBatch(probe, above.first + above.shift, this.#epochs, ordinal)
      if (batch) this.#learn(batch)
      if (typeof this.#runs.find(ordinal) === 'bigint') return
      if (!batch || batch.ordinal > ordinal) high = probe - 1n
      else low = batch.offset + BigInt(batch.count)
      if (probe === ordinal + below.shift && low === probe) low += 1n
    }
    await this.#closeUp(ordinal)
  }

  /**
   * No batch holds this ordinal. Where compaction took records off the target, what is gone resumes at the first one behind it that is
   * still there. Without holes in the log it can't have been compaction: then the batch is missing.
   */
  async #closeUp(ordinal: bigint): Promise<void> {
    for (;;) {
      const found = this.#runs.find(ordinal)
      if (typeof found === 'bigint') return
      const { below, above } = found
      if (!below || !above) throw this.#unlocatable(ordinal)
      const [from, to] = [below.end + below.shift, above.first + above.shift]
      const between = await this.#log.firstBatch(from, to, this.#epochs, below.end)
      if (between) {
        this.#learn(between)
        continue
      }
      const gone = above.first - below.end
      if ((await this.#log.holes(from, to)) < gone) throw this.#unlocatable(ordinal)
      this.#learn({ ordinal: below.end, count: Number(gone), offset: below.end + above.shift })
    }
  }

  /** Finds the oldest batch that the target still holds; whatever precedes it is gone and resumes at the log start. */
  async #locateOldest(): Promise<void> {
    const last = this.#runs.last
    if (!last) return
    const { logStart } = this.#end
    const from = max(logStart, this.#bornAt)
    // Foreign records only push later ones back, so no ordinal from here on is lower than the end's shift says.
    const near = max(this.#gaps.origin, from - last.shift)
    const oldest = await this.#log.firstBatch(from, last.end + last.shift, this.#epochs, near)
    if (oldest) this.#learn(oldest)
    // Nothing was trimmed since the lane's birth: what precedes its oldest batch was compacted.
    const trimmed = logStart > this.#bornAt
    let behind = this.#gaps.origin
    for (const run of [...this.#runs.runs]) {
      if (run.first > (oldest?.ordinal ?? last.first)) return
      const gone = run.first - behind
      const resume = trimmed ? min(run.first + run.shift, logStart) : run.first + run.shift
      if (gone > 0n) this.#runs.learn(behind, Number(gone), resume - gone)
      behind = run.end
    }
  }

  #learn(batch: { ordinal: bigint; count: number; offset: bigint }): void {
    if (this.#runs.learn(batch.ordinal, batch.count, batch.offset)) return
    throw new TwinlogError(
      'TWINLOG_TRUNCATED',
      `target partition ${this.#log.topic}-${this.#log.partition} holds ordinal ${batch.ordinal} at offset ${batch.offset}, before where it was: ` +
        'the target was truncated or re-created; translation of this lane is not exact any more',
      { topic: this.#log.topic, partition: this.#log.partition, offset: batch.offset }
    )
  }

  #unlocatable(ordinal: bigint): TwinlogError {
    return new TwinlogError(
      'TWINLOG_POSITION_UNKNOWN',
      `ordinal ${ordinal} of the lane cannot be found in target partition ${this.#log.topic}-${this.#log.partition}: ` +
        'batches are missing between two known ones',
      { topic: this.#log.topic, partition: this.#log.partition }
    )
  }
}

function requireBirth(state: LaneState) {
  if (state.birth) return state.birth
  throw new TwinlogError('TWINLOG_STATE_INVALID', `the state topic does not hold the birth of lane ${state.key}`)
}

const max = (a: bigint, b: bigint) => (a > b ? a : b)
const min = (a: bigint, b: bigint) => (a < b ? a : b)
