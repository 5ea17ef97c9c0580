import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { describeProducersRequest } from '../kafka/requests/describe-producers.js'
import type { LaneState } from '../lineage/lane-state.js'
import { type LaneEpoch, ordinalOf } from '../lineage/sequence.js'
import { askLeader } from '../lineage/ask-leader.js'
import { TargetLog } from '../lineage/target-log.js'

/** Where a lane goes on, read from the target itself. */
export interface RecoveredPosition {
  /** Ordinal of the next record. */
  next: bigint
  epoch: LaneEpoch
  /** Target offset behind the lane's last record, as far as it is known below the high watermark. */
  targetEnd: bigint
  /** False: the broker has no state for our identity and would accept any sequence, so one batch at a time until it has. */
  brokerKnows: boolean
}

/** What the partition's leader says about our producer id; undefined when it does not know it. */
export interface ProducerOnTarget {
  epoch: number
  lastSequence: number
}

/**
 * Recovery asks the target, not a file. The leader's producer state shows its log end: right for choosing the next ordinal.
 * When it has forgotten us, the batch headers behind the checkpoint tell; when those are gone too, the position is exact only
 * if the emptied log ends where the checkpoint says. It is never guessed by counting.
 */
export async function recoverPosition(o: {
  target: ClusterClient
  state: LaneState
  topic: string
  partition: number
}): Promise<RecoveredPosition> {
  const { birth, currentEpoch: epoch } = o.state
  if (!birth || !epoch)
    throw new TwinlogError('TWINLOG_STATE_INVALID', `the state topic does not hold the birth of lane ${o.state.key}`)
  const checkpoint = o.state.checkpoint
  const start = checkpoint
    ? { next: checkpoint.next, offset: checkpoint.targetEnd }
    : { next: birth.first, offset: birth.targetEnd }
  const log = new TargetLog(o.target, o.topic, o.partition)
  const producer = await producerOnTarget(o.target, o.topic, o.partition, epoch.producerId)
  if (producer && producer.epoch > epoch.epoch) throw fencedBy(producer.epoch, epoch, o.topic, o.partition)
  // `next` is also what this process will call safe: nothing it counts may be above the high watermark.
  const bounds = await log.settledBounds(start.offset)
  if (bounds.end < start.offset) {
    throw new TwinlogError(
      'TWINLOG_TRUNCATED',
      `target partition ${o.topic}-${o.partition} ends at ${bounds.end}, but the lane had written up to ${start.offset}: the target lost records`,
      { cluster: o.target.alias, topic: o.topic, partition: o.partition, offset: bounds.end }
    )
  }
  const from = start.offset > bounds.start ? start.offset : bounds.start
  const tail = await log.lastBatch(from, bounds.end, o.state.epochs, start.next)
  const seen =
    tail && tail.ordinal + BigInt(tail.count) > start.next
      ? { next: tail.ordinal + BigInt(tail.count), offset: tail.offset + BigInt(tail.count) }
      : start
  if (producer && producer.epoch === epoch.epoch && producer.lastSequence >= 0) {
    const next = ordinalOf(producer.lastSequence, epoch, seen.next) + 1n
    // The log was read after the producer's state, so it holds at least as much (another owner may have gone on meanwhile). Ordinal and
    // offset are taken from the same look: a pair of two moments would be a wrong map.
    if (seen.next >= next) return { next: seen.next, epoch, targetEnd: seen.offset, brokerKnows: true }
    throw new TwinlogError(
      'TWINLOG_POSITION_UNKNOWN',
      `target partition ${o.topic}-${o.partition} knew ordinal ${next - 1n} a moment ago, but its log shows the lane only up to ${seen.next - 1n}`,
      { cluster: o.target.alias, topic: o.topic, partition: o.partition, retriable: true }
    )
  }
  if (!tail && bounds.start > start.offset) {
    throw new TwinlogError(
      'TWINLOG_POSITION_UNKNOWN',
      `target partition ${o.topic}-${o.partition} begins at ${bounds.start}, behind the lane's last checkpoint at ${start.offset}, and holds none of its ` +
        'batches: how far the lane had come cannot be known. Re-create the target topic, or restore it, to copy again',
      { cluster: o.target.alias, topic: o.topic, partition: o.partition, offset: bounds.start }
    )
  }
  return { next: max(seen.next, epoch.base), epoch, targetEnd: seen.offset, brokerKnows: false }
}

async function producerOnTarget(
  target: ClusterClient,
  topic: string,
  partition: number,
  producerId: bigint
): Promise<ProducerOnTarget | undefined> {
  const leader = target.leaderOf(topic, partition)
  if (!leader || leader.nodeId < 0)
    throw kafkaError(5, `target partition ${topic}-${partition} has no leader`, {
      cluster: target.alias,
      topic,
      partition
    })
  const request = describeProducersRequest({ topics: [{ topic, partitions: [partition] }] })
  const answer = await askLeader(target, { topic, partition, node: leader.nodeId }, request)
  const result = answer.partitions[0]
  if (!result || result.errorCode !== 0) {
    throw kafkaError(result?.errorCode ?? -1, `cannot ask target partition ${topic}-${partition} for its producers`, {
      cluster: target.alias,
      topic,
      partition
    })
  }
  const producer = result.producers.find(known => known.producerId === producerId)
  return producer && { epoch: producer.producerEpoch, lastSequence: producer.lastSequence }
}

function fencedBy(shown: number, mine: LaneEpoch, topic: string, partition: number): TwinlogError {
  return new TwinlogError(
    'TWINLOG_FENCED',
    `target partition ${topic}-${partition} shows epoch ${shown} of our producer id, this lane writes at epoch ${mine.epoch}: another owner has taken it over`,
    { topic, partition, retriable: true }
  )
}

const max = (a: bigint, b: bigint) => (a > b ? a : b)
