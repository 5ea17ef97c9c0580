/** Header of one v2 RecordBatch, and its bytes (a view, header included). Layout: `docs/formats.md`, RecordBatch. */
export interface BatchView {
  readonly bytes: Buffer
  readonly baseOffset: bigint
  /** baseOffset + lastOffsetDelta + 1: where the next fetch begins. */
  readonly nextOffset: bigint
  readonly partitionLeaderEpoch: number
  readonly crc: number
  readonly attributes: number
  readonly lastOffsetDelta: number
  readonly firstTimestamp: bigint
  readonly maxTimestamp: bigint
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly count: number
}

/** One record, nothing lost: order and repeats of headers, null versus empty, arbitrary bytes. */
export interface DecodedRecord {
  offset: bigint
  timestamp: bigint
  key: Buffer | null
  value: Buffer | null
  headers: [name: Buffer, value: Buffer | null][]
}

export type CompressionName = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** Synchronous once loaded: planning stays a pure function. */
export interface Codec {
  compress(data: Buffer): Buffer
  decompress(data: Buffer): Buffer
}

/** Why source offsets hold no record for a lane. */
export type GapReason =
  | 'marker'
  | 'aborted'
  | 'hole'
  | 'empty'
  /** A transform made nothing of it for this lane. */
  | 'filtered'
  /** Written on the source by a link whose records this one does not carry. */
  | 'forwarded'
  /** Left out by `onRecordError`. */
  | 'dropped'
  /** Gone from the source before it was copied. */
  | 'lost'

/** What a lane sees of the source log, in offset order, without holes: each offset is in exactly one segment. */
export type Segment =
  | {
      kind: 'data'
      batch: BatchView /** first and one-past-last offset wanted of this batch */
      from: bigint
      to: bigint
      /** A planned batch must not reach over this segment's beginning. */
      cut?: boolean | undefined
    }
  | { kind: 'gap'; from: bigint; to: bigint; reason: GapReason }

/**
 * Source offsets [from, to) that hold no record for us; `index` = how many records of the planned batch lie before the gap.
 * An expansion has `to` = `from` - 1: the record at `index` (> 0) comes from the same source offset as the one before it.
 */
export interface GapInBatch {
  index: number
  from: bigint
  to: bigint
}

/** One batch ready to be stamped with producer id, epoch and sequence, and produced. */
export interface PlannedBatch {
  /**
   * v2 batch with dense offsets and CreateTime, a view into the fetch answer when passed. `stampBatch` makes it ready for the
   * target: base offset 0, producer fields ours, not transactional, no delete horizon.
   */
  bytes: Buffer
  count: number
  /** Source offset of the first record. */
  from: bigint
  /** Source offset after the last record. */
  to: bigint
  /** Gaps before a record of this batch, and expansions, in order. Index 0 = directly before the first record. */
  gaps: GapInBatch[]
  maxTimestamp: bigint
  /** Highest partition leader epoch of the source batches in it. */
  sourceLeaderEpoch: number
  via: 'pass' | 'coalesce' | 'rebuild'
}
