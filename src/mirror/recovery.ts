import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { describeProducersRequest } from '../kafka/requests/describe-producers.js'
import { askLeader } from '../lineage/ask-leader.js'
import type { LaneState } from '../lineage/lane-state.js'
import { type LaneEpoch, ordinalOf } from '../lineage/sequence.js'
import { TargetLog } from '../lineage/target-log.js'

/** Where a lane goes on, read from the target itself. */
export interface RecoveredPosition {
  /** Ordinal of the next record. */
  next: bigint
  epoch: LaneEpoch
  /** Target offset behind the lane's last record, as far as it is known below the high watermark. */
  targetEnd: bigint
  /** Between there and here the log holds nothing of the lane. */
  seenTo?: bigint | undefined
}

interface Where {
  target: ClusterClient
  state: LaneState
  topic: string
  partition: number
}

/** What the partition's leader says about our producer id; undefined when it does not know it. */
interface ProducerOnTarget {
  epoch: number
  lastSequence: number
}

/**
 * Recovery asks the target, not a file. The leader's producer state shows its log end: right for choosing the next ordinal.
 * When it has forgotten us, the batch headers behind the checkpoint tell; when those are gone too, the position is exact only
 * if the emptied log ends where the checkpoint says. It is never guessed by counting.
 */
export async function recoverPosition(o: Where): Promise<RecoveredPosition> {
  const epoch = o.state.currentEpoch
  if (!o.state.birth || !epoch)
    throw new TwinlogError('TWINLOG_STATE_INVALID', `the state topic does not hold the birth of lane ${o.state.key}`)
  const producer = await producerOnTarget(o.target, o.topic, o.partition, epoch.producerId)
  if (producer && producer.epoch > epoch.epoch) throw fencedBy(producer.epoch, epoch, o.topic, o.partition)
  // `next` is also what this process will call safe: nothing it counts may be above the high watermark.
  const knows = producer?.epoch === epoch.epoch && producer.lastSequence >= 0
  const seen = await laneEndOf({ ...o, confirmed: knows })
  if (knows) {
    const next = ordinalOf(producer.lastSequence, epoch, seen.next) + 1n
    // The log was read after the producer's state, so it holds at least as much (another owner may have gone on meanwhile). Ordinal and
    // offset are taken from the same look: a pair of two moments would be a wrong map.
    if (seen.next >= next) return { ...seen, epoch }
    throw new TwinlogError(
      'TWINLOG_POSITION_UNKNOWN',
      `target partition ${o.topic}-${o.partition} knew ordinal ${next - 1n} a moment ago, but its log shows the lane only up to ${seen.next - 1n}`,
      { cluster: o.target.alias, topic: o.topic, partition: o.partition, retriable: true }
    )
  }
  return { ...seen, next: max(seen.next, epoch.base), epoch }
}

/**
 * Where the lane ends on the target by its own batches, below the high watermark: from the best place that is known to the log's end.
 * `confirmed`: the broker's producer state tells the end as well, so an emptied log leaves nothing open. `rescan`: the target may have lost what it had acknowledged, so everything it still has counts, and nothing else.
 *
 * @throws TwinlogError TWINLOG_TRUNCATED, TWINLOG_POSITION_UNKNOWN
 */
export async function laneEndOf(
  o: Where & { confirmed?: boolean; rescan?: boolean }
): Promise<{ next: bigint; targetEnd: bigint; seenTo: bigint }> {
  const { topic, partition, state } = o
  const birth = state.birth
  if (!birth)
    throw new TwinlogError('TWINLOG_STATE_INVALID', `the state topic does not hold the birth of lane ${state.key}`)
  const log = new TargetLog(o.target, topic, partition)
  const where = { cluster: o.target.alias, topic, partition }
  let start = state.resumeFrom
  const bounds = await log.settledBounds(start.targetEnd)
  if (bounds.end < start.targetEnd && o.rescan !== true) {
    throw new TwinlogError(
      'TWINLOG_TRUNCATED',
      `target partition ${topic}-${partition} ends at ${bounds.end}, but the lane had written up to ${start.targetEnd}: the target lost records`,
      { ...where, offset: bounds.end }
    )
  }
  const near = start.next
  if (o.rescan === true) {
    const targetEnd = min(birth.targetEnd, bounds.end)
    start = { next: birth.first, targetEnd, seenTo: targetEnd }
  }
  const from = max(start.targetEnd, bounds.start)
  const tail = await log.lastBatch(from, bounds.end, state.epochs, near)
  if (!tail && bounds.start > max(start.targetEnd, start.seenTo) && o.confirmed !== true) {
    throw new TwinlogError(
      'TWINLOG_POSITION_UNKNOWN',
      `target partition ${topic}-${partition} begins at ${bounds.start}, behind the lane's last known place at ${start.targetEnd}, and holds none of its ` +
        'batches: how far the lane had come cannot be known. Re-create the target topic, or restore it, to copy again',
      { ...where, offset: bounds.start }
    )
  }
  const seenTo = max(bounds.end, start.targetEnd)
  const end = tail && tail.ordinal + BigInt(tail.count)
  return tail && end !== undefined && end > start.next
    ? { next: end, targetEnd: tail.offset + BigInt(tail.count), seenTo }
    : { next: start.next, targetEnd: start.targetEnd, seenTo }
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
const min = (a: bigint, b: bigint) => (a < b ? a : b)
