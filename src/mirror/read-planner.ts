import { TwinlogError } from '../errors.js'
import { carve } from '../records/carve.js'
import { isCodecLoaded, loadCodec } from '../records/compression.js'
import { decodeRecords } from '../records/decode.js'
import { neededCodecs, planBatches } from '../records/plan.js'
import type { BatchView, DecodedRecord, Segment } from '../records/types.js'
import type { DroppedRecord } from './lane-troubles.js'
import type { LaneLimits, LaneTopic } from './lane-types.js'
import type { LaneWork, TransformedPlan } from './lane-work.js'
import type { Admitted } from './schemas/lane-schemas.js'
import { hasHoles, leaveOut, unclassified } from './source-filter.js'

type DataSegment = Extract<Segment, { kind: 'data' }>
type Planned = Pick<TransformedPlan, 'batches' | 'next' | 'stopped' | 'held'>
type Attempt = Planned | { batch: DataSegment; error: TwinlogError } | { drops: Admitted['drops'] }

/** What planning needs of its lane. */
export interface PlannerHost {
  work(): LaneWork
  /** The log has holes that no transaction explains: true when the lane may plan around them as it is. */
  mayHaveHoles(): Promise<boolean>
  /** A damaged batch: whether its records may be left out, or the lane must stop there. */
  damaged(batch: DataSegment, error: TwinlogError): Promise<'drop' | 'stop'>
  /** A record is left out; resolves when the word about it is where the policy wants it. */
  dropped(record: DroppedRecord): Promise<void>
}

/** A stretch of the source log that was read. */
export interface LogRead {
  segments: Segment[]
  /** When, by `performance.now()`. */
  at: number
  /** False once the lane has begun anew. */
  counts(): boolean
}

/** Makes batches of what was read: leaves out what is not the lane's, waits for what has to be known first, transforms, plans. */
export class ReadPlanner {
  limits: LaneLimits
  readonly #source: LaneTopic
  readonly #host: PlannerHost
  /** Source offsets that are left out: their records cannot be copied, and the policy is to go on. */
  readonly #drops = new Set<bigint>()
  /** Source offsets that no batch reaches over: on the way to a record that the target refuses. */
  readonly #cuts = new Set<bigint>()

  constructor(o: { source: LaneTopic; limits: LaneLimits; host: PlannerHost }) {
    this.#source = o.source
    this.limits = o.limits
    this.#host = o.host
  }

  drop(offsets: Iterable<bigint>): void {
    for (const offset of offsets) this.#drops.add(offset)
  }

  cut(offset: bigint): void {
    this.#cuts.add(offset)
  }

  forgetDrops(): void {
    this.#drops.clear()
  }

