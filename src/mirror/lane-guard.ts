import { createHash } from 'node:crypto'
import { TwinlogError } from '../errors.js'
import type { PlannedBatch } from '../records/types.js'
import type { LaneTopic } from './lane-types.js'

/** Everything besides the source log that decides which offset gets which ordinal. Owners with different digests must not share a lane. */
export function planDigest(plan: { isolation: 'read_committed'; transform: null }): string {
  return createHash('sha256').update(JSON.stringify(plan)).digest('base64url').slice(0, 22)
}

/**
 * The broker forgets a producer by the time stamp of its last batch, not by the clock. A batch older than that leaves no state
 * behind, and then anything is accepted: two copiers would repeat and lose records. Such lanes need transactions, so until they
 * exist the lane is refused rather than copied unguarded.
 */
export function assertYoungEnough(
  batch: PlannedBatch,
  expirationMs: number,
  source: { topic: string; partition: number }
): void {
  const oldestAllowedMs = Date.now() - expirationMs * 0.9
  if (Number(batch.maxTimestamp) >= oldestAllowedMs) return
  throw new TwinlogError(
    'TWINLOG_UNSUPPORTED',
    `source partition ${source.topic}-${source.partition} has records of ${timeOf(batch.maxTimestamp)} at offset ${batch.from}, older than the target's ` +
      `producer.id.expiration.ms (${expirationMs} ms) allows: copying them exactly once is not supported yet. Raise producer.id.expiration.ms on the target ` +
      '(up to 2147483647 ms, it can be changed while brokers run)',
    { ...source, offset: batch.from }
  )
}

export function assertNotCompacted(cleanupPolicy: string, topic: string): void {
  if (!cleanupPolicy.split(',').some(policy => policy.trim() === 'compact')) return
  throw new TwinlogError(
    'TWINLOG_UNSUPPORTED',
    `source topic ${topic} is compacted (cleanup.policy=${cleanupPolicy}): copying it exactly once is not supported yet`,
    {
      topic
    }
  )
}

/** A topic of the same name under another id is another log. */
export function assertSameTopic(lane: LaneTopic, topicId: string | undefined, cluster: string): void {
  if (topicId === lane.topicId) return
  if (topicId === undefined || topicId === '' || topicId === 'AAAAAAAAAAAAAAAAAAAAAA') {
    throw new TwinlogError('TWINLOG_UNKNOWN_TOPIC', `topic ${lane.topic} is not on cluster ${cluster} (any more)`, {
      cluster,
      topic: lane.topic,
      partition: lane.partition,
      retriable: true
    })
  }
  throw new TwinlogError(
    'TWINLOG_TOPIC_RECREATED',
    `topic ${lane.topic} on ${cluster} was deleted and created again (id ${topicId}, the lane copies ${lane.topicId}): it is another log now`,
    { cluster, topic: lane.topic, partition: lane.partition }
  )
}

function timeOf(timestamp: bigint): string {
  return timestamp < 0n ? 'no time stamp' : new Date(Number(timestamp)).toISOString()
}
