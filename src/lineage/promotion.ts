import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { Logger } from '../logger.js'
import { fencePartitions, laneTransactionalId, linkTransactionalId } from './fence.js'
import { LaneMap } from './lane-map.js'
import type { LaneState } from './lane-state.js'
import { LinkState } from './link-state.js'
import { TargetLog } from './target-log.js'

const CLOSE_ROUNDS = 10
const OWN_FENCES_AT_ONCE = 8

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

interface Closing {
  target: ClusterClient
  link: string
  move: { service: string; epoch: number }
  logger: Logger
  signal?: AbortSignal | undefined
}

/**
 * Ends the lanes of these source topics for a move: first the word (`closed`, so that whoever is fenced learns why), then the
 * marker of a new epoch in every target partition, both again for what was born or opened meanwhile, then a look at where each lane
 * ends. Other lanes of the link go on.
 */
export async function closeLanes(o: Closing & { topics: readonly string[] | 'all' }): Promise<{ lanes: ClosedLane[] }> {
  const state = await openState(o)
  const lanes = new Map<string, LaneState>()
  for (let round = 1; ; round++) {
    const wanted = [...state.lanes].filter(
      lane => lane.birth && (o.topics === 'all' || o.topics.includes(lane.birth.sourceTopic))
    )
    // Born since the last look, or opened again behind it by somebody who did not know of this move.
    const open = await living(
      o.target,
      wanted.filter(lane => !lanes.has(lane.key) || !isClosedBy(o.move, lane))
    )
    if (open.length === 0) break
    if (round > CLOSE_ROUNDS) throw notClosed(o, open)
    await closeRound(state, open, o)
    for (const lane of open) lanes.set(lane.key, lane)
    // Read again behind the fence: the last gaps and epochs of the fenced writers are in now, and nothing can follow.
    await state.refresh()
  }
  return { lanes: await Promise.all([...lanes.values()].map(lane => closedLane(o.target, lane))) }
}

async function closeRound(state: LinkState, lanes: LaneState[], o: Closing): Promise<void> {
  const { service, epoch: moveEpoch } = o.move
  const later = lanes.find(({ gate }) => gate?.service === service && gate.moveEpoch > moveEpoch)
  if (later) {
    throw new TwinlogError(
      'TWINLOG_MOVE_ABORTED',
      `move ${later.gate?.moveEpoch} of service ${service} decides about lane ${later.key} of link ${o.link}: move ${moveEpoch} came too late`,
      { cluster: o.target.alias }
    )
  }
  await Promise.all(lanes.map(lane => state.writeGate(lane.key, { state: 'closed', service, moveEpoch })))
  // Who takes an id of its own says so first and looks at the gate then: either that one sees the gate, or we see the id.
  await state.refresh()
  await fenceLanes(lanes, o)
}

/**
 * With the link's id, which may have written to any of them; those that have an id of their own with that as well: a fence with an id
 * that never wrote to a partition fences nothing there.
 */
async function fenceLanes(lanes: LaneState[], o: Closing): Promise<void> {
  const { target: cluster, link, logger, signal } = o
  const fence = (transactionalId: string, fenced: LaneState[]) =>
    fencePartitions({ cluster, transactionalId, partitions: fenced.flatMap(targetOf), logger, signal })
  const own = lanes.filter(lane => lane.currentEpoch?.own === true)
  await fence(linkTransactionalId(link), lanes)
  for (let first = 0; first < own.length; first += OWN_FENCES_AT_ONCE) {
    const some = own.slice(first, first + OWN_FENCES_AT_ONCE)
    await Promise.all(some.map(lane => fence(laneTransactionalId(link, lane.key), [lane])))
  }
}

const targetOf = ({ birth }: LaneState) =>
  birth ? [{ topic: birth.targetTopic, partition: birth.targetPartition }] : []

function isClosedBy(move: { service: string; epoch: number }, { gate }: LaneState): boolean {
  return gate?.state === 'closed' && gate.service === move.service && gate.moveEpoch === move.epoch
}

function notClosed(o: Closing, lanes: LaneState[]): TwinlogError {
  const places = lanes.map(({ birth }) => `${birth?.sourceTopic}-${birth?.sourcePartition}`).join(', ')
  return new TwinlogError(
    'TWINLOG_MOVE_ABORTED',
    `lanes of link ${o.link} were opened again each time move ${o.move.epoch} of service ${o.move.service} had closed them: ${places}; ` +
      'another service moves the same topics at the same moment, let it finish first',
    { cluster: o.target.alias, retriable: true }
  )
}

/**
 * Opens lanes that a move had closed and then gave up, so that their Mirror takes them up again behind a fence of its own.
 * Only gates of this very move are opened: a later one decides for itself. Can be called again, and by several instances.
 */
export async function openLanes(o: Closing): Promise<void> {
  const state = await LinkState.open({ cluster: o.target, link: o.link, logger: o.logger, create: false })
  if (!state) return
  await state.refresh()
  const closed = [...state.lanes].filter(lane => lane.birth && isClosedBy(o.move, lane))
  await Promise.all(
    closed.map(lane => state.writeGate(lane.key, { state: 'opened', service: o.move.service, moveEpoch: o.move.epoch }))
  )
}

/** Without those whose target topic was deleted since, also when there is a new one of that name: they hold nothing that could move. */
async function living(target: ClusterClient, lanes: LaneState[]): Promise<LaneState[]> {
  if (lanes.length === 0) return lanes
  const names = new Set(lanes.map(({ birth }) => birth?.targetTopic ?? ''))
  const { topics } = await target.metadata({ topics: [...names] })
  return lanes.filter(({ birth }) => birth && topics.get(birth.targetTopic)?.topicId === birth.targetTopicId)
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
  const map = await LaneMap.open(log, lane, await log.settledBounds(lane.resumeFrom.targetEnd))
  return {
    topic: birth.sourceTopic,
    partition: birth.sourcePartition,
    targetTopic: birth.targetTopic,
    targetPartition: birth.targetPartition,
    targetEnd: map.end.offset,
    reached: map.reached
  }
}
