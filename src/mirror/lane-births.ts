import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { LaneState } from '../lineage/lane-state.js'
import type { BirthEntry } from '../lineage/state-values.js'
import { TargetLog } from '../lineage/target-log.js'
import type { Lane } from './lane.js'
import type { LaneTaker } from './lane-taker.js'
import type { LinkBinding } from './link-session.js'
import { firstOffset, type StartOption } from './start-position.js'

const LOOK_MS = 1_000

/** Where a lane begins, and under which identity: decided once, by whoever writes it first. */
export class LaneBirths {
  readonly #source: ClusterClient
  readonly #target: ClusterClient
  readonly #link: LinkBinding
  readonly #taker: LaneTaker
  readonly #start: StartOption
  #looked: { at: number; done: Promise<void> } | undefined

  constructor(o: {
    source: ClusterClient
    target: ClusterClient
    link: LinkBinding
    taker: LaneTaker
    start: StartOption
  }) {
    this.#source = o.source
    this.#target = o.target
    this.#link = o.link
    this.#taker = o.taker
    this.#start = o.start
  }

  async bear(lane: Lane): Promise<LaneState> {
    const { state } = this.#link.session
    await this.#refreshed()
    const others = [...state.lanes].filter(other => other.key !== lane.key)
    const formerLogs = others.filter(
      ({ birth }) =>
        birth && sameTarget(birth, lane) && samePlace(birth, lane) && birth.sourceTopicId !== lane.source.topicId
    )
    const formerLog = formerLogs.at(-1)
    if (formerLog) this.#judgeFormerLog(lane, formerLog)
    const first = await this.#first(lane, others)
    // Another log, or records of several partitions: sequences of the link's id would seem to continue what they do not.
    const behindFence = formerLog !== undefined || lane.routed
    if (behindFence) {
      if (lane.routed) lane.troubles.wantsOwnId = true
      if (!formerLog) await this.#taker.fence(lane, undefined, lane.routed)
      for (const former of formerLogs) await this.#taker.fence(lane, former, lane.routed)
    }
    const log = new TargetLog(this.#target, lane.target.topic, lane.target.partition)
    const target = behindFence ? await log.settledBounds() : await log.bounds()
    const { topicId: sourceTopicId, partition: sourcePartition } = lane.source
    const { topicId: targetTopicId, partition: targetPartition } = lane.target
    return state.decideBirth(
      { sourceTopicId, sourcePartition, targetTopicId, targetPartition },
      {
        sourceTopic: lane.source.topic,
        sourceTopicId,
        sourcePartition,
        targetTopic: lane.target.topic,
        targetTopicId,
        targetPartition,
        planDigest: lane.work.plan.digest,
        first,
        targetEnd: target.end,
        producerId: this.#link.session.producerId,
        epoch: behindFence ? -1 : 0
      }
    )
  }

  /** What other lanes are there. Lanes that start together look together: a former log's lane was born long before. */
  #refreshed(): Promise<void> {
    const now = performance.now()
    if (!this.#looked || now - this.#looked.at > LOOK_MS)
      this.#looked = { at: now, done: this.#link.session.state.refresh() }
    return this.#looked.done
  }

  /**
   * The target partition holds the copy of another log: of a source topic that was deleted and created again. Records of the new one
   * follow behind a fence, if that is the policy.
   */
  #judgeFormerLog(lane: Lane, former: LaneState): void {
    const message =
      `source topic ${lane.source.topic} was deleted and created again (id ${lane.source.topicId}): ${lane.target.topic}-${lane.target.partition} on the target holds ` +
      `the copy of the former one (id ${former.birth?.sourceTopicId})`
    const where = { cluster: this.#source.alias, topic: lane.source.topic, partition: lane.source.partition }
    if (lane.work.onGap === 'continue') {
      lane.troubles.logReplaced(
        new TwinlogError('TWINLOG_TOPIC_RECREATED', `${message}; the new one follows behind it`, where)
      )
      return
    }
    const error = new TwinlogError(
      'TWINLOG_TOPIC_RECREATED',
      `${message}. To copy the new one from its beginning, delete the target topic; to append it, set onGap to 'continue'`,
      where
    )
    lane.troubles.logReplaced(error)
    throw error
  }

  #targetReplaced(lane: Lane, first: bigint): TwinlogError {
    return new TwinlogError(
      'TWINLOG_TOPIC_RECREATED',
      `target topic ${lane.target.topic} was deleted and created again (id ${lane.target.topicId}): ${lane.source.topic}-${lane.source.partition} is copied anew from offset ${first} on`,
      { cluster: this.#target.alias, topic: lane.source.topic, partition: lane.source.partition, offset: first }
    )
  }

  async #first(lane: Lane, others: LaneState[]): Promise<bigint> {
    const { topicId, partition } = lane.source
    // The target topic was deleted: its copy begins where the former one did, as far as the source still has that.
    const former = others.find(
      ({ birth }) =>
        birth?.sourceTopicId === topicId &&
        birth.sourcePartition === partition &&
        birth.targetTopic === lane.target.topic &&
        birth.targetPartition === lane.target.partition
    )
    const earliest = { source: this.#source, lane: lane.source, start: 'earliest', existedAtCreation: true } as const
    const { isolation } = lane.work
    if (former?.birth) {
      const begins = await firstOffset({ ...earliest, isolation })
      const first = former.birth.first > begins ? former.birth.first : begins
      lane.troubles.logReplaced(this.#targetReplaced(lane, first))
      return first
    }
    if (lane.first !== undefined) return lane.first
    const existedAtCreation = this.#link.session.existedAtCreation(topicId, partition)
    return firstOffset({ source: this.#source, lane: lane.source, start: this.#start, existedAtCreation, isolation })
  }
}

const sameTarget = (birth: BirthEntry, lane: Lane) =>
  birth.targetTopicId === lane.target.topicId && birth.targetPartition === lane.target.partition
const samePlace = (birth: BirthEntry, lane: Lane) =>
  birth.sourceTopic === lane.source.topic && birth.sourcePartition === lane.source.partition
