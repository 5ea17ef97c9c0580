import type { OracleOperations } from './oracle-operation-types.js'

/** A cluster as the oracle reaches it: bootstrap addresses, or those with Java client properties (security, for example). */
export type OracleCluster =
  | string
  | readonly string[]
  | { bootstrap: string | readonly string[]; properties?: Record<string, string> | undefined }

export type Isolation = 'read_committed' | 'read_uncommitted'

export interface CompareOptions {
  source: OracleCluster
  target: OracleCluster
  sourceTopic: string
  /** Default: the source's name. */
  targetTopic?: string | undefined
  /** Default: all. */
  partitions?: number[] | undefined
  /** Default `read_committed`. */
  isolation?: Isolation | undefined
  /** Default true. False for a target that keeps its own time stamps (LogAppendTime). */
  timestamps?: boolean | undefined
  /** Per partition, default 20. The totals always count all. */
  maxDifferences?: number | undefined
}

export interface Difference {
  /**
   * `missing`: only on the source. `extra`: only on the target, with a content that the source does not have. `repeated`: once more than on
   * the source. `altered`: another content in the place of the source's. `order`: there, but before or behind its place.
   */
  kind: 'missing' | 'extra' | 'repeated' | 'order' | 'altered'
  sourceOffset?: bigint
  targetOffset?: bigint
  detail: string
}

export interface Comparison {
  equal: boolean
  sourceCount: number
  targetCount: number
  missing: number
  extra: number
  repeated: number
  outOfOrder: number
  altered: number
  partitions: { partition: number; sourceCount: number; targetCount: number; differences: Difference[] }[]
}

export interface ResumeOffsets {
  /** First and last source offset that has an answer: log start and end (the position behind everything). */
  start: bigint
  end: bigint
  records: number
  /** `targets[Number(sourceOffset - start)]` is where a consumer at `sourceOffset` resumes on the target. */
  targets: BigInt64Array
  readonly at: (sourceOffset: bigint) => bigint
}

export interface ProduceOptions {
  cluster: OracleCluster
  topic: string
  /** Round robin over these; default all. */
  partitions?: number[] | undefined
  /** Default: until stop(). */
  count?: number | undefined
  /** Same seed, same records. Default 1. */
  seed?: number | undefined
  /** Default 100. With `mixed` lengths vary up to twice that. */
  valueBytes?: number | undefined
  /** Number of different keys, default 100; 0 = null keys. */
  keys?: number | undefined
  /** Null and empty keys and values, headers, repeated header names and null header values among the records. */
  mixed?: boolean | undefined
  /** Timestamp of record 0 in ms; record i has that + i. Default: now. */
  timestampFrom?: number | undefined
  compression?: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd' | undefined
  batchBytes?: number | undefined
  lingerMs?: number | undefined
  /** One record a batch. */
  onePerBatch?: boolean | undefined
  /** Makes the producer transactional. */
  recordsPerTransaction?: number | undefined
  /** Every n-th transaction is aborted. */
  abortEvery?: number | undefined
  transactionalId?: string | undefined
  ratePerSecond?: number | undefined
}

export interface ProduceResult {
  sent: number
  acknowledged: number
  failed: number
  committed: number
  aborted: number
  error: string | null
  seconds: number
}

export interface ProduceJob {
  /** When count is reached, or after stop(). */
  readonly done: Promise<ProduceResult>
  /** Acknowledged so far. */
  acknowledged(): Promise<number>
  stop(): Promise<ProduceResult>
}

export interface ConsumeGroupOptions {
  cluster: OracleCluster
  group: string
  topic: string
  /** Default: to the end. */
  count?: number | undefined
  isolation?: Isolation | undefined
  /** Default true. */
  commit?: boolean | undefined
  /** Default `classic`; `consumer` is KIP-848. */
  protocol?: 'classic' | 'consumer' | undefined
  timeoutMs?: number | undefined
}

/** A record as Java read it. */
export interface OracleRecord {
  offset: bigint
  timestamp: bigint
  key: Buffer | null
  value: Buffer | null
  headers: { key: string; value: Buffer | null }[]
}

export interface TopicReadOptions {
  cluster: OracleCluster
  topic: string
  partitions?: number[] | undefined
  isolation?: Isolation | undefined
}

export interface Oracle extends OracleOperations, AsyncDisposable {
  readonly pid: number
  compare(o: CompareOptions): Promise<Comparison>
  /** For every source offset the target offset at which to resume. Throws unless both sides hold the same records. */
  resumeOffsets(
    o: Omit<CompareOptions, 'partitions' | 'maxDifferences'> & { partition: number }
  ): Promise<ResumeOffsets>
  count(o: TopicReadOptions): Promise<{ total: number; partitions: { partition: number; count: number }[] }>
  /** Log start and end (with `read_committed`, the default: the last stable offset). */
  endOffsets(o: TopicReadOptions): Promise<{ partition: number; start: bigint; end: bigint }[]>
  read(
    o: Omit<TopicReadOptions, 'partitions'> & { partition: number; from?: bigint | undefined; max?: number | undefined }
  ): Promise<OracleRecord[]>
  /** Starts at once and runs in the background. */
  produce(o: ProduceOptions): ProduceJob
  consumeGroup(o: ConsumeGroupOptions): Promise<{ records: number; positions: { partition: number; offset: bigint }[] }>
  committed(o: {
    cluster: OracleCluster
    group: string
  }): Promise<{ topic: string; partition: number; offset: bigint; metadata: string }[]>
  createTopic(o: {
    cluster: OracleCluster
    topic: string
    partitions?: number | undefined
    replicationFactor?: number | undefined
    configs?: Record<string, string> | undefined
  }): Promise<{ topicId: string }>
  close(): Promise<void>
}
