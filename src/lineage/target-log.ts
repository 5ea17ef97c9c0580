import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { fetchRequest } from '../kafka/requests/fetch.js'
import { listOffsetsRequest } from '../kafka/requests/list-offsets.js'
import { TwinlogError } from '../errors.js'
import { isControl, parseBatches } from '../records/batch.js'
import type { BatchView } from '../records/types.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { retry } from '../util/retry.js'
import { askLeader } from './ask-leader.js'
import { type LaneEpoch, ordinalOf } from './sequence.js'
import { firstEnds, type Outcome, outcomes } from './transaction-outcome.js'

/** One batch of the lane as the target shows it. */
export interface LaneBatch {
  ordinal: bigint
  count: number
  offset: bigint
}

interface HeaderRead {
  batches: LaneBatch[]
  /** Where the next read goes on; equal to the asked offset only at the end of the log. */
  next: bigint
}

const FETCH_BYTES = 1 << 20
const OFFSET_OUT_OF_RANGE = 1
const SETTLE_POLL_MS = 10
const SETTLE_TIMEOUT_MS = 5_000

/**
 * A lane's target partition, read for its batch headers only: (producer id, epoch, sequence) says which ordinals a batch holds.
 * What was written in a transaction counts once it is committed: aborted records are no place of the lane, and whether an open
 * transaction's will be is not known. Reads go to the high watermark: what lies above it can still disappear and is never told to anybody.
 */
export class TargetLog {
  readonly topic: string
  readonly partition: number
  readonly #cluster: ClusterClient

  constructor(cluster: ClusterClient, topic: string, partition: number) {
    this.#cluster = cluster
    this.topic = topic
    this.partition = partition
  }

  async bounds(): Promise<{ start: bigint; end: bigint }> {
    const [start, end] = await Promise.all([this.#listOffset(-2n), this.#listOffset(-1n)])
    return { start, end }
  }

  /**
   * Bounds that take in everything the leader holds at the time of the call. What the leader's producer state counts may still
   * be above the high watermark, invisible to readers and lost with the leader: whoever draws conclusions from both waits here.
   * An end before `atLeast`, which was there once, is believed only when it stays: a leader of yesterday may have told it.
   */
  async settledBounds(atLeast = 0n): Promise<{ start: bigint; end: bigint }> {
    const deadline = Date.now() + SETTLE_TIMEOUT_MS
    const [logEnd, now] = await Promise.all([this.#listOffset(-1n, true), this.bounds()])
    let bounds = now
    for (;;) {
      if (bounds.end >= logEnd && (bounds.end >= atLeast || Date.now() > deadline)) return bounds
      if (Date.now() > deadline) {
        throw new TwinlogError(
          'TWINLOG_TIMEOUT',
          `target partition ${this.topic}-${this.partition} holds records up to ${logEnd}, but its replicas have only those up to ${bounds.end}: ` +
            'are enough brokers alive for its min.insync.replicas?',
          {
            cluster: this.#cluster.alias,
            topic: this.topic,
            partition: this.partition,
            offset: bounds.end,
            retriable: true
          }
        )
      }
      await sleep(SETTLE_POLL_MS)
      if (bounds.end < atLeast) await this.#cluster.metadata({ topics: [this.topic] })
      bounds = await this.bounds()
    }
  }

  /** The lane's batches in one response beginning at (the batch that contains) this offset. */
  async headersAt(
    offset: bigint,
    epochs: readonly LaneEpoch[],
    near: bigint,
    maxBytes = FETCH_BYTES
  ): Promise<HeaderRead> {
    const all = await this.#read(offset, maxBytes)
    const next = all.at(-1)?.nextOffset ?? offset
    const outcome = outcomes(all)
    const candidates: (LaneBatch & { outcome: Outcome | undefined; producerId: bigint })[] = []
    let guess = near
    all.forEach((batch, index) => {
      const { producerId, baseOffset } = batch
      const epoch = epochs.find(known => known.producerId === producerId && known.epoch === batch.producerEpoch)
      if (!epoch || isControl(batch.attributes)) return
      guess = ordinalOf(batch.baseSequence, epoch, guess)
      const count = batch.lastOffsetDelta + 1
      candidates.push({ ordinal: guess, count, offset: baseOffset, outcome: outcome[index], producerId })
    })
    const open = new Set(candidates.flatMap(batch => (batch.outcome === 'open' ? [batch.producerId] : [])))
    const committed = open.size > 0 ? await this.#committedBehind(next, open) : open
    return {
      batches: candidates
        .filter(batch => batch.outcome === 'committed' || (batch.outcome === 'open' && committed.has(batch.producerId)))
        .map(({ ordinal, count, offset: at }) => ({ ordinal, count, offset: at })),
      next
    }
  }

  /** Which of these producers commit what they have open at this offset: the next marker of each says it, however far behind. */
  async #committedBehind(from: bigint, open: ReadonlySet<bigint>): Promise<Set<bigint>> {
    const committed = new Set<bigint>()
    const waiting = new Set(open)
    let position = from
    while (waiting.size > 0) {
      const batches = await this.#read(position)
      for (const producerId of firstEnds(batches, waiting)) committed.add(producerId)
      const next = batches.at(-1)?.nextOffset ?? position
      if (next <= position) break
      position = next
    }
    return committed
  }

  /** How many offsets of [from, end) are in no batch: compaction took them. */
  async holes(from: bigint, end: bigint): Promise<bigint> {
    let holes = 0n
    let position = from
    while (position < end) {
      const batches = await this.#read(position)
      const before = position
      for (const batch of batches) {
        if (batch.baseOffset > position) holes += min(batch.baseOffset, end) - position
        position = max(position, min(batch.nextOffset, end))
      }
      if (position === before) return holes + end - position
    }
    return holes
  }

  /** The batches of one response, the first one containing this offset; none at the end of the log. */
  async #read(offset: bigint, maxBytes = FETCH_BYTES): Promise<BatchView[]> {
    return this.#withRetries(async () => {
      const { node } = await this.#leader()
      const { topic, partition } = this
      const answer = await askLeader(
        this.#cluster,
        { topic, partition, node },
        fetchRequest({
          maxWaitMs: 0,
          minBytes: 0,
          maxBytes,
          isolation: 'read_uncommitted',
          topics: [{ topic, topicId: '', partitions: [{ partition, fetchOffset: offset, maxBytes }] }]
        })
      )
      const result = answer.partitions[0]
      if (result?.errorCode === OFFSET_OUT_OF_RANGE) return []
      if (!result || result.errorCode !== 0) throw this.#error(result?.errorCode ?? -1, 'read')
      return parseBatches(result.records)
    })
  }

