import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { type FencePartition, type FenceResult, fencePartitions, laneTransactionalId } from '../lineage/fence.js'
import type { LaneState } from '../lineage/lane-state.js'
import type { Logger } from '../logger.js'
import type { Lane } from './lane.js'
import { closedBy } from './lane-errors.js'
import type { LinkFencer } from './link-fencer.js'
import type { LinkBinding } from './link-session.js'
import { laneEndOf } from './recovery.js'

const ROUNDS = 8
/** Base of an identity that only says that the lane has an id of its own; nothing is written under it. */
const NEVER = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * Gives a lane a new identity: marker first, so that whoever wrote before is refused, then where the fenced writers ended, then the
 * word about it, then data. Who finds the word of another one in between fences again: both cannot be right.
 */
export class LaneTaker {
  readonly #target: ClusterClient
  readonly #link: LinkBinding
  readonly #fencer: LinkFencer
  readonly #process: string
  readonly #announce: () => Promise<void>
  readonly #logger: Logger
  /** Lanes whose place could not be known when they were fenced last: they are looked at first, as each fence uses up an epoch. */
  readonly #lost = new WeakSet<Lane>()

  constructor(o: {
    target: ClusterClient
    link: LinkBinding
    fencer: LinkFencer
    /** Name of this process in the state topic. */
    process: string
    /** Says that this process lives, before it says that a lane is its own. */
    announce: () => Promise<void>
    logger: Logger
  }) {
    this.#target = o.target
    this.#link = o.link
    this.#fencer = o.fencer
    this.#process = o.process
    this.#announce = o.announce
    this.#logger = o.logger
  }

  /** `ownId`: under a producer id of the lane's own. Answers the state with our identity as the current one. */
  async takeOver(lane: Lane, before: LaneState, ownId: boolean): Promise<LaneState> {
    const { state } = this.#link.session
    if (this.#lost.has(lane)) await this.#endOf(lane, before)
    if (ownId && !before.epochs.some(epoch => epoch.own === true)) before = await this.#announceOwn(lane, before)
    for (let round = 1; ; round++) {
      const known = new Set(before.epochs.map(nameOf))
      const identity = await this.fence(lane, before, ownId)
      const fenced = (await state.refreshLane(lane.key)) ?? before
      if (fenced.gate?.state === 'closed') throw closedBy(lane.source, fenced.gate)
      // Copied before it is decided on: the state goes on changing under us.
      const own = ownId || fenced.epochs.some(epoch => epoch.own === true)
      if (own !== ownId || fenced.epochs.some(epoch => !known.has(nameOf(epoch)))) {
        if (round >= ROUNDS) throw contested(lane)
        return this.takeOver(lane, fenced, own)
      }
      const end = await this.#endOf(lane, fenced)
      const { plan } = lane.work
      const alone = ownId || plan.exclusive !== undefined || fenced.currentPlan !== plan.digest
      const entry = {
        producerId: identity.producerId,
        epoch: identity.epoch,
        base: end.next,
        firstSequence: 0,
        plan: plan.digest,
        targetEnd: end.targetEnd,
        seenTo: end.seenTo,
        ...(alone ? { owner: this.#process } : {}),
        ...(ownId ? { own: true } : {})
      }
      if (alone) await this.#announce()
      await state.decideEpoch(lane.key, entry)
      const after = state.lane(lane.key) ?? fenced
      if (
        after.currentEpoch &&
        nameOf(after.currentEpoch) === nameOf(identity) &&
        after.currentEpoch.base === end.next
      ) {
        const strangers = after.epochs.filter(epoch => !known.has(nameOf(epoch)) && nameOf(epoch) !== nameOf(identity))
        if (strangers.length === 0) {
          this.#logger.info({ lane: lane.key, ...entry }, 'lane taken over under a new epoch')
          return after
        }
      }
      if (round >= ROUNDS) throw contested(lane)
      before = after
    }
  }

  async #endOf(lane: Lane, state: LaneState): ReturnType<typeof laneEndOf> {
    const { topic, partition } = lane.target
    try {
      const rescan = lane.troubles.targetWasLost
      const end = await laneEndOf({ target: this.#target, state, topic, partition, rescan })
      this.#lost.delete(lane)
      return end
    } catch (error) {
      if (error instanceof TwinlogError && error.code === 'TWINLOG_POSITION_UNKNOWN') this.#lost.add(lane)
      throw error
    }
  }

  /**
   * That the lane has an id of its own, ahead of the fence: epochs of two ids do not refuse each other. Whoever takes the link's id
   * behind this word finds it and gives way, and whoever took it before is fenced behind it.
   */
  async #announceOwn(lane: Lane, before: LaneState): Promise<LaneState> {
    const { state } = this.#link.session
    const { producerId, epoch } = await this.#fenceOwn(lane.transactionalId, [])
    await this.#announce()
    const owner = this.#process
    await state.decideEpoch(lane.key, { producerId, epoch, base: NEVER, firstSequence: 0, owner, own: true })
    return state.lane(lane.key) ?? before
  }

  /** Whoever writes to the lane's target partition under an older epoch is refused from now on. */
  async fence(lane: Lane, state: LaneState | undefined, ownId: boolean): Promise<FenceResult> {
    const { topic, partition } = lane.target
    // A marker that nobody can write keeps its transactional id busy, and with the link's id all other lanes.
    if ((this.#target.leaderOf(topic, partition)?.nodeId ?? -1) < 0) {
      const where = { cluster: this.#target.alias, topic, partition }
      throw kafkaError(5, `target partition ${topic}-${partition} cannot be fenced`, where)
    }
    const usedOwn = state?.epochs.some(epoch => epoch.own === true) ?? false
    // Who began to write under the lane's own id had fenced the link's for good.
    const begun = state?.epochs.some(epoch => epoch.own === true && epoch.base !== NEVER) ?? false
    const link = begun ? undefined : await this.#fencer.fence({ topic, partition })
    if (link) await this.#link.adopt(link.producerId)
    if (!ownId && !usedOwn && link) return link
    // The former log of a topic that was created again had a lane, and an id, of its own.
    const transactionalId =
      state && usedOwn ? laneTransactionalId(this.#link.session.state.link, state.key) : lane.transactionalId
    return this.#fenceOwn(transactionalId, [{ topic, partition }])
  }

  async #fenceOwn(transactionalId: string, partitions: FencePartition[]): Promise<FenceResult> {
    const own = await fencePartitions({ cluster: this.#target, transactionalId, partitions, logger: this.#logger })
    await this.#link.session.registerOwn([own.producerId])
    return own
  }
}

const nameOf = (epoch: { producerId: bigint; epoch: number }) => `${epoch.producerId}/${epoch.epoch}`

function contested(lane: Lane): TwinlogError {
  return new TwinlogError(
    'TWINLOG_FENCED',
    `lane ${lane.source.topic}-${lane.source.partition} was taken over by others each time this process took it over`,
    { topic: lane.source.topic, partition: lane.source.partition, retriable: true }
  )
}
