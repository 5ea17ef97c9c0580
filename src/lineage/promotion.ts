import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { Logger } from '../logger.js'
import { fencePartitions } from './fence.js'
import { LaneMap } from './lane-map.js'
import type { LaneState } from './lane-state.js'
import { LinkState } from './link-state.js'
import { TargetLog } from './target-log.js'

export interface ClosedLane {
  topic: string
  partition: number
  targetTopic: string
  targetPartition: number
  /** Target offset behind the lane's last record. */
  targetEnd: bigint
  /** Source position up to which everything is on the target or known to be a gap. */
  reached: bigint
}

/**
 * Ends the lanes of these source topics for a move: first the word (`closed`, so that whoever is fenced learns why), then the
 * marker of a new epoch in every target partition, then a look at where each lane ends. Other lanes of the link go on.
 */
export async function closeLanes(o: {
  target: ClusterClient
  link: string
  topics: readonly string[] | 'all'
  move: { service: string; epoch: number }
  logger: Logger
  signal?: AbortSignal | undefined
}): Promise<{ lanes: ClosedLane[] }> {
  const state = await openState(o)
  const lanes = [...state.lanes].filter(
    lane => lane.birth && (o.topics === 'all' || o.topics.includes(lane.birth.sourceTopic))
  )
  await Promise.all(
    lanes.map(lane => state.writeGate(lane.key, { state: 'closed', service: o.move.service, moveEpoch: o.move.epoch }))
  )
  await fencePartitions({
    cluster: o.target,
    link: o.link,
    partitions: lanes.map(lane => ({
      topic: lane.birth?.targetTopic ?? '',
      partition: lane.birth?.targetPartition ?? 0
    })),
    logger: o.logger,
    signal: o.signal
  })
  // Read again behind the fence: the last gaps and epochs of the fenced writers are in now, and nothing can follow.
  await state.refresh()
  return { lanes: await Promise.all(lanes.map(lane => closedLane(o.target, lane))) }
}

/**
 * Opens lanes that a move had closed and then gave up, so that their Mirror takes them up again behind a fence of its own.
 * Only gates of this very move are opened: a later one decides for itself.
 */
export async function openLanes(o: {
  target: ClusterClient
  link: string
  topics: readonly string[] | 'all'
  move: { service: string; epoch: number }
  logger: Logger
}): Promise<void> {
  const state = await openState(o)
  const closed = [...state.lanes].filter(
    ({ birth, gate }) =>
      birth &&
      (o.topics === 'all' || o.topics.includes(birth.sourceTopic)) &&
      gate?.state === 'closed' &&
      gate.service === o.move.service &&
      gate.moveEpoch === o.move.epoch
  )
  await Promise.all(
    closed.map(lane => state.writeGate(lane.key, { state: 'opened', service: o.move.service, moveEpoch: o.move.epoch }))
  )
}

async function openState(o: { target: ClusterClient; link: string; logger: Logger }): Promise<LinkState> {
  const state = await LinkState.open({ cluster: o.target, link: o.link, logger: o.logger, create: false })
  if (!state) {
    throw new TwinlogError(
      'TWINLOG_UNKNOWN_TOPIC',
      `cluster ${o.target.alias} has no state of link ${o.link}: no Mirror of this link ever wrote to it`,
      {
        cluster: o.target.alias
      }
    )
  }
  await state.refresh()
  return state
}

async function closedLane(target: ClusterClient, lane: LaneState): Promise<ClosedLane> {
  const birth = lane.birth
  if (!birth)
    throw new TwinlogError('TWINLOG_STATE_INVALID', `the state topic does not hold the birth of lane ${lane.key}`)
  const log = new TargetLog(target, birth.targetTopic, birth.targetPartition)
  const map = await LaneMap.open(log, lane, await log.settledBounds(lane.checkpoint?.targetEnd ?? birth.targetEnd))
  return {
    topic: birth.sourceTopic,
    partition: birth.sourcePartition,
    targetTopic: birth.targetTopic,
    targetPartition: birth.targetPartition,
    targetEnd: map.end.offset,
    reached: map.reached
  }
}
