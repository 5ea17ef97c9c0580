/**
 * What a transform sees of a record, and what it returns. Plain and mutable: changing the record it was given and returning it is as good as
 * returning a new one. What is not touched keeps its bytes, header names that are not UTF-8 included.
 */
export interface MirrorRecord {
  /** `null` and empty are different keys. */
  key: Buffer | null
  /** `null` is a tombstone. */
  value: Buffer | null
  /** In order, names may repeat. */
  headers: [name: string, value: Buffer | null][]
  /** Milliseconds since 1970, or -1 for none. For topics with LogAppendTime the time at which the source wrote it. */
  timestamp: bigint
  /** Route: topic on the target. Left out: the lane's own. Never set on the record that comes in. */
  topic?: string | undefined
  /** Route: partition on the target. Left out: see docs/transforms.md. Never set on the record that comes in. */
  partition?: number | undefined
}

/** Where the record stands on the source. */
export interface TransformContext {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Aborted when the time for this record is over (`transformTimeoutMs`) and when the mirror stops; the result no longer counts then. */
  readonly signal: AbortSignal
}

/**
 * Filters, changes, multiplies or routes records on their way. Connect: a chain of single message transforms and predicates (SMTs); MM2 runs
 * them in its source connector, where offsets are not translated through them.
 *
 * - `null` or `[]`: the record is left out. Its source offset stays translatable, to the next record.
 * - a record: goes to the lane's partition, or where `topic` and `partition` say.
 * - several: all of them come from this source offset, and stand on the target in this order.
 *
 * **It must be deterministic**: the same record and the same `topic`, `partition` and `offset` always give the same outputs. It is called again for
 * the same record after a restart, by another process that takes the lane over, after an error, and once for each target
 * partition that the source partition feeds. No clock, no random numbers, no counters, no look-ups whose answer changes. Where it isn't,
 * nothing is repeated or lost within a lane, but a routed record can be missing in one partition and stand in another one as well.
 *
 * A transform that throws, returns something else or takes too long is a record error: `onRecordError` decides.
 *
 * Buffers may be kept and changed; they are the transform's own.
 */
export type Transform = (
  record: MirrorRecord,
  context: TransformContext
) => MirrorRecord | MirrorRecord[] | null | Promise<MirrorRecord | MirrorRecord[] | null>
