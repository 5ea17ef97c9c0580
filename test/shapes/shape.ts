import { Kafka, type Producer } from 'kafkajs'
import type { LaneStatus } from '../../src/mirror/lane-status.js'
import type { Broker, KafkaCluster } from '../support/kafka.js'
import type { Oracle, OracleRecord, ProduceOptions, ProduceResult, WriteOptions, WriteStep } from '../support/oracle.js'
import { type StoredBatch, storedBatches } from '../support/segments.js'

export const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type Compression = (typeof COMPRESSIONS)[number]

/**
 * `empty`: both phases are written, then one Mirror copies everything. `resumed`: a Mirror copies phase 1 or a part of it and stops; phase 2 is
 * written; a new Mirror goes on.
 */
export type Mode = 'empty' | 'resumed'
export type Phase = 1 | 2

/** One kind of log, as data: how to write it, how to be sure that it is what it should be, and how to compare it. */
export interface Shape {
  name: string
  /** Default 1. */
  partitions?: number | undefined
  /** Of the source topic. */
  configs?: Record<string, string> | undefined
  /** The target topic exists before, with these configs. Otherwise the Mirror creates it. */
  target?: ((compression: Compression) => Record<string, string>) | undefined
  /** Of the Mirror and of the comparison. Default `read_committed`. */
  isolation?: 'read_uncommitted' | undefined
  /** False: the target has time stamps of its own. */
  timestamps?: false | undefined
  /** Default: all. `mixed`: one topic that holds every compression. */
  compressions?: readonly Compression[] | 'mixed' | undefined
  /**
   * `seen`: phase 2 takes away what was copied in phase 1 (compaction), so the target must hold what readers saw at the end of phase 1, then
   * what they see of the rest. Default: what readers of the source see at the end.
   */
  compares?: 'seen' | undefined
  write(stage: Stage, phase: Phase): Promise<void>
  /** Throws when the source's log is not what this shape is about: a shape that is not there proves nothing. */
  verifySetup?(stage: Stage, phase: Phase): Promise<void> | void
  /** While the lanes rest: what they must say. */
  resting?(stage: Stage, lanes: readonly LaneStatus[], phase: Phase): Promise<void> | void
  /** After that, while the last Mirror runs: ends what is open. */
  finish?(stage: Stage): Promise<void>
}

/** One shape × compression × mode: a topic on the source, and what it takes to write and to look at it. */
export class Stage {
  readonly shape: Shape
  readonly compression: Compression
  readonly topic: string
  /** Why this one counts as failed. */
  readonly failures: string[] = []
  /** Per partition, for `compares: 'seen'`: the records at the end of phase 1 and the end of the log then. */
  readonly seen = new Map<number, { records: OracleRecord[]; end: bigint }>()
  readonly #source: KafkaCluster
  readonly #oracle: Oracle

  constructor(o: {
    shape: Shape
    compression: Compression
    mode: Mode
    source: KafkaCluster
    oracle: Oracle
  }) {
    this.shape = o.shape
    this.compression = o.compression
    const codec = o.shape.compressions === 'mixed' ? 'mixed' : o.compression
    this.topic = `shape.${o.shape.name}.${codec}.${o.mode}`
    this.#source = o.source
    this.#oracle = o.oracle
  }

  get partitions(): number {
    return this.shape.partitions ?? 1
  }

  get where(): { cluster: string[]; topic: string } {
    return { cluster: this.#source.bootstrap, topic: this.topic }
  }

  get oracle(): Oracle {
    return this.#oracle
  }

  get broker(): Broker {
    const [broker] = this.#source.brokers
    if (broker === undefined) throw new Error('the source has no broker')
    return broker
  }

  async write(steps: readonly WriteStep[], o: Partial<WriteOptions> = {}): Promise<bigint[][]> {
    return (await this.#oracle.write({ ...this.where, compression: this.compression, ...o, steps })).offsets
  }

  async produce(o: Omit<ProduceOptions, 'cluster' | 'topic'>): Promise<ProduceResult> {
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await this.#oracle.produce({ ...this.where, compression: this.compression, ...o }).done
        if (result.failed > 0) throw new Error(`producing failed: ${result.error}`)
        return result
      } catch (error) {
        // Java 4.1's transactions on a busy machine, once in some hundred. The next one with this id aborts what was left open.
        const passing = String(error).includes('a transactional operation in an invalid state')
        if (!passing || o.transactionalId === undefined || attempt === 3) throw error
      }
    }
  }

  /** A kafkajs producer: the old transaction protocol, and only gzip besides none. */
  async kafkajs<T>(transactionalId: string, work: (producer: Producer) => Promise<T>): Promise<T> {
    const producer = new Kafka(this.#source.config()).producer({
      transactionalId,
      maxInFlightRequests: 1,
      idempotent: true
    })
    await producer.connect()
    try {
      return await work(producer)
    } finally {
      await producer.disconnect()
    }
  }

  /** Unique on the source: other topics use the same names. */
  id(name: string): string {
    return `${this.topic}.${name}`
  }

  batches(partition = 0): StoredBatch[] {
    return storedBatches(this.broker, this.topic, partition)
  }
}

/** What verifySetup says when the log is something else. */
export function insist(condition: boolean, what: string): void {
  if (!condition) throw new Error(`setup: ${what}`)
}
