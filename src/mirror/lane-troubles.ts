import { TwinlogError } from '../errors.js'
import { verifyCrc, viewOf } from '../records/batch.js'
import { compressionOf, loadCodec } from '../records/compression.js'
import { BATCH } from '../records/batch.js'
import { decodeRecords } from '../records/decode.js'
import { sourceOffsetAt } from '../records/rewrite.js'
import type { BatchView, DecodedRecord, PlannedBatch } from '../records/types.js'
import { cutOf, type LaneBuffer, type Send } from './lane-buffer.js'
import type { LaneTopic } from './lane-types.js'
import type { LaneWork } from './lane-work.js'

/** A record that is left out, with why; a damaged batch has no records that could be told apart. */
export interface DroppedRecord {
  offset: bigint
  /** Source offset behind what is left out. */
  to: bigint
  record?: DecodedRecord | undefined
  /** The damaged batch. */
  raw?: Buffer | undefined
  error: TwinlogError
}

interface TroublesHost {
  work(): LaneWork
  buffer(): LaneBuffer | undefined
  /** These source offsets are left out from now on. */
  drop(offsets: Iterable<bigint>): void
  forgetDrops(): void
  /** No batch reaches over this source offset from now on. */
  cut(offset: bigint): void
  dropped(record: DroppedRecord): Promise<void>
  lost(error: TwinlogError): void
  kick(): void
  fail(error: TwinlogError): void
  failSoft(error: TwinlogError): void
}

/** What a lane does about records that cannot be copied and logs that lost something: by policy, and never silently. */
export class LaneTroubles {
  readonly #source: LaneTopic
  readonly #target: LaneTopic
  readonly #host: TroublesHost
  /** What was planned under the current identity is not certain any more: a lane with one owner takes a new one. */
  broken = false
  /** The lane needs a producer id of its own. */
  wantsOwnId = false
  #targetLost = false
  #era: bigint | undefined
  #split: Send | undefined
  #pending: Promise<void> = Promise.resolve()

  constructor(o: { source: LaneTopic; target: LaneTopic } & TroublesHost) {
    this.#source = o.source
    this.#target = o.target
    this.#host = o
  }

  /** The target lost what was acknowledged, and the policy is to copy it again. */
  get targetWasLost(): boolean {
    return this.#targetLost
  }