  /** Everything before this offset is on the target. */
  passed(offset: bigint): void {
    for (const set of [this.#drops, this.#cuts]) for (const known of set) if (known < offset) set.delete(known)
  }

  /**
   * Undefined: something has to be waited for first, see `later`. Nearly never: codecs are loaded, ids are known, the log has no holes.
   *
   * @throws TwinlogError TWINLOG_CORRUPT_BATCH: `later` finds out more
   */
  now({ segments, at }: LogRead): Planned | undefined {
    const { transform, classify, schemas } = this.#host.work()
    if (transform !== undefined || hasHoles(segments) || unclassified(segments, classify).length > 0) return undefined
    // Whoever looks into the records opens every batch.
    const codecs = neededCodecs(segments, schemas ? undefined : this.limits)
    if (!codecs.every(codec => isCodecLoaded(codec))) return undefined
    const carved = this.#carved(segments)
    if (!schemas) return planBatches(carved, this.limits)
    const admitted = schemas.admitNow(carved, at)
    return admitted && this.#planAdmitted(carved, admitted)
  }

  /** Undefined: it does not count any more, or the lane deals with it otherwise. */
  async later(read: LogRead): Promise<Planned | undefined> {
    const { segments } = read
    const { classify } = this.#host.work()
    if (hasHoles(segments) && !(await this.#host.mayHaveHoles())) return undefined
    await Promise.all(unclassified(segments, classify).map(async id => classify(id)))
    for (const codec of neededCodecs(segments)) if (!isCodecLoaded(codec)) await loadCodec(codec)
    for (;;) {
      const planned = await this.#plan(segments, read)
      if (planned === undefined || 'batches' in planned) return planned
      const { batch, error } = planned
      if ((await this.#host.damaged(batch, error)) === 'stop') {
        const before = await this.#plan(
          segments.filter(segment => segment.to <= batch.from),
          read
        )
        if (before === undefined || !('batches' in before)) return undefined
        return before.held ? before : { ...before, stopped: { offset: batch.from, error } }
      }
      for (let offset = batch.from; offset < batch.to; offset++) this.#drops.add(offset)
    }
  }

  /** Until no record of them is left out for want of a schema. */
  async #plan(segments: Segment[], read: LogRead): Promise<Exclude<Attempt, { drops: unknown }> | undefined> {
    for (;;) {
      const carved = this.#carved(segments)
      const attempt = await this.#attempt(carved, read)
      if (!read.counts()) return undefined
      if (!('drops' in attempt)) return attempt
      const recordAt = recordsOf(carved)
      for (const { offset, error } of attempt.drops) {
        await this.#host.dropped({ offset, to: offset + 1n, record: recordAt(offset), error })
        this.#drops.add(offset)
      }
    }
  }

  async #attempt(segments: Segment[], { at }: LogRead): Promise<Attempt> {
    const { transform, schemas } = this.#host.work()
    const [first] = segments
    if (!first) return { batches: [], next: 0n }
    try {
      if (transform) return await transform(segments, at)
      if (!schemas) return planBatches(segments, this.limits)
      const admitted = await schemas.admit(segments, at)
      return admitted.drops.length > 0 ? { drops: admitted.drops } : this.#planAdmitted(segments, admitted)
    } catch (error) {
      const batch = isDamage(error) ? batchAt(segments, error.offset) : undefined
      if (!batch || !isDamage(error)) throw error
      const { code, message, offset } = error
      const { topic, partition } = this.#source
      return { batch, error: new TwinlogError(code, message, { topic, partition, offset, cause: error }) }
    }
  }

  #planAdmitted(read: readonly Segment[], { segments, held, stopped }: Admitted): Planned {
    const { batches, next } =
      segments.length > 0 ? planBatches(segments, this.limits) : { batches: [], next: read[0]?.from ?? 0n }
    return { batches, next, held, stopped }
  }

  /** What is left of the segments once other links' records and those that cannot be copied are out. */
  #carved(segments: Segment[]): Segment[] {
    const own = leaveOut(segments, this.#host.work().classify)
    return this.#drops.size + this.#cuts.size === 0 ? own : carve(own, { drops: this.#drops, cuts: this.#cuts })
  }
}

export const isDamage = (error: unknown): error is TwinlogError & { offset: bigint } =>
  error instanceof Error &&
  (error as TwinlogError).code === 'TWINLOG_CORRUPT_BATCH' &&
  (error as TwinlogError).offset !== undefined

function batchAt(segments: readonly Segment[], offset: bigint): DataSegment | undefined {
  for (const segment of segments)
    if (segment.kind === 'data' && segment.batch.baseOffset <= offset && offset < segment.batch.nextOffset)
      return segment
  return undefined
}

/** Records as they stand on the source, by offset. Each batch is opened once. */
function recordsOf(segments: readonly Segment[]): (offset: bigint) => DecodedRecord | undefined {
  const opened = new Map<BatchView, Map<bigint, DecodedRecord>>()
  return offset => {
    const batch = batchAt(segments, offset)?.batch
    if (!batch) return undefined
    const records = opened.get(batch) ?? new Map(decodeRecords(batch).map(record => [record.offset, record]))
    opened.set(batch, records)
    return records.get(offset)
  }
}
