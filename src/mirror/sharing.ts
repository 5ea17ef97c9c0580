import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError, toTwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import type { Logger } from '../logger.js'
import type { Lane } from './lane.js'
import type { Assignment } from './lane-set.js'
import { shareIdOf } from './lane-types.js'
import type { Ownership } from './ownership.js'
import { LaneShare } from './workers/lane-share.js'

/** The others hear of it with their next heartbeat, and then have to start the lanes. */
const HAND_OVER_MS = 2_500

interface SharingHost {
  assign(ids: Assignment): void
  weightOf(shareId: string): number
  warn(error: TwinlogError): void
}

/** This process's part in sharing the link's lanes with others. Without the group it copies everything, as every other process then does. */
export class Sharing implements Ownership {
  readonly #share: LaneShare
  readonly #fallback: Ownership
  readonly #required: boolean
  readonly #host: SharingHost
  #state: 'idle' | 'running' | 'without' = 'idle'
  #leaving = false
  /** The group did not answer: everything is copied here until it does. */
  #provisional = false

  constructor(o: {
    target: ClusterClient
    workers: { group: string; required: boolean }
    process: string
    fallback: Ownership
    logger: Logger
    host: SharingHost
  }) {
    this.#fallback = o.fallback
    this.#required = o.workers.required
    this.#host = o.host
    this.#share = new LaneShare({
      cluster: o.target,
      group: o.workers.group,
      memberName: `${hostname()}-${o.process}`,
      logger: o.logger,
      weightOf: id => this.#host.weightOf(id),
      onAssigned: ids => this.#host.assign(this.#share.members() <= 1 ? 'all' : ids),
      onProblem: error => this.#host.warn(error)
    })
  }

  /** Nobody has said yet what is this process's. */
  get pending(): boolean {
    return this.#state === 'idle' && !this.#provisional
  }

  /** One process of those that share does what needs doing once. */
  get leads(): boolean {
    return this.#state !== 'running' || this.#share.assigned === undefined || this.#share.isLeader
  }

  get members(): number {
    return this.#state === 'running' ? Math.max(1, this.#share.members()) : 1
  }

  /** Every source partition that this process could copy. The first call joins the group and answers what is this process's for now. */
  async offer(shareIds: readonly string[]): Promise<Assignment | undefined> {
    this.#share.setLanes([...shareIds])
    if (this.#state !== 'idle' || shareIds.length === 0) return undefined
    try {
      const how = await this.#share.start()
      this.#state = 'running'
      return how === 'alone' || this.#share.members() <= 1 ? 'all' : (this.#share.assigned ?? 'all')
    } catch (error) {
      return this.#withoutGroup(
        toTwinlogError(error, 'TWINLOG_UNREACHABLE', 'the lanes cannot be shared with other processes')
      )
    }
  }

  /** Asked for by name, the group is a condition. Otherwise copying comes first: overlap harms nothing. */
  #withoutGroup(cause: TwinlogError): Assignment | undefined {
    if (this.#required || (!cause.retriable && cause.code !== 'TWINLOG_UNAUTHORIZED')) throw cause
    const first = !this.#provisional
    this.#provisional = true
    if (cause.code === 'TWINLOG_UNAUTHORIZED') this.#state = 'without'
    const advice = cause.retriable ? 'it is tried again' : 'grant READ on the group, or set workers to false'
    const message = `lanes are not shared with other processes: ${cause.message}; ${advice}`
    if (first) this.#host.warn(new TwinlogError(cause.code, message, { cause }))
    return first ? 'all' : undefined
  }

  async refusal(lane: Lane, owner: string | undefined): Promise<string | undefined> {
    if (this.#leaving) return 'this process is stopping'
    if (this.#state !== 'running') return this.#fallback.refusal(lane, owner)
    const { assigned } = this.#share
    if (assigned && this.#share.members() > 1 && !assigned.has(shareIdOf(lane.source)))
      return 'it was dealt to another process of the group'
    if (owner === undefined) return undefined
    // Two that found the group empty at the same moment: whoever owns the lane keeps it until it is dealt.
    if (assigned === undefined) return this.#fallback.refusal(lane, owner)
    // Whoever slept for a while may have been counted out without knowing it.
    return (await this.#share.confirm()) ? undefined : 'this process is joining its group again'
  }

  /**
   * Gives the lanes to the others before this process stops copying them: they take them over while it goes on, so nothing stands
   * still. Resolves when they have had the time for it.
   */
  async leave(): Promise<void> {
    const alone = this.members <= 1
    this.#leaving = true
    await this.#share.stop()
    if (!alone) await sleep(HAND_OVER_MS)
  }
}
