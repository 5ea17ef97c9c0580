import { type TwinlogError, toTwinlogError } from '../errors.js'
import type { FrameLease } from '../kafka/frame-pool.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { Gap } from '../lineage/gap-table.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import { planBatches } from '../records/plan.js'
import { readSegments } from '../records/segments.js'
import type { Segment } from '../records/types.js'
import type { LaneLimits, LaneTopic } from './lane-types.js'
import type { LaneBuffer, Send } from './lane-buffer.js'
import { gapsNotWritten, judgeFetchError, sourceDiverged } from './lane-errors.js'
import { assertYoungEnough } from './lane-guard.js'

/** What the source side needs of its lane. */
export interface SourceSideHost {
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
  fail(error: TwinlogError): void
  failSoft(error: TwinlogError): void
}

/** The source side of a lane: reads what was fetched and plans it into batches. */
export class LaneSource {
  readonly #key: string
  readonly #source: LaneTopic
  readonly #limits: LaneLimits
  readonly #host: SourceSideHost
  #leaderEpoch = -1

  constructor(o: { key: string; source: LaneTopic; limits: LaneLimits; host: SourceSideHost }) {
    this.#key = o.key
    this.#source = o.source
    this.#limits = o.limits
    this.#host = o.host
  }

  /** Of the last record that was read. */
  get leaderEpoch(): number {
    return this.#leaderEpoch
  }

  beginAt(leaderEpoch: number): void {
    this.#leaderEpoch = leaderEpoch
  }

  /** Segments of a fetched answer, or undefined when it held an error or nothing; then it has been dealt with. */
  read(result: FetchedPartition, asked: bigint): Segment[] | undefined {
    const buffer = this.#host.buffer()
    // An answer to an older question must not be read: after a recovery it could hide a gap.
    if (!this.#host.copies() || !buffer || asked !== buffer.position) return undefined
    if (result.errorCode !== 0) {
      this.#fetchFailed(result, buffer.position)
      return undefined
    }
    if (result.divergingEpoch) {
      this.#host.fail(sourceDiverged(this.#source, result.divergingEpoch, buffer.position))
      return undefined
    }
    this.#host.fetched(result)
    if (result.records.length === 0) {
      this.#host.observe()
      return undefined
    }
    const o = {
      position: buffer.position,
      isolation: 'read_committed' as const,
      abortedTransactions: result.abortedTransactions
    }
    const { segments, leaderEpoch } = readSegments(result.records, o)
    if (leaderEpoch > this.#leaderEpoch) this.#leaderEpoch = leaderEpoch
    return segments
  }

  plan(segments: Segment[], frame: FrameLease | undefined): void {
    try {
      this.#plan(segments, frame)
    } catch (error) {
      const where = { topic: this.#source.topic, partition: this.#source.partition }
      this.#host.fail(toTwinlogError(error, 'TWINLOG_INTERNAL', `planning lane ${this.#key} failed`, where))
    }
  }

  #plan(segments: Segment[], frame: FrameLease | undefined): void {
    const buffer = this.#host.buffer()
    const epoch = this.#host.epoch()
    // Loading a codec takes a while: after a recovery in between these segments would follow something else.
    if (!this.#host.copies() || !buffer || !epoch || segments[0]?.from !== buffer.position) return
    const planned = planBatches(segments, this.#limits)
    for (const batch of planned.batches) {
      assertYoungEnough(batch, this.#limits.producerIdExpirationMs, this.#source)
    }
    const { sends, gaps } = buffer.add(planned.batches, planned.next, frame)
    if (gaps.length > 0)
      this.#writeAhead(
        epoch,
        gaps,
        sends.filter(send => !send.durable)
      )
    this.#host.markDirty()
    this.#host.observe()
    if (sends.length > 0) this.#host.kick()
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

  #fetchFailed(result: FetchedPartition, position: bigint): void {
    const verdict = judgeFetchError(result, position, this.#source)
    if (verdict.action === 'refresh') this.#host.sourceMoved()
    else if (verdict.action === 'ask-bounds') this.#host.sourceOutOfRange()
    else this.#host.fail(verdict.error)
  }
}
