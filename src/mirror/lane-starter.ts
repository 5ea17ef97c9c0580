import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { listOffsetsRequest } from '../kafka/requests/list-offsets.js'
import type { Logger } from '../logger.js'
import { fencePartitions } from '../lineage/fence.js'
import type { LaneState } from '../lineage/lane-state.js'
import { TargetLog } from '../lineage/target-log.js'
import type { Lane } from './lane.js'
import { LaneBuffer } from './lane-buffer.js'
import { planDigest } from './lane-guard.js'
import type { LaneMemory } from './lane-types.js'
import type { LinkBinding, LinkSession } from './link-session.js'
import { recoverPosition, type RecoveredPosition } from './recovery.js'
import { ReverseLinks } from './reverse-links.js'

const DIGEST = planDigest({ isolation: 'read_committed', transform: null })

export type LaneStart =
  | { kind: 'go'; at: RecoveredPosition; fromState: () => LaneMemory }
  /** A move has closed the lane. */
  | { kind: 'closed'; error: TwinlogError }

/** Brings one lane to where it can copy: its birth, its gate, its identity, its position on the target. */
export class LaneStarter {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #link: LinkBinding
  readonly #logger: Logger
  readonly #reverse: ReverseLinks

  constructor(o: { source: ClusterClient; target: ClusterClient; link: LinkBinding; logger: Logger }) {
    this.#reverse = new ReverseLinks(o)
    this.#source = o.source
    this.#target = o.target
    this.#link = o.link
    this.#logger = o.logger
  }

