import { TwinlogError } from '../errors.js'
import type { GapTable } from './gap-table.js'
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
    const end = { next: birth.first, offset: birth.targetEnd, reached: birth.first, logStart: bounds.start }
    const map = new LaneMap(log, state.gaps(), state.epochs, end)
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
    this.#gaps = state.gaps()
    this.#epochs = state.epochs
    const { start } = bounds
    const checkpoint = state.checkpoint
    const known =
      checkpoint && checkpoint.next > this.#end.next
        ? { next: checkpoint.next, offset: checkpoint.targetEnd }
        : this.#end
    // A checkpoint written after the bounds were asked lies behind them. Its gaps stand before it in the state, so it is an end as good.
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
      // The checkpoint is the end: its own shift is known without a look at the log.
      this.#learn({ ordinal: next - 1n, count: 1, offset: offset - 1n })
    }
    const written = this.#gaps.sourceBehind(next)
    const claimed = checkpoint && checkpoint.next <= next ? checkpoint.reached : written
    this.#end = { next, offset, reached: max(max(written, claimed), this.#end.reached), logStart: start }
  }

  /** Pure look-up; undefined: the ordinal's run is not known yet, call `load` first. */
  translate(source: bigint): LanePosition | undefined {
    const origin = this.#gaps.origin
    if (source < origin) {
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
    const origin = this.#gaps.origin
    const ordinal = source < origin ? origin : this.#gaps.ordinalAt(source)
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
    throw this.#unlocatable(ordinal)
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
    let behind = this.#gaps.origin
    for (const run of [...this.#runs.runs]) {
      if (run.first > (oldest?.ordinal ?? last.first)) return
      const gone = run.first - behind
      if (gone > 0n) this.#runs.learn(behind, Number(gone), min(run.first + run.shift, logStart) - gone)
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
