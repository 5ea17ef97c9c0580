import { TwinlogError } from '../../errors.js'
import type { OutputRoute } from './mirror-record.js'

/** A partition on the target. */
export interface RouteTarget {
  topic: string
  partition: number
}

/**
 * Where outputs go that name a topic, a partition, both or neither. Pure; what partitions a topic has is asked from the outside.
 *
 * | named | goes to |
 * |---|---|
 * | nothing | where the source partition is mirrored to |
 * | partition | that partition of the topic which the source topic is mirrored to |
 * | topic | the partition with the source partition's number; where there are fewer, that number modulo their count |
 * | both | exactly there |
 */
export class RouteTable {
  readonly #source: { topic: string; partition: number }
  readonly #fallback: RouteTarget
  readonly #partitionsOf: (topic: string) => number | undefined

  constructor(o: {
    source: { topic: string; partition: number }
    /** Where outputs go that name nothing. */
    fallback: RouteTarget
    /** Partition count on the target; undefined: the topic is not known (yet). */
    partitionsOf: (topic: string) => number | undefined
  }) {
    this.#source = o.source
    this.#fallback = o.fallback
    this.#partitionsOf = o.partitionsOf
  }

  /** Undefined: the topic of the output has to be made known first. Throws `TWINLOG_RECORD_REJECTED` for a partition that doesn't exist. */
  resolve(output: OutputRoute): RouteTarget | undefined {
    const { partition } = output
    if (output.topic === undefined && partition === undefined) return this.#fallback
    const topic = this.topicOf(output)
    const count = this.#partitionsOf(topic)
    if (count === undefined) return undefined
    if (partition === undefined) return { topic, partition: this.#source.partition % count }
    if (partition < count) return { topic, partition }
    throw new TwinlogError(
      'TWINLOG_RECORD_REJECTED',
      `the transform routed a record of ${this.#source.topic}-${this.#source.partition} to partition ${partition} of ${topic}, which has ${count}`,
      { topic: this.#source.topic, partition: this.#source.partition }
    )
  }

  /** The topic that an output goes to. */
  topicOf(output: OutputRoute): string {
    return output.topic ?? this.#fallback.topic
  }
}
