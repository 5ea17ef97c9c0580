import { TwinlogError } from '../../errors.js'
import { unrefTimer } from '../../kafka/deadline-timer.js'
import { childLogger, type Logger } from '../../logger.js'
import { assignLanes, type SharingMember } from './assign-lanes.js'
import { type CoordinatorCluster, CoordinatorWire } from './coordinator-wire.js'
import { lookAtGroup } from './group-check.js'
import { GroupMember } from './group-member.js'
import { keysOf, type LaneKey } from './lane-keys.js'
import type { Membership } from './membership.js'
import { decodeAssignment, decodeSubscription, encodeAssignment, encodeSubscription } from './share-protocol.js'

export interface LaneShareOptions {
  /** The target cluster, whose coordinator knows the members. */
  cluster: CoordinatorCluster
  group: string
  /** Of this process; the same after a restart. */
  memberName: string
  logger: Logger
  /** Bytes per second of a lane that this process copies; asked at each rebalance. Without it lanes are spread by number. */
  weightOf?: ((laneId: string) => number) | undefined
  /** The lanes of this process from now on. Called in every generation, also when they are the same as before. */
  onAssigned(laneIds: ReadonlySet<string>): void
  /** Once per episode. Copying may go on with the lanes of before; membership is tried again. */
  onProblem(error: TwinlogError): void
}

const START_TIMEOUT_MS = 20_000
const ASK_AGAIN_MS = 200

type Started = 'alone' | 'joined'

/** One call of `start()` and how it ended. */
interface Starting {
  promise: Promise<Started>
  settled: boolean
  resolve(value: Started): void
  reject(error: unknown): void
}

/**
 * Shares lanes with the other mirror processes of a group through Kafka's group coordinator on the target, with a
 * protocol type of our own, as Kafka Connect does with its workers. Nothing stops while the lanes are dealt anew: a member copies what it
 * has until the next assignment. A lane may so be copied by two for a moment, or by one whose session is over and who does not know it
 * yet: what must not be copied by two needs a fence, and `confirm()` before it.
 */
export class LaneShare {
  readonly #options: LaneShareOptions
  readonly #logger: Logger
  #member: GroupMember | undefined
  #lanes: ReadonlySet<string> = new Set()
  /** The lanes this member named when it joined last. */
  #said: ReadonlySet<string> = new Set()
  #saidByKey: ReadonlyMap<LaneKey, string> = new Map()
  /** Of the lanes at the last rebalance, while this process is the leader. */
  #weights: ReadonlyMap<LaneKey, number> = new Map()
  #changed = false
  #assigned: ReadonlySet<string> | undefined
  #assignedIn = -1
  #members = 0
  #started: Starting | undefined

  constructor(options: LaneShareOptions) {
    this.#options = options
    this.#logger = childLogger(options.logger, { group: options.group })
  }

  /** Undefined before the first assignment. Stays as it was while the coordinator can't be reached. */
  get assigned(): ReadonlySet<string> | undefined {
    return this.#assigned
  }

  /** In the present generation, or the last one. */
  get isLeader(): boolean {
    return this.#member?.membership.leader ?? false
  }

  /** −1 before the first. */
  get generation(): number {
    return this.#assignedIn
  }

  /** Members of the generation that the assignment is from; 0 before the first. */
  members(): number {
    return this.#members
  }

