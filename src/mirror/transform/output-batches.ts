import { BATCH } from '../../records/batch.js'
import { encodeBatch, finishBatch, recordBound, writeRecord } from '../../records/encode.js'
import { compressPlanned, slicePlanned } from '../../records/rewrite.js'
import type { CompressionName, DecodedRecord, GapInBatch, PlannedBatch } from '../../records/types.js'

/** The source batch that outputs come from, as far as their own batch depends on it. */
export interface OutputOrigin {
  codec: CompressionName
  leaderEpoch: number
  /** Bytes on the wire per byte of records, as the source has them. */
  compressionRatio: number
  /** Outputs of different stretches never share a batch. */
  stretch: number
}

export interface OutputLimits {
  /** Never exceeded. */
  maxBatchBytes: number
  /** A batch of this size is not made longer by another source batch. */
  preferredBatchBytes: number
}

const FIRST_CAPACITY_BYTES = 64 << 10
/** Outputs are put together up to this many times `maxBatchBytes` of uncompressed data. */
const UNCOMPRESSED_FACTOR = 4
/** Source batches are not put together beyond this much uncompressed data: compressing it must not hold up the process. */
const MERGED_BYTES = 1 << 20
/** An unused tail of more than this share of a buffer is given back by copying. */
const WASTE_SHARE = 0.25
/** No codec makes data that cannot be compressed longer than this. */
const worstSize = (bytes: number) => BATCH.records + 1024 + bytes * 1.2

/**
 * Puts a transform's outputs into batches: dense, CreateTime, compressed as the source was. Records are written the moment they come, so a
 * transform may use its buffers again. Outputs of one source record always share a batch: a lane never rests between them.
 */
export class OutputBatches {
  readonly batches: PlannedBatch[] = []
  readonly #limits: OutputLimits
  /** Source offset behind the last record that is in a batch. */
  #placed: bigint
  #origin: OutputOrigin | undefined
  #bytes = Buffer.alloc(0)
  #end = 0
  #count = 0
  #likelyBytes = 0
  #from = 0n
  #base = { offset: 0n, timestamp: 0n }
  #maxTimestamp = 0n
  #leaderEpoch = -1
  #gaps: GapInBatch[] = []

  constructor(from: bigint, limits: OutputLimits) {
    this.#placed = from
    this.#limits = limits
  }

  /** Adds all outputs of the record at this source offset, at least one. False: they do not fit into a batch, and nothing was added. */
  add(source: bigint, outputs: DecodedRecord[], origin: OutputOrigin): boolean {
    let bound = 0
    for (const record of outputs) bound += recordBound(record)
    if (worstSize(bound) > this.#limits.maxBatchBytes && !this.#fitsAlone(outputs, origin)) return false

    const likely = bound * origin.compressionRatio
    if (!this.#mayGrow(bound, likely, origin)) this.flush()
    const first = outputs[0] as DecodedRecord
    if (this.#count === 0) this.#begin(source, first.timestamp)
    else if (source > this.#placed) this.#gaps.push({ index: this.#count, from: this.#placed, to: source })
    this.#reserve(bound)
    for (const [index, record] of outputs.entries()) {
      if (index > 0) this.#gaps.push({ index: this.#count, from: source + 1n, to: source })
      record.offset = BigInt(this.#count)
      this.#end = writeRecord(this.#bytes, this.#end, record, this.#base)
      this.#count++
      if (record.timestamp > this.#maxTimestamp) this.#maxTimestamp = record.timestamp
    }
    this.#origin = origin
    this.#likelyBytes += likely
    this.#leaderEpoch = Math.max(this.#leaderEpoch, origin.leaderEpoch)
    this.#placed = source + 1n
    return true
  }

  /** Ends the batch at hand. */
  flush(): void {
    if (this.#count === 0 || this.#origin === undefined) return
    let bytes = this.#bytes.subarray(0, this.#end)
    const { codec } = this.#origin
    if (codec === 'none' && this.#bytes.length - this.#end > this.#bytes.length * WASTE_SHARE)
      bytes = Buffer.from(bytes)
    const plain: PlannedBatch = {
      bytes,
      count: this.#count,
      from: this.#from,
      to: this.#placed,
      gaps: this.#gaps,
      maxTimestamp: this.#maxTimestamp,
      sourceLeaderEpoch: this.#leaderEpoch,
      via: 'rebuild'
    }
    finishBatch(bytes, {
      compression: 'none',
      count: plain.count,
      lastOffsetDelta: plain.count - 1,
      firstTimestamp: this.#base.timestamp,
      maxTimestamp: plain.maxTimestamp
    })
    this.#count = 0
    this.#origin = undefined
    this.#pushWithinLimit(plain, codec)
  }

  #fitsAlone(outputs: DecodedRecord[], origin: OutputOrigin): boolean {
    const records = outputs.map((record, index) => ({ ...record, offset: BigInt(index) }))
    return encodeBatch({ records, compression: origin.codec }).length <= this.#limits.maxBatchBytes
  }

  #mayGrow(bound: number, likely: number, origin: OutputOrigin): boolean {
    const open = this.#origin
    if (open === undefined) return true
    if (open.codec !== origin.codec || open.stretch !== origin.stretch) return false
    const isLongEnough = this.#likelyBytes >= this.#limits.preferredBatchBytes || this.#end >= MERGED_BYTES
    if (open !== origin && isLongEnough) return false
    if (this.#likelyBytes + likely > this.#limits.maxBatchBytes) return false
    return this.#end + bound <= this.#limits.maxBatchBytes * (origin.codec === 'none' ? 1 : UNCOMPRESSED_FACTOR)
  }

  #begin(source: bigint, timestamp: bigint): void {
    this.#bytes = Buffer.allocUnsafe(FIRST_CAPACITY_BYTES)
    this.#end = BATCH.records
    this.#likelyBytes = BATCH.records
    this.#gaps = source > this.#placed ? [{ index: 0, from: this.#placed, to: source }] : []
    this.#from = source
    this.#base = { offset: 0n, timestamp }
    this.#maxTimestamp = timestamp
    this.#leaderEpoch = -1
  }

  #reserve(bound: number): void {
    if (this.#end + bound <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#end + bound))
    this.#bytes.copy(larger, 0, 0, this.#end)
    this.#bytes = larger
  }

  #pushWithinLimit(plain: PlannedBatch, codec: CompressionName): void {
    const planned = compressPlanned(plain, codec)
    const middle = planned.bytes.length > this.#limits.maxBatchBytes ? boundaryNearMiddle(plain) : 0
    if (middle === 0) {
      this.batches.push(planned)
      return
    }
    this.#pushWithinLimit(slicePlanned(plain, 0, middle), codec)
    this.#pushWithinLimit(slicePlanned(plain, middle, plain.count), codec)
  }
}

/** An index where outputs of another source record begin; 0 when all come from the same one. */
function boundaryNearMiddle({ count, gaps }: PlannedBatch): number {
  const inside = new Set(gaps.filter(gap => gap.to < gap.from).map(gap => gap.index))
  const middle = count >> 1
  for (let distance = 0; distance < count; distance++) {
    for (const index of [middle - distance, middle + distance]) {
      if (index > 0 && index < count && !inside.has(index)) return index
    }
  }
  return 0
}
