import { TwinlogError } from '../errors.js'
import { BATCH, corrupt, isLogAppendTime, viewOf } from './batch.js'
import { payloadOf } from './decode.js'
import { finishBatch } from './encode.js'
import type { BatchView, CompressionName, GapInBatch, PlannedBatch } from './types.js'
import {
  type Cursor,
  readVarint,
  readVarlong,
  readVarlongBig,
  SAFE_DELTA,
  sizeOfVarint,
  sizeOfVarlong,
  sizeOfVarlongBig,
  writeVarint,
  writeVarlong,
  writeVarlongBig
} from './varint.js'

/** What a record can grow by when its deltas change: timestamp 9, offset 4, length 1. */
const GROWTH_PER_RECORD = 14

/** Bytes that surely hold the rewritten records of a batch. */
export const rewrittenBound = (batch: BatchView, payload: Buffer): number =>
  payload.length + batch.count * GROWTH_PER_RECORD

/** An unused tail of more than this share of a buffer is given back by copying. */
const WASTE_SHARE = 0.25

/**
 * Writes the records of source batches one behind the other into a new, dense batch. Only length, timestamp delta and offset
 * delta of a record are written anew; key, value, headers and attributes are copied as one stretch of bytes.
 */
export class BatchRewriter {
  #bytes: Buffer
  #end: number = BATCH.records
  #count = 0
  #firstTimestamp = 0n
  // The largest timestamp, as a delta where numbers are exact, otherwise as it is.
  #maxDelta = -Infinity
  #maxTimestamp: bigint | undefined
  #from = 0n
  #next: bigint
  #leaderEpoch = -1
  readonly #gaps: GapInBatch[] = []
  readonly #cursor: Cursor = { position: 0 }

  /** `next`: source offset from which on nothing is placed yet. What is missing between it and a record becomes a gap. */
  constructor(capacityBytes: number, next: bigint) {
    this.#bytes = Buffer.allocUnsafe(BATCH.records + capacityBytes)
    this.#next = next
  }

  get count(): number {
    return this.#count
  }

  /** Appends the records with offsets in [from, to). The checksum has been verified, `payload` is decompressed. */
  append(batch: BatchView, payload: Buffer, from: bigint, to: bigint): void {
    try {
      this.#append(batch, payload, from, to)
    } catch (cause) {
      if (cause instanceof RangeError) throw corrupt(batch.baseOffset, cause.message, cause)
      throw cause
    }
  }

