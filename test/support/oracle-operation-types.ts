import type { OracleCluster, ProduceOptions } from './oracle-types.js'

/** Bytes as they are, text as UTF-8, or made in the JVM: random ones (same seed, same bytes) or zeros. */
export type Content = string | Buffer | { bytes: number; seed?: number | undefined } | null

export interface WrittenRecord {
  key?: Content | undefined
  value?: Content | undefined
  headers?: readonly (readonly [name: string, value: Content])[] | undefined
  /** So many headers with an empty name and a null value, the smallest there are, before the others. */
  bareHeaders?: number | undefined
  /** Default: now. −1 (no timestamp) is possible. */
  timestamp?: number | bigint | undefined
}

export type WriteStep =
  /** One batch (one for each record with `onePerBatch`), if it does not grow over `batchBytes`; a record larger than that is a batch. */
  | {
      send: readonly WrittenRecord[]
      partition?: number | undefined
      onePerBatch?: boolean | undefined
      producer?: string | undefined
    }
  | { begin: string }
  | { commit: string }
  | { abort: string }

export interface WriteOptions {
  cluster: OracleCluster
  topic: string
  compression?: ProduceOptions['compression']
  /** Default 262,144. */
  batchBytes?: number | undefined
  /** Default `all`; `1` is without idempotence. */
  acks?: 'all' | '1' | undefined
  /** Default 900,000, the most that a broker allows. */
  transactionTimeoutMs?: number | undefined
  /**
   * `producer`, `begin`, `commit`, `abort` name a transactional id; sends without one go through a plain idempotent producer. A transaction that
   * is open at the end stays open until a later call with its transactional id (and the same cluster) ends it.
   */
  steps: readonly WriteStep[]
}

export interface TopicDescription {
  topicId: string
  partitions: {
    partition: number
    /** −1: none. */
    leader: number
    replicas: number[]
    inSync: number[]
    /** High watermark and leader epoch; absent without a leader that answers. */
    end?: bigint
    leaderEpoch?: number
  }[]
}

export interface ProducerState {
  producerId: bigint
  epoch: number
  lastSequence: number
  /** Where its open transaction begins; absent when none is open. */
  openSince?: bigint
}

export interface AclChange {
  cluster: OracleCluster
  change: 'add' | 'remove'
  /** `User:alice`. */
  principal: string
  resource: {
    type: 'topic' | 'group' | 'cluster' | 'transactional_id'
    /** Not for `cluster`. */
    name?: string | undefined
    /** Default `literal`. */
    pattern?: 'literal' | 'prefixed' | undefined
  }
  /** `read`, `write`, `describe`, `describe_configs`, `create`, `all` … */
  operations: string[]
  /** Default `allow`. */
  permission?: 'allow' | 'deny' | undefined
}

interface OnTopic {
  cluster: OracleCluster
  topic: string
}

/** What an operator does, by the Java admin client; and writing record by record. */
export interface OracleOperations {
  /** Offsets of the records of each step; empty for steps that send nothing. */
  write(o: WriteOptions): Promise<{ offsets: bigint[][] }>
  /** Partition → first offset to keep (−1: the high watermark). Answers the new log starts. */
  deleteRecords(o: OnTopic & { before: Record<number, bigint> }): Promise<Record<number, bigint>>
  /** Resolves when the brokers no longer list it. */
  deleteTopic(o: OnTopic): Promise<void>
  createPartitions(o: OnTopic & { partitions: number }): Promise<void>
  /** Of a topic, of one broker, or (with neither) the dynamic default of all brokers. null takes a setting back. */
  alterConfigs(o: {
    cluster: OracleCluster
    topic?: string | undefined
    broker?: number | undefined
    configs: Record<string, string | null>
  }): Promise<void>
  /** Preferred replicas, or any living one with `unclean` (records may be lost). */
  electLeaders(o: OnTopic & { partitions?: number[] | undefined; unclean?: boolean | undefined }): Promise<void>
  /** Partition → replicas; resolves when the moves are complete. */
  reassign(o: OnTopic & { replicas: Record<number, number[]> }): Promise<void>
  describeTopic(o: OnTopic): Promise<TopicDescription>
  /** '' is the default entity; null takes a quota back; bytes per second. */
  quota(o: {
    cluster: OracleCluster
    user?: string | undefined
    clientId?: string | undefined
    producerByteRate?: number | null | undefined
    consumerByteRate?: number | null | undefined
    requestPercentage?: number | null | undefined
  }): Promise<void>
  /** Needs a cluster with `authorizer: true`. Resolves when the controller knows; the brokers follow within milliseconds. */
  acl(o: AclChange): Promise<void>
  /** Gives a user another SCRAM password, for both mechanisms. Resolves when the controller knows; the brokers follow within milliseconds. */
  scram(o: { cluster: OracleCluster; user: string; password: string }): Promise<void>
  /** Producers that the broker remembers in a partition (DescribeProducers). */
  producers(o: OnTopic & { partition: number }): Promise<ProducerState[]>
  /** Ends every open transaction of a partition, hanging ones too. */
  abortTransaction(o: OnTopic & { partition: number }): Promise<{ aborted: number }>
}
