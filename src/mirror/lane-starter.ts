import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { LaneState } from '../lineage/lane-state.js'
import type { Lane } from './lane.js'
import type { LaneBirths } from './lane-births.js'
import { LaneBuffer } from './lane-buffer.js'
import { closedBy } from './lane-errors.js'
import { standingOf } from './lane-guard.js'
import type { LaneTaker } from './lane-taker.js'
import type { LaneMemory } from './lane-types.js'
import type { LinkBinding, LinkSession } from './link-session.js'
import type { Ownership } from './ownership.js'
import { recoverPosition, type RecoveredPosition } from './recovery.js'

const ROUNDS = 5
const FAR = 1n << 62n

export type LaneStart =
  | { kind: 'go'; at: RecoveredPosition; fromState: () => LaneMemory }
  /** A move has closed the lane. */
  | { kind: 'closed'; error: TwinlogError }
  /** Another process copies it, and only one may. */
  | { kind: 'standby'; why: string }

interface LaneStarterOptions {
  target: ClusterClient
  link: LinkBinding
  births: LaneBirths
  taker: LaneTaker
  ownership: Ownership
  /** Name of this process in the state topic. */
  process: string
  /** Resolves when no gap of the lane is on its way to the state topic. */
  gapsWritten(lane: Lane): Promise<void>
}

/** Brings one lane to where it can copy: its birth, its gate, its identity, its position on the target. */
export class LaneStarter {
  readonly #o: LaneStarterOptions

  constructor(o: LaneStarterOptions) {
    this.#o = o
  }

  get #session(): LinkSession {
    return this.#o.link.session
  }

  async start(lane: Lane): Promise<LaneStart> {
    await lane.troubles.settled()
    const { state: link } = this.#session
    let state = await link.refreshLane(lane.key)
    if (!state?.birth) state = await this.#o.births.bear(lane)
    for (let round = 1; ; round++) {
      try {
        const start = await this.#look(lane, state, round)
        if (start) return start
      } catch (error) {
        // Once it is accepted, what the target still has is all that counts.
        if (!isTruncated(error) || lane.troubles.targetWasLost || !lane.troubles.acceptsTargetLoss(error)) throw error
      }
      state = (await link.refreshLane(lane.key)) ?? state
    }
  }

  /** Undefined: things have to be looked at anew. */
  async #look(lane: Lane, state: LaneState, round: number): Promise<LaneStart | undefined> {
    if (state.gate?.state === 'closed') return { kind: 'closed', error: closedBy(lane.source, state.gate) }
    const standing = this.#standing(lane, state)
    if (standing.kind === 'take-over') {
      const why = await this.#o.ownership.refusal(lane, state.currentEpoch?.owner)
      if (why !== undefined) return { kind: 'standby', why }
      return this.#go(lane, await this.#takenOver(lane, state))
    }
    const at = await this.#position(lane, state)
    // What only this process may have planned is in its memory or nowhere.
    if (at && (standing.kind === 'shared' || lane.canResumeAt(at.next))) return this.#go(lane, at)
    // A lane that fails again and again must not use up an epoch each time.
    if (at && (await this.#nothingPlanned(lane, at.next))) return this.#go(lane, at)
    if (at || round > 1) lane.troubles.broken = true
    return round > ROUNDS ? this.#go(lane, await this.#takenOver(lane, state)) : undefined
  }

  #standing(lane: Lane, state: LaneState) {
    const { currentEpoch, currentPlan } = state
    return standingOf({ currentEpoch, currentPlan }, lane.work.plan, {
      process: this.#o.process,
      linkProducerId: this.#session.producerId,
      ownId: this.#ownId(lane, state),
      broken: lane.troubles.broken || lane.troubles.targetWasLost
    })
  }

  #ownId(lane: Lane, state: LaneState): boolean {
    return lane.troubles.wantsOwnId || state.epochs.some(epoch => epoch.own === true)
  }

  /** Nothing behind this ordinal was planned under the current identity, as far as it is written down: a new plan contradicts none. */
  async #nothingPlanned(lane: Lane, next: bigint): Promise<boolean> {
    await this.#o.gapsWritten(lane)
    const gaps = (await this.#session.state.refreshLane(lane.key))?.gaps()
    return gaps !== undefined && gaps.between(next, FAR).next().done === true
  }

  async #takenOver(lane: Lane, state: LaneState): Promise<RecoveredPosition> {
    const { currentEpoch } = state
    const mine = currentEpoch?.epoch === lane.epoch?.epoch && currentEpoch?.producerId === lane.epoch?.producerId
    // Somebody else has copied on since: what this process had found in the logs is that one's by now.
    if (!mine) lane.troubles.forgetFindings()
    const taken = await this.#o.taker.takeOver(lane, state, this.#ownId(lane, state))
    const epoch = taken.currentEpoch
    if (!epoch) throw new TwinlogError('TWINLOG_INTERNAL', `lane ${lane.key} has no identity after it was taken over`)
    return { next: epoch.base, epoch, targetEnd: epoch.targetEnd ?? taken.resumeFrom.targetEnd, seenTo: epoch.seenTo }
  }

  /** Undefined: somebody took a later epoch, so things have to be looked at anew. */
  async #position(lane: Lane, state: LaneState): Promise<RecoveredPosition | undefined> {
    const { topic, partition } = lane.target
    const epoch = state.currentEpoch
    try {
      return await recoverPosition({ target: this.#o.target, topic, partition, state })
    } catch (error) {
      if (!(error instanceof TwinlogError) || error.code !== 'TWINLOG_FENCED') throw error
      // Either the words about it are in the state by now, or whoever did it died before writing them.
      const fresh = (await this.#session.state.refreshLane(lane.key)) ?? state
      const announced =
        fresh.currentEpoch?.epoch !== epoch?.epoch || fresh.currentEpoch?.producerId !== epoch?.producerId
      if (announced || fresh.gate?.state === 'closed') return undefined
      return this.#takenOver(lane, fresh)
    }
  }

  async #go(lane: Lane, at: RecoveredPosition): Promise<LaneStart> {
    // Another owner may have gone on in the meantime. Gaps are written ahead, so read now the state knows all of them below `at`.
    const { state: link } = this.#session
    const state = await link.refreshLane(lane.key)
    if (!state)
      throw new TwinlogError('TWINLOG_STATE_INVALID', `the state topic does not hold the birth of lane ${lane.key}`)
    return { kind: 'go', at, fromState: () => laneMemory(link.lane(lane.key) ?? state, at) }
  }
}

const isTruncated = (error: unknown): error is TwinlogError =>
  error instanceof TwinlogError && error.code === 'TWINLOG_TRUNCATED'

function laneMemory(state: LaneState, at: RecoveredPosition): LaneMemory {
  // Words about another place than this one say nothing about what lies behind it.
  const checkpoint = state.checkpoint?.next === at.next ? state.checkpoint : undefined
  const gaps = state.gaps().clone()
  const buffer = new LaneBuffer(gaps, at.next, checkpoint?.reached)
  // A new history of the source had begun here, and none of its records has been copied yet.
  if (gaps.newestEra?.ordinal === at.next) {
    buffer.beginEra(gaps.newestEra.start)
    if (checkpoint) buffer.skipTo(checkpoint.reached)
  }
  return { buffer, leaderEpoch: checkpoint?.sourceLeaderEpoch ?? -1 }
}