  #append(batch: BatchView, payload: Buffer, from: bigint, to: bigint): void {
    const cursor = this.#cursor
    const lower = Number(from - batch.baseOffset)
    const upper = Number(to - batch.baseOffset)
    const logAppendTime = isLogAppendTime(batch.attributes)
    const origin = logAppendTime ? batch.maxTimestamp : batch.firstTimestamp
    let expected = Number(this.#next - batch.baseOffset)
    let shift = this.#count === 0 ? 0 : safeNumber(origin - this.#firstTimestamp)
    cursor.position = 0

    for (let index = 0; index < batch.count; index++) {
      const length = readVarint(payload, cursor)
      const recordEnd = cursor.position + length
      if (length < 0 || recordEnd > payload.length) throw new RangeError(`record ${index} runs over the end`)
      const attributes = payload[cursor.position++] as number
      const timestampAt = cursor.position
      const sourceDelta = readVarlong(payload, cursor)
      const offsetDelta = readVarint(payload, cursor)
      const restStart = cursor.position
      if (restStart > recordEnd) throw new RangeError(`record ${index} does not have the length it says`)
      cursor.position = recordEnd
      if (offsetDelta < lower) continue
      if (offsetDelta >= upper && offsetDelta <= batch.lastOffsetDelta) break
      if (offsetDelta < expected || offsetDelta > batch.lastOffsetDelta) {
        throw new RangeError(`record ${index} has offset delta ${offsetDelta}, which does not fit`)
      }
      if (offsetDelta > expected) {
        const gapEnd = batch.baseOffset + BigInt(offsetDelta)
        this.#gaps.push({ index: this.#count, from: batch.baseOffset + BigInt(expected), to: gapEnd })
      }
      expected = offsetDelta + 1
      if (this.#count === 0) {
        this.#from = batch.baseOffset + BigInt(offsetDelta)
        this.#firstTimestamp = logAppendTime ? origin : timestampOf(payload, timestampAt, origin)
        shift = safeNumber(origin - this.#firstTimestamp)
      }
      const delta = logAppendTime ? shift : sourceDelta + shift
      if (Number.isNaN(delta)) {
        const timestamp = logAppendTime ? origin : timestampOf(payload, timestampAt, origin)
        this.#writeWideRecord(timestamp, attributes, payload, restStart, recordEnd)
      } else {
        this.#writeRecord(delta, attributes, payload, restStart, recordEnd)
      }
    }
    if (upper > batch.lastOffsetDelta && cursor.position !== payload.length) {
      throw new RangeError('there are bytes behind its last record')
    }
    this.#next = batch.baseOffset + BigInt(expected)
    if (batch.partitionLeaderEpoch > this.#leaderEpoch) this.#leaderEpoch = batch.partitionLeaderEpoch
  }

  #writeRecord(delta: number, attributes: number, payload: Buffer, start: number, end: number): void {
    const bytes = this.#bytes
    const count = this.#count
    const length = 1 + sizeOfVarlong(delta) + sizeOfVarint(count) + end - start
    let position = writeVarint(bytes, this.#end, length)
    bytes[position++] = attributes
    position = writeVarlong(bytes, position, delta)
    position = writeVarint(bytes, position, count)
    payload.copy(bytes, position, start, end)
    this.#end = position + end - start
    this.#count = count + 1
    if (delta > this.#maxDelta) this.#maxDelta = delta
  }

  /** The same for timestamps that are further apart than numbers are exact: nobody has them, but they must survive. */
  #writeWideRecord(timestamp: bigint, attributes: number, payload: Buffer, start: number, end: number): void {
    const bytes = this.#bytes
    const delta = BigInt.asIntN(64, timestamp - this.#firstTimestamp)
    const length = 1 + sizeOfVarlongBig(delta) + sizeOfVarint(this.#count) + end - start
    let position = writeVarint(bytes, this.#end, length)
    bytes[position++] = attributes
    position = writeVarlongBig(bytes, position, delta)
    position = writeVarint(bytes, position, this.#count)
    payload.copy(bytes, position, start, end)
    this.#end = position + end - start
    this.#count++
    if (this.#maxTimestamp === undefined || timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp
  }

  /** The uncompressed batch, `null` when it got no record. */
  finish(via: PlannedBatch['via']): PlannedBatch | null {
    if (this.#count === 0) return null
    let maxTimestamp = this.#maxTimestamp
    if (this.#maxDelta !== -Infinity) {
      const timestamp = this.#firstTimestamp + BigInt(this.#maxDelta)
      if (maxTimestamp === undefined || timestamp > maxTimestamp) maxTimestamp = timestamp
    }
    let bytes = this.#bytes.subarray(0, this.#end)
    if (this.#bytes.length - this.#end > this.#bytes.length * WASTE_SHARE) bytes = Buffer.from(bytes)
    const planned: PlannedBatch = {
      bytes,
      count: this.#count,
      from: this.#from,
      to: this.#next,
      gaps: this.#gaps,
      maxTimestamp: maxTimestamp as bigint,
      sourceLeaderEpoch: this.#leaderEpoch,
      via
    }
    finishBatch(bytes, {
      compression: 'none',
      count: this.#count,
      lastOffsetDelta: this.#count - 1,
      firstTimestamp: this.#firstTimestamp,
      maxTimestamp: planned.maxTimestamp
    })
    return planned
  }
}

/** Compresses a batch that {@link BatchRewriter.finish} made. */
export function compressPlanned(planned: PlannedBatch, compression: CompressionName): PlannedBatch {
  if (compression === 'none') return planned
  const bytes = finishBatch(planned.bytes, {
    compression,
    count: planned.count,
    lastOffsetDelta: planned.count - 1,
    firstTimestamp: planned.bytes.readBigInt64BE(BATCH.firstTimestamp),
    maxTimestamp: planned.maxTimestamp
  })
  return { ...planned, bytes }
}

/** Source offset of the record at `index` of a planned batch. */
export function sourceOffsetAt(planned: PlannedBatch, index: number): bigint {
  let offset = planned.from + BigInt(index)
  for (const gap of planned.gaps) if (gap.index > 0 && gap.index <= index) offset += gap.to - gap.from
  return offset
}

/** Records [start, end) of a planned batch as an uncompressed batch of their own; a gap directly before `start` comes along. */
export function slicePlanned(planned: PlannedBatch, start: number, end: number): PlannedBatch {
  const view = viewOf(planned.bytes)
  const payload = payloadOf(view)
  const first = view.baseOffset + BigInt(start)
  const rewriter = new BatchRewriter(rewrittenBound(view, payload), first)
  rewriter.append(view, payload, first, view.baseOffset + BigInt(end))
  const slice = rewriter.finish('rebuild')
  if (slice === null || slice.count !== end - start) {
    throw new TwinlogError(
      'TWINLOG_INTERNAL',
      `Records ${start} to ${end} do not exist in a batch of ${planned.count}.`
    )
  }
  return {
    ...slice,
    from: sourceOffsetAt(planned, start),
    to: sourceOffsetAt(planned, end - 1) + 1n,
    gaps: planned.gaps
      .filter(gap => gap.index >= start && gap.index < end)
      .map(gap => ({ ...gap, index: gap.index - start })),
    sourceLeaderEpoch: planned.sourceLeaderEpoch,
    via: planned.via
  }
}

function timestampOf(payload: Buffer, position: number, origin: bigint): bigint {
  return BigInt.asIntN(64, origin + readVarlongBig(payload, { position }))
}

function safeNumber(difference: bigint): number {
  const value = Number(difference)
  return value < SAFE_DELTA && value > -SAFE_DELTA ? value : Number.NaN
}