  /** What has to be done before the lane starts again. @throws TwinlogError when it cannot be done */
  async settled(): Promise<void> {
    const pending = this.#pending
    try {
      await pending
    } catch (error) {
      // The record is not left out then: the target refuses it again, and the word about it is tried again.
      if (this.#pending === pending) this.#pending = Promise.resolve()
      throw error
    }
  }

  /** The lane has begun anew: nothing of the old troubles is left. */
  over(): void {
    this.broken = false
    this.#targetLost = false
    this.#split = undefined
  }

  /** What was found in the logs was found under an identity that others have followed. */
  forgetFindings(): void {
    this.#era = undefined
    this.#host.forgetDrops()
  }

  needsOwnId(): void {
    this.wantsOwnId = true
    this.#host.failSoft(
      new TwinlogError(
        'TWINLOG_POSITION_UNKNOWN',
        `records of ${place(this.#source)} are older than the target remembers a producer: they are written in transactions`,
        { ...where(this.#source), retriable: true }
      )
    )
  }

  // ── records ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The target does not take a batch: it is sent in smaller and smaller parts until the record is found that is the reason. */
  refused(send: Send, error: TwinlogError, badRecords: readonly number[]): void {
    const { batch } = send
    const view = viewOf(batch.bytes)
    if (!verifyCrc(view))
      return this.#leaveOut([
        { offset: batch.from, to: batch.to, raw: batch.bytes, error: damagedOnSource(this.#source, batch.from) }
      ])
    // A lane that stops at a record copies what is before it: halving gets there.
    const named = this.#host.work().onRecordError === 'stop-partition' ? [] : badRecords
    const bad = named.filter(index => index >= 0 && index < batch.count)
    const cut = bad.length === 0 ? cutOf(batch) : undefined
    if (cut !== undefined) {
      this.#split = send
      // Memory may not survive: a lane in a transaction takes a new identity, and plans anew.
      this.#host.cut(cut)
      return this.#host.failSoft(
        new TwinlogError(error.code, `${error.message}; looking for the record`, {
          ...where(this.#source),
          retriable: true,
          cause: error
        })
      )
    }
    const indexes = bad.length > 0 ? bad : [0]
    const offsets = [...new Set(indexes.map(index => sourceOffsetAt(batch, index)))]
    this.#leaveOut(
      offsets.map(offset => ({ offset, to: offset + 1n, error: atOffset(error, this.#source, offset) })),
      { view, batch }
    )
  }

  /** A batch that is damaged on the source. */
  async damaged(
    segment: { batch: BatchView; from: bigint; to: bigint },
    error: TwinlogError
  ): Promise<'drop' | 'stop'> {
    if (this.#host.work().onRecordError === 'stop-partition') return 'stop'
    await this.#host.dropped({
      offset: segment.from,
      to: segment.to,
      raw: segment.batch.bytes,
      error: atOffset(error, this.#source, segment.from)
    })
    return 'drop'
  }

  #leaveOut(records: DroppedRecord[], from?: { view: BatchView; batch: PlannedBatch }): void {
    const [first] = records
    if (!first) return
    if (this.#host.work().onRecordError === 'stop-partition') return this.#host.fail(first.error)
    // Ordinals of everything behind them change: a new identity, and what is in memory is planned again without them.
    this.broken = true
    this.#host.buffer()?.forget()
    this.#pending = this.#tell(records, from).then(() => this.#host.drop(offsetsOf(records)))
    this.#pending.catch(() => undefined)
    this.#host.failSoft(
      new TwinlogError(first.error.code, first.error.message, {
        ...where(this.#source),
        offset: first.offset,
        retriable: true,
        cause: first.error
      })
    )
  }

  async #tell(records: DroppedRecord[], from: { view: BatchView; batch: PlannedBatch } | undefined): Promise<void> {
    let decoded: DecodedRecord[] = []
    if (from) {
      await loadCodec(compressionOf(from.view.bytes.readInt16BE(BATCH.attributes)))
      decoded = decodeRecords(from.view)
    }
    for (const dropped of records) {
      const index = from ? decoded.findIndex((_record, at) => sourceOffsetAt(from.batch, at) === dropped.offset) : -1
      await this.#host.dropped({ ...dropped, record: dropped.record ?? decoded[index] })
    }
  }

  /** With nothing in flight any more and codecs loaded. */
  applySplit(): void {
    if (this.#split) this.#host.buffer()?.split(this.#split)
    this.#split = undefined
  }

  // ── logs ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The source deleted records that were not copied: it begins at `start` now. */
  sourceBeginsAt(start: bigint, error: TwinlogError): void {
    this.#host.lost(error)
    if (this.#host.work().onGap === 'stop-partition') return this.#host.fail(error)
    this.#host.buffer()?.skipTo(start)
    this.#host.kick()
  }

  /** The source lost its end and goes on with another history from `at`. */
  sourceTruncated(at: bigint, error: TwinlogError): void {
    this.#host.lost(error)
    if (this.#host.work().onGap === 'stop-partition') return this.#host.fail(error)
    this.broken = true
    this.#era = at
    this.#host.buffer()?.forget()
    this.#host.failSoft(asRetriable(error))
  }

  /** The source topic is another log than the one whose copy the target holds. */
  logReplaced(error: TwinlogError): void {
    this.#host.lost(error)
  }

  /** The target lost records that it had acknowledged. */
  targetLost(error: TwinlogError): void {
    if (this.acceptsTargetLoss(error)) this.#host.failSoft(asRetriable(error))
    else this.#host.fail(error)
  }

  /** As `targetLost`, found out while the lane is not copying. True when it goes on with what the target still has. */
  acceptsTargetLoss(error: TwinlogError): boolean {
    this.#host.lost(error)
    if (this.#host.work().onGap === 'stop-partition') return false
    this.broken = true
    this.#targetLost = true
    this.#host.buffer()?.forget()
    return true
  }

  /** True when a new history of the source begins with this memory. */
  applyEra(buffer: LaneBuffer): boolean {
    const era = this.#era
    this.#era = undefined
    if (era === undefined) return false
    buffer.beginEra(era)
    return true
  }
}

function* offsetsOf(records: readonly DroppedRecord[]): Generator<bigint> {
  for (const { offset, to } of records) for (let at = offset; at < to; at++) yield at
}

function damagedOnSource(source: LaneTopic, offset: bigint): TwinlogError {
  return new TwinlogError(
    'TWINLOG_CORRUPT_BATCH',
    `the batch at offset ${offset} of source partition ${place(source)} is damaged: its checksum does not match its content`,
    { ...where(source), offset }
  )
}

function atOffset(error: TwinlogError, source: LaneTopic, offset: bigint): TwinlogError {
  return new TwinlogError(error.code, `source offset ${offset} of ${place(source)}: ${error.message}`, {
    ...where(source),
    offset,
    kafkaCode: error.kafkaCode,
    cause: error
  })
}

function asRetriable(error: TwinlogError): TwinlogError {
  return new TwinlogError(error.code, error.message, { ...error, retriable: true, cause: error })
}

const where = (source: LaneTopic) => ({ topic: source.topic, partition: source.partition })
const place = (source: LaneTopic) => `${source.topic}-${source.partition}`
