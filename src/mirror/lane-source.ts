import { type TwinlogError, toTwinlogError } from '../errors.js'
import type { FrameLease } from '../kafka/frame-pool.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { Gap } from '../lineage/gap-table.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import { readSegments } from '../records/segments.js'
import type { Segment } from '../records/types.js'
import type { LaneBuffer, Send } from './lane-buffer.js'
import { gapsNotWritten, judgeFetchError, sourceDiverged } from './lane-errors.js'
import type { LaneLimits, LaneTopic } from './lane-types.js'
import type { TransformedPlan } from './lane-work.js'
import { isDamage, type LogRead, type PlannerHost, ReadPlanner } from './read-planner.js'
import type { SchemaHold } from './schemas/schema-hold.js'

/** What the source side needs of its lane. */
export interface SourceSideHost extends PlannerHost {
  buffer(): LaneBuffer | undefined
  epoch(): LaneEpoch | undefined
  /** False from an error until the lane has recovered. */
  copies(): boolean
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
  fail(error: TwinlogError): void
  /** What was planned goes out first. */
  failWhenDrained(error: TwinlogError): void
  failSoft(error: TwinlogError): void
}

const DONE = Promise.resolve()

/** The source side of a lane: reads what was fetched and plans it into batches. */
export class LaneSource {
  readonly #key: string
  readonly #source: LaneTopic
  readonly #planner: ReadPlanner
  readonly #host: SourceSideHost
  #leaderEpoch = -1
  /** Of the lane's life: what was read before a recovery must not be planned behind it. */
  #generation = 0
  #busy = false
  #held: { hold: SchemaHold; end: () => void } | undefined

  constructor(o: { key: string; source: LaneTopic; limits: LaneLimits; host: SourceSideHost }) {
    this.#key = o.key
    this.#source = o.source
    this.#host = o.host
    this.#planner = new ReadPlanner(o)
  }

  set limits(limits: LaneLimits) {
    this.#planner.limits = limits
  }

  /** Of the last record that was read. */
  get leaderEpoch(): number {
    return this.#leaderEpoch
  }

  /** What was fetched is still being planned. */
  get busy(): boolean {
    return this.#busy
  }

  /** A record waits for its schema: what follows is fetched once it is there. */
  get holds(): boolean {
    return this.#held !== undefined
  }

  /** The state that this is for the lane. */
  get waits(): { state: 'waiting'; why: string } | undefined {
    return this.#held && { state: 'waiting', why: this.#held.hold.why }
  }

  /** Whatever the lane waited for: it begins anew, or ends. */
  letGo(): void {
    this.#held?.end()
    this.#held = undefined
  }

  /** `leaderEpoch` is given when the lane begins at what the state says, not at what is in memory. */
  beginAt(leaderEpoch?: number): void {
    this.#generation += 1
    this.#busy = false
    this.letGo()
    this.#host.work().schemas?.restarted()
    if (leaderEpoch !== undefined) this.#leaderEpoch = leaderEpoch
  }

  drop(offsets: Iterable<bigint>): void {
    this.#planner.drop(offsets)
  }

  cut(offset: bigint): void {
    this.#planner.cut(offset)
  }

  forgetDrops(): void {
    this.#planner.forgetDrops()
  }

  /** Segments of a fetched answer, or undefined when it held an error or nothing; then it has been dealt with. */
  read(result: FetchedPartition, asked: bigint): Segment[] | undefined {
    const buffer = this.#host.buffer()
    // An answer to an older question must not be read: after a recovery it could hide a gap.
    if (!this.#host.copies() || this.#busy || this.#held || !buffer || asked !== buffer.position) return undefined
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
    if (segments.length === 0 || this.#busy || this.#held) return DONE
    const generation = this.#generation
    const read: LogRead = { segments, at: performance.now(), counts: () => generation === this.#generation }
    try {
      const planned = this.#planner.now(read)
      if (planned) {
        this.#add(planned, segments, frame)
        return DONE
      }
    } catch (error) {
      if (!isDamage(error)) {
        this.#failed(error)
        return DONE
      }
    }
    this.#busy = true
    return this.#planner
      .later(read)
      .then(planned => {
        if (planned && read.counts()) this.#add(planned, segments, frame)
      })
      .catch((error: unknown) => {
        // A transform that was cut short by stop() is no failure of the lane.
        if (read.counts() && (error as TwinlogError).code !== 'TWINLOG_ABORTED') this.#failed(error)
      })
      .finally(() => {
        if (!read.counts()) return
        this.#busy = false
        this.#host.kick()
      })
  }

  #add(plan: TransformedPlan, segments: Segment[], frame: FrameLease | undefined): void {
    const buffer = this.#host.buffer()
    const epoch = this.#host.epoch()
    if (!this.#host.copies() || !buffer || !epoch || segments[0]?.from !== buffer.position) return
    const { sends, gaps } = buffer.add(plan.batches, plan.next, frame)
    this.#planner.passed(buffer.reached)
    if (gaps.length > 0) {
      const waiting = sends.filter(send => !send.durable)
      this.#writeAhead(epoch, gaps, waiting)
    }
    this.#host.markDirty()
    this.#host.observe()
    if (sends.length > 0) this.#host.kick()
    if (plan.held) this.#hold(plan.held)
    else if (plan.stopped) this.#host.failWhenDrained(plan.stopped.error)
  }

  /** Nothing is fetched until then: memory is for the others. */
  #hold(hold: SchemaHold): void {
    const end = hold.begin({
      released: () => {
        this.#held = undefined
        this.#host.observe()
        this.#host.kick()
      },
      changed: () => this.#host.observe()
    })
    this.#held = { hold, end }
    this.#host.observe()
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