  /** The lane's last batch in [from, end), or undefined: first a look at the very end, then wider and wider ones. */
  async lastBatch(
    from: bigint,
    end: bigint,
    epochs: readonly LaneEpoch[],
    near: bigint
  ): Promise<LaneBatch | undefined> {
    for (let back = 1n; ; back *= 16n) {
      const begin = end - back < from ? from : end - back
      const found = await this.#lastIn(begin, end, epochs, near)
      if (found || begin === from) return found
    }
  }

  /** The lane's first batch at or after `from`. */
  async firstBatch(
    from: bigint,
    end: bigint,
    epochs: readonly LaneEpoch[],
    near: bigint
  ): Promise<LaneBatch | undefined> {
    let position = from
    while (position < end) {
      const read = await this.headersAt(position, epochs, near)
      const first = read.batches.find(batch => batch.offset + BigInt(batch.count) > from)
      if (first || read.next <= position) return first && first.offset < end ? first : undefined
      position = read.next
    }
    return undefined
  }

  async #lastIn(from: bigint, end: bigint, epochs: readonly LaneEpoch[], near: bigint): Promise<LaneBatch | undefined> {
    let last: LaneBatch | undefined
    let position = from
    while (position < end) {
      const read = await this.headersAt(position, epochs, last?.ordinal ?? near)
      // The log may have grown since `end` was asked: what lies behind it is not the caller's yet.
      last = read.batches.findLast(batch => batch.offset < end) ?? last
      if (read.next <= position) break
      position = read.next
    }
    return last
  }

  async #listOffset(timestamp: bigint, logEnd = false): Promise<bigint> {
    return this.#withRetries(async () => {
      const { node, leaderEpoch } = await this.#leader()
      const { topic, partition } = this
      // A leader of yesterday that has not heard of its fall would tell an end of yesterday: the epoch makes it refuse.
      const topics = [{ topic, partitions: [{ partition, timestamp, currentLeaderEpoch: leaderEpoch }] }]
      const request = listOffsetsRequest({ isolation: 'read_uncommitted', logEnd, topics })
      const answer = await askLeader(this.#cluster, { topic, partition, node }, request)
      const result = answer.partitions[0]
      if (!result || result.errorCode !== 0) throw this.#error(result?.errorCode ?? -1, 'ask the offsets of')
      return result.offset
    })
  }

  async #leader(): Promise<{ node: number; leaderEpoch: number }> {
    const known = this.#cluster.leaderOf(this.topic, this.partition)
    if (known && known.nodeId >= 0) return { node: known.nodeId, leaderEpoch: known.leaderEpoch }
    await this.#cluster.metadata({ topics: [this.topic] })
    const leader = this.#cluster.leaderOf(this.topic, this.partition)
    if (leader && leader.nodeId >= 0) return { node: leader.nodeId, leaderEpoch: leader.leaderEpoch }
    throw this.#error(5, 'find the leader of')
  }

  async #withRetries<T>(attempt: () => Promise<T>): Promise<T> {
    return retry(
      async number => {
        if (number > 1) await this.#cluster.metadata({ topics: [this.topic] }).catch(() => undefined)
        return attempt()
      },
      { retries: 20, minTimeoutMs: 50, maxTimeoutMs: 400 }
    )
  }

  #error(code: number, action: string): TwinlogError {
    return kafkaError(code, `cannot ${action} target partition ${this.topic}-${this.partition}`, {
      cluster: this.#cluster.alias,
      topic: this.topic,
      partition: this.partition
    })
  }
}

const max = (a: bigint, b: bigint) => (a > b ? a : b)
const min = (a: bigint, b: bigint) => (a < b ? a : b)