  /**
   * Joins the group. `alone`: there was nobody else in it, everything may be copied, provisionally, until the first assignment comes (the
   * broker delays the first generation of a group by `group.initial.rebalance.delay.ms`). `joined`: the assignment is there. Call
   * `setLanes` first. When it rejects nothing is left running, and it can be called again.
   */
  async start(): Promise<Started> {
    if (this.#started !== undefined) return this.#started.promise
    const started = starting()
    this.#started = started
    const { cluster, group } = this.#options
    const message = `${cluster.alias}: group "${group}" gave no lanes to this process within ${START_TIMEOUT_MS} ms`
    const late = new TwinlogError('TWINLOG_TIMEOUT', message, { cluster: cluster.alias, retriable: true })
    const timer = setTimeout(() => started.reject(late), START_TIMEOUT_MS)
    this.#join(started).catch((error: unknown) => started.reject(error))
    try {
      return await started.promise
    } catch (error) {
      await this.stop()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /** Every lane this process could copy. Tells the group when the list has changed. */
  setLanes(laneIds: Iterable<string>): void {
    this.#lanes = new Set(laneIds)
    this.#changed = !sameIds(this.#lanes, this.#said)
    if (this.#changed) this.#member?.nudge()
  }

  /**
   * Asks the coordinator now whether this process still is a member of the generation that its lanes are from. False also while lanes are
   * being dealt anew and when there is no answer: the lane must wait, another call or another assignment follows.
   */
  async confirm(): Promise<boolean> {
    const member = this.#member
    if (member === undefined || !(await member.confirm())) return false
    return member === this.#member && member.membership.generation === this.#assignedIn
  }

  /** Leaves the group; the others get the lanes within a heartbeat. */
  async stop(): Promise<void> {
    const member = this.#member
    this.#member = undefined
    const { cluster, group } = this.#options
    const stopped = new TwinlogError('TWINLOG_ABORTED', `${cluster.alias}: left group "${group}"`)
    this.#started?.reject(stopped)
    this.#started = undefined
    await member?.stop()
    this.#assigned = undefined
    this.#assignedIn = -1
    this.#members = 0
  }

  async #join(started: Starting): Promise<void> {
    const { cluster, group } = this.#options
    const wire = new CoordinatorWire(cluster, group)
    const empty = await this.#isEmpty(wire, started)
    // Stopped meanwhile, or too late.
    if (this.#started !== started) return
    const member: GroupMember = new GroupMember({
      group,
      wire,
      logger: this.#logger,
      subscribe: () => this.#subscribe(),
      changed: () => this.#changed,
      assign: members => this.#assign(members),
      // Not earlier: a group of the new consumer protocol (KIP-848) looks empty, but its coordinator takes no member of ours.
      onAdmitted: () => {
        if (empty) started.resolve('alone')
      },
      onAssignment: (assignment, membership) => {
        if (this.#member !== member) return
        this.#take(assignment, membership)
        started.resolve('joined')
      },
      onProblem: error => this.#problem(error, started)
    })
    this.#member = member
    member.start()
  }

  async #isEmpty(wire: CoordinatorWire, started: Starting): Promise<boolean> {
    while (this.#started === started) {
      const found = await lookAtGroup(wire, this.#options.group)
      if (found !== 'not yet') return found === 'nobody'
      wire.reset()
      await new Promise<void>(resolve => unrefTimer(resolve, ASK_AGAIN_MS))
    }
    return false
  }

  #subscribe(): Buffer {
    const { memberName, weightOf } = this.#options
    this.#said = this.#lanes
    this.#saidByKey = keysOf(this.#said)
    this.#changed = false
    const current = new Map<LaneKey, number>()
    for (const [key, id] of this.#saidByKey) {
      if (this.#assigned?.has(id) === true) current.set(key, weightOf?.(id) ?? 0)
    }
    const known = new Set(this.#saidByKey.keys())
    return encodeSubscription({ name: memberName, generation: this.#assignedIn, known, current })
  }

  #assign(members: { memberId: string; metadata: Buffer }[]): { memberId: string; assignment: Buffer }[] {
    const startedAt = performance.now()
    const described = members.map(({ memberId, metadata }) => this.#describe(memberId, metadata))
    const shares = assignLanes(described, this.#weights)
    this.#weights = new Map(described.flatMap(({ current }) => [...current]))
    const took = Math.round(performance.now() - startedAt)
    this.#logger.info({ members: members.length, tookMs: took }, 'dealt the lanes')
    return [...shares].map(([memberId, lanes]) => ({
      memberId,
      assignment: encodeAssignment({ members: members.length, lanes })
    }))
  }

  #describe(memberId: string, metadata: Buffer): SharingMember {
    try {
      return { memberId, ...decodeSubscription(metadata) }
    } catch (error) {
      // It gets nothing, the others work on.
      this.#options.onProblem(this.#unreadable(`what member ${memberId} says`, error))
      return { memberId, name: '', generation: -1, known: new Set(), current: new Map() }
    }
  }

  #take(assignment: Buffer, { generation, leader }: Membership): void {
    const lanes = new Set<string>()
    try {
      const decoded = decodeAssignment(assignment)
      // A lane that is no longer known stays: should it come back before the next rebalance, nobody else has it.
      for (const key of decoded.lanes) {
        const id = this.#saidByKey.get(key)
        if (id !== undefined) lanes.add(id)
      }
      this.#members = decoded.members
    } catch (error) {
      this.#options.onProblem(this.#unreadable('the assignment', error))
      return
    }
    this.#assigned = lanes
    this.#assignedIn = generation
    this.#logger.info({ generation, leader, members: this.#members, lanes: lanes.size }, 'got lanes')
    this.#options.onAssigned(lanes)
  }

  #problem(error: TwinlogError, started: Starting): void {
    if (started.settled) this.#options.onProblem(error)
    // Otherwise the rejection of start() says it; what may pass has until its time-out.
    else if (!error.retriable) started.reject(error)
  }

  #unreadable(what: string, cause: unknown): TwinlogError {
    const { cluster, group } = this.#options
    const detail = cause instanceof Error ? cause.message : String(cause)
    const message = `${cluster.alias}: group "${group}": ${what} is unreadable: ${detail}`
    return new TwinlogError('TWINLOG_PROTOCOL', message, { cluster: cluster.alias, cause })
  }
}

function starting(): Starting {
  let resolve!: (value: Started) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<Started>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  const made: Starting = { promise, settled: false, resolve, reject }
  const settle = () => {
    made.settled = true
  }
  promise.then(settle, settle)
  return made
}

function sameIds(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false
  for (const id of a) if (!b.has(id)) return false
  return true
}