  get #session(): LinkSession {
    return this.#link.session
  }

  async start(lane: Lane): Promise<LaneStart> {
    const state = (await this.#session.state.refreshLane(lane.key)) ?? (await this.#birth(lane))
    const born = state.birth ? state : await this.#birth(lane)
    if (born.birth?.planDigest !== DIGEST) {
      throw new TwinlogError(
        'TWINLOG_UNSUPPORTED',
        `lane ${lane.source.topic}-${lane.source.partition} was begun under another plan (isolation or transform changed): changing the plan of a lane is not supported yet`,
        { topic: lane.source.topic, partition: lane.source.partition }
      )
    }
    await this.#reverse.assertNone(lane.source.topic)
    const gate = born.gate
    if (gate?.state === 'closed') return { kind: 'closed', error: closedBy(lane, gate) }
    const owned = born.currentEpoch?.producerId === this.#session.producerId ? born : await this.#takeOver(lane, born)
    const at = await this.#position(lane, owned)
    // Another owner may have gone on in the meantime. Gaps are written ahead, so read now the state knows all of them below `at`.
    await this.#session.state.refreshLane(lane.key)
    return { kind: 'go', at, fromState: () => laneMemory(this.#session.state.lane(lane.key) ?? owned, at) }
  }

  async #position(lane: Lane, state: LaneState): Promise<RecoveredPosition> {
    const o = { target: this.#target, topic: lane.target.topic, partition: lane.target.partition }
    try {
      return await recoverPosition({ ...o, state })
    } catch (error) {
      if (!(error instanceof TwinlogError) || error.code !== 'TWINLOG_FENCED') throw error
      // Somebody took a later epoch. Either the words about it are in the state by now, or whoever did it died before writing them.
      const fresh = (await this.#session.state.refreshLane(lane.key)) ?? state
      if (fresh.gate?.state === 'closed') throw closedBy(lane, fresh.gate)
      const announced =
        fresh.currentEpoch?.epoch !== state.currentEpoch?.epoch ||
        fresh.currentEpoch?.producerId !== state.currentEpoch?.producerId
      return recoverPosition({ ...o, state: announced ? fresh : await this.#takeOver(lane, fresh) })
    }
  }

  /** A new identity for the lane: marker first, then where the fenced writers ended, then the word about it, then data. */
  async #takeOver(lane: Lane, state: LaneState): Promise<LaneState> {
    const { topic, partition } = lane.target
    const identity = await fencePartitions({
      cluster: this.#target,
      link: this.#session.state.link,
      partitions: [{ topic, partition }],
      logger: this.#logger
    })
    const fresh = (await this.#session.state.refreshLane(lane.key)) ?? state
    if (fresh.gate?.state === 'closed') throw closedBy(lane, fresh.gate)
    const birth = fresh.birth
    if (!birth)
      throw new TwinlogError('TWINLOG_STATE_INVALID', `the state topic does not hold the birth of lane ${lane.key}`)
    const log = new TargetLog(this.#target, topic, partition)
    const { start, end } = await log.settledBounds(fresh.checkpoint?.targetEnd ?? birth.targetEnd)
    const known = fresh.checkpoint ?? { next: birth.first, targetEnd: birth.targetEnd }
    const tail = await log.lastBatch(known.targetEnd > start ? known.targetEnd : start, end, fresh.epochs, known.next)
    const base = tail && tail.ordinal + BigInt(tail.count) > known.next ? tail.ordinal + BigInt(tail.count) : known.next
    const mine = await this.#session.state.decideEpoch(lane.key, {
      producerId: identity.producerId,
      epoch: identity.epoch,
      base,
      firstSequence: 0
    })
    this.#logger.info({ lane: lane.key, epoch: identity.epoch, base, mine }, 'lane taken over under a new epoch')
    return this.#session.state.lane(lane.key) ?? fresh
  }

  async #birth(lane: Lane): Promise<LaneState> {
    const { topic, partition } = lane.source
    await this.#refuseAnotherLog(lane)
    const [first, target] = await Promise.all([
      this.#sourceStart(topic, partition),
      new TargetLog(this.#target, lane.target.topic, lane.target.partition).bounds()
    ])
    return this.#session.state.decideBirth(
      {
        sourceTopicId: lane.source.topicId,
        sourcePartition: partition,
        targetTopicId: lane.target.topicId,
        targetPartition: lane.target.partition
      },
      {
        sourceTopic: topic,
        sourceTopicId: lane.source.topicId,
        sourcePartition: partition,
        targetTopic: lane.target.topic,
        targetTopicId: lane.target.topicId,
        targetPartition: lane.target.partition,
        planDigest: DIGEST,
        first,
        targetEnd: target.end,
        producerId: this.#session.producerId,
        epoch: 0
      }
    )
  }

  /**
   * The target partition holds the copy of another log: of a source topic that was deleted and created again. Sequences would
   * seem to continue where that one ended, and the first records of the new one would be taken for copied.
   */
  async #refuseAnotherLog(lane: Lane): Promise<void> {
    await this.#session.state.refresh()
    for (const { birth } of this.#session.state.lanes) {
      if (birth?.targetTopicId !== lane.target.topicId || birth.targetPartition !== lane.target.partition) continue
      if (birth.sourceTopicId === lane.source.topicId) continue
      throw new TwinlogError(
        'TWINLOG_TOPIC_RECREATED',
        `source topic ${lane.source.topic} was deleted and created again (id ${lane.source.topicId}): ${lane.target.topic}-${lane.target.partition} on the target holds ` +
          `the copy of the former one (id ${birth.sourceTopicId}), and the two cannot be joined yet. To copy the new one from its beginning, delete the target topic`,
        { cluster: this.#source.alias, topic: lane.source.topic, partition: lane.source.partition }
      )
    }
  }

  async #sourceStart(topic: string, partition: number): Promise<bigint> {
    const leader = this.#source.leaderOf(topic, partition)
    if (!leader || leader.nodeId < 0)
      throw kafkaError(5, `source partition ${topic}-${partition} has no leader`, {
        cluster: this.#source.alias,
        topic,
        partition
      })
    const topics = [{ topic, partitions: [{ partition, timestamp: -2n }] }]
    const answer = await this.#source.send(
      { node: leader.nodeId },
      listOffsetsRequest({ isolation: 'read_uncommitted', topics })
    )
    const result = answer.partitions[0]
    if (result?.errorCode === 0) return result.offset
    throw kafkaError(result?.errorCode ?? -1, `cannot ask where source partition ${topic}-${partition} begins`, {
      cluster: this.#source.alias,
      topic,
      partition
    })
  }
}

function laneMemory(state: LaneState, at: RecoveredPosition): LaneMemory {
  // Words about another place than this one say nothing about what lies behind it.
  const checkpoint = state.checkpoint?.next === at.next ? state.checkpoint : undefined
  return {
    buffer: new LaneBuffer(state.gaps().clone(), at.next, checkpoint?.reached),
    leaderEpoch: checkpoint?.sourceLeaderEpoch ?? -1
  }
}

function closedBy(lane: Lane, gate: { service: string; moveEpoch: number }): TwinlogError {
  return new TwinlogError(
    'TWINLOG_FENCED',
    `move ${gate.moveEpoch} of service ${gate.service} has closed lane ${lane.source.topic}-${lane.source.partition}: the service writes to the target now`,
    { topic: lane.source.topic, partition: lane.source.partition }
  )
}
