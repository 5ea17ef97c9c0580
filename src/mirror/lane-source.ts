import { TwinlogError, toTwinlogError } from '../errors.js'
import type { FrameLease } from '../kafka/frame-pool.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { Gap } from '../lineage/gap-table.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import { carve } from '../records/carve.js'
import { isCodecLoaded, loadCodec } from '../records/compression.js'
import { neededCodecs, planBatches } from '../records/plan.js'
import { readSegments } from '../records/segments.js'
import type { Segment } from '../records/types.js'
import type { LaneBuffer, Send } from './lane-buffer.js'
import { gapsNotWritten, judgeFetchError, sourceDiverged } from './lane-errors.js'
import type { LaneLimits, LaneTopic } from './lane-types.js'
import type { LaneWork, TransformedPlan } from './lane-work.js'
import { hasHoles, leaveOut, unclassified } from './source-filter.js'

/** What the source side needs of its lane. */
export interface SourceSideHost {
  buffer(): LaneBuffer | undefined
  epoch(): LaneEpoch | undefined
  /** False from an error until the lane has recovered. */
  copies(): boolean
  work(): LaneWork
  /** Where the source ends now. */
  fetched(ends: { highWatermark: bigint; lastStableOffset: bigint }): void
  observe(): void
  markDirty(): void
  kick(): void
  writeGaps(epoch: LaneEpoch, gaps: Gap[]): Promise<void>
  sourceMoved(): void
  sourceOutOfRange(): void
  /** The source lost its end and goes on with another history from here. */
  sourceTruncated(at: bigint, error: TwinlogError): void
  /** The log has holes that no transaction explains: true when the lane may plan around them as it is. */
  mayHaveHoles(): Promise<boolean>
  /** A damaged batch: whether its records may be left out, or the lane must stop there. */
  damaged(batch: DataSegment, error: TwinlogError): Promise<'drop' | 'stop'>
  fail(error: TwinlogError): void
  /** What was planned goes out first. */
  failWhenDrained(error: TwinlogError): void
  failSoft(error: TwinlogError): void
}

type DataSegment = Extract<Segment, { kind: 'data' }>
type Planned = Pick<TransformedPlan, 'batches' | 'next' | 'stopped'>

const DONE = Promise.resolve()

/** The source side of a lane: reads what was fetched and plans it into batches. */
export class LaneSource {
  readonly #key: string
  readonly #source: LaneTopic
  limits: LaneLimits
  readonly #host: SourceSideHost
  /** Source offsets that are left out: their records cannot be copied, and the policy is to go on. */
  readonly #drops = new Set<bigint>()
  /** Source offsets that no batch reaches over: on the way to a record that the target refuses. */
  readonly #cuts = new Set<bigint>()
  #leaderEpoch = -1
  /** Of the lane's life: what was read before a recovery must not be planned behind it. */
  #generation = 0
  #busy = false

  constructor(o: { key: string; source: LaneTopic; limits: LaneLimits; host: SourceSideHost }) {
    this.#key = o.key
    this.#source = o.source
    this.limits = o.limits
    this.#host = o.host
  }

  /** Of the last record that was read. */
  get leaderEpoch(): number {
    return this.#leaderEpoch
  }

  /** What was fetched is still being planned. */
  get busy(): boolean {
    return this.#busy
  }

  /** `leaderEpoch` is given when the lane begins at what the state says, not at what is in memory. */
  beginAt(leaderEpoch?: number): void {
    this.#generation += 1
    this.#busy = false
    if (leaderEpoch !== undefined) this.#leaderEpoch = leaderEpoch
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

  /** Segments of a fetched answer, or undefined when it held an error or nothing; then it has been dealt with. */
  read(result: FetchedPartition, asked: bigint): Segment[] | undefined {
    const buffer = this.#host.buffer()
    // An answer to an older question must not be read: after a recovery it could hide a gap.
    if (!this.#host.copies() || this.#busy || !buffer || asked !== buffer.position) return undefined
    if (result.errorCode !== 0) {
      this.#fetchFailed(result, buffer.position)
      return undefined
    }
    if (result.divergingEpoch) {
      const { endOffset } = result.divergingEpoch
      const error = sourceDiverged(this.#source, result.divergingEpoch, buffer.position)
      this.#host.sourceTruncated(endOffset < buffer.position ? endOffset : buffer.position, error)
      return undefined
    }
    this.#host.fetched(result)
    if (result.records.length === 0) {
      this.#host.observe()
      return undefined
    }
    const { segments, leaderEpoch } = readSegments(result.records, {
      position: buffer.position,
      isolation: this.#host.work().isolation,
      abortedTransactions: result.abortedTransactions
    })
    if (leaderEpoch > this.#leaderEpoch) this.#leaderEpoch = leaderEpoch
    return segments
  }

  /** Plans what was read, at once where nothing has to be waited for. Never rejects: what goes wrong is the lane's own trouble. */
  ingest(segments: Segment[], frame: FrameLease | undefined): Promise<void> {
    if (segments.length === 0 || this.#busy) return DONE
    try {
      if (!this.#mustWait(segments)) {
        this.#add(planBatches(this.#carved(segments), this.limits), segments, frame)
        return DONE
      }
    } catch (error) {
      if (!isDamage(error)) {
        this.#failed(error)
        return DONE
      }
    }
    this.#busy = true
    const generation = this.#generation
    return this.#ingest(segments, frame, generation)
      .catch((error: unknown) => {
        // A transform that was cut short by stop() is no failure of the lane.
        if (generation === this.#generation && (error as TwinlogError).code !== 'TWINLOG_ABORTED') this.#failed(error)
      })
      .finally(() => {
        if (generation !== this.#generation) return
        this.#busy = false
        this.#host.kick()
      })
  }

  /** Codecs are loaded, ids are known and the log has no holes nearly always. */
  #mustWait(segments: Segment[]): boolean {
    const { transform, classify } = this.#host.work()
    return (
      transform !== undefined ||
      hasHoles(segments) ||
      unclassified(segments, classify).length > 0 ||
      neededCodecs(segments, this.limits).some(codec => !isCodecLoaded(codec))
    )
  }

  async #ingest(segments: Segment[], frame: FrameLease | undefined, generation: number): Promise<void> {
    const { classify } = this.#host.work()
    if (hasHoles(segments) && !(await this.#host.mayHaveHoles())) return
    await Promise.all(unclassified(segments, classify).map(async id => classify(id)))
    for (const codec of neededCodecs(segments)) if (!isCodecLoaded(codec)) await loadCodec(codec)
    for (;;) {
      const carved = this.#carved(segments)
      const planned = await this.#planOrDamage(carved)
      if (generation !== this.#generation) return
      if ('batches' in planned) return this.#add(planned, segments, frame)
      const { batch, error } = planned
      if ((await this.#host.damaged(batch, error)) === 'stop') {
        const before = await this.#planOrDamage(carved.filter(segment => segment.to <= batch.from))
        if (generation !== this.#generation || !('batches' in before)) return
        return this.#add({ ...before, stopped: { offset: batch.from, error } }, segments, frame)
      }
      for (let offset = batch.from; offset < batch.to; offset++) this.#drops.add(offset)
    }
  }

  async #planOrDamage(segments: Segment[]): Promise<Planned | { batch: DataSegment; error: TwinlogError }> {
    const { transform } = this.#host.work()
    const [first] = segments
    if (!first) return { batches: [], next: this.#host.buffer()?.position ?? 0n }
    try {
      return transform ? await transform(segments) : planBatches(segments, this.limits)
    } catch (error) {
      const batch = isDamage(error) ? batchAt(segments, error.offset) : undefined
      if (!batch || !isDamage(error)) throw error
      const { code, message, offset } = error
      const { topic, partition } = this.#source
      return { batch, error: new TwinlogError(code, message, { topic, partition, offset, cause: error }) }
    }
  }

  /** What is left of the segments once other links' records and those that cannot be copied are out. */
  #carved(segments: Segment[]): Segment[] {
    const own = leaveOut(segments, this.#host.work().classify)
    return this.#drops.size + this.#cuts.size === 0 ? own : carve(own, { drops: this.#drops, cuts: this.#cuts })
  }

  #add(plan: Planned, segments: Segment[], frame: FrameLease | undefined): void {
    const buffer = this.#host.buffer()
    const epoch = this.#host.epoch()
    if (!this.#host.copies() || !buffer || !epoch || segments[0]?.from !== buffer.position) return
    const { sends, gaps } = buffer.add(plan.batches, plan.next, frame)
    for (const set of [this.#drops, this.#cuts])
      for (const offset of set) if (offset < buffer.reached) set.delete(offset)
    if (gaps.length > 0) {
      const waiting = sends.filter(send => !send.durable)
      this.#writeAhead(epoch, gaps, waiting)
    }
    this.#host.markDirty()
    this.#host.observe()
    if (sends.length > 0) this.#host.kick()
    if (plan.stopped) this.#host.failWhenDrained(plan.stopped.error)
  }

  #writeAhead(epoch: LaneEpoch, gaps: Gap[], waiting: Send[]): void {
    this.#host.writeGaps(epoch, gaps).then(
      () => {
        for (const send of waiting) send.durable = true
        this.#host.kick()
      },
      (error: unknown) => {
        // Recovery begins from the written state again: what was planned behind unwritten gaps is forgotten.
        this.#host.buffer()?.forget()
        this.#host.failSoft(gapsNotWritten(error))
      }
    )
  }

  #failed(error: unknown): void {
    const where = { topic: this.#source.topic, partition: this.#source.partition }
    const cause = toTwinlogError(error, 'TWINLOG_INTERNAL', `planning lane ${this.#key} failed`, where)
    // The Mirror stops, and a transform was told so.
    if (cause.code === 'TWINLOG_ABORTED') return
    // A broker that was asked on the way: the lane tries again by itself.
    if (cause.retriable) this.#host.failSoft(cause)
    else this.#host.fail(cause)
  }

  #fetchFailed(result: FetchedPartition, position: bigint): void {
    const verdict = judgeFetchError(result, position, this.#source)
    if (verdict.action === 'refresh') this.#host.sourceMoved()
    else if (verdict.action === 'ask-bounds') this.#host.sourceOutOfRange()
    else this.#host.fail(verdict.error)
  }
}

const isDamage = (error: unknown): error is TwinlogError & { offset: bigint } =>
  error instanceof Error &&
  (error as TwinlogError).code === 'TWINLOG_CORRUPT_BATCH' &&
  (error as TwinlogError).offset !== undefined

function batchAt(segments: readonly Segment[], offset: bigint): DataSegment | undefined {
  for (const segment of segments)
    if (segment.kind === 'data' && segment.batch.baseOffset <= offset && offset < segment.batch.nextOffset)
      return segment
  return undefined
}
