import { type TwinlogError, toTwinlogError } from '../../errors.js'
import { unrefTimer } from '../../kafka/deadline-timer.js'
import { kafkaError } from '../../kafka/protocol-errors.js'
import { heartbeatRequest } from '../../kafka/requests/heartbeat.js'
import { type JoinGroupResponse, joinGroupRequest } from '../../kafka/requests/join-group.js'
import { leaveGroupRequest } from '../../kafka/requests/leave-group.js'
import { syncGroupRequest } from '../../kafka/requests/sync-group.js'
import type { Logger } from '../../logger.js'
import type { CoordinatorWire } from './coordinator-wire.js'
import { foreignGroup, INCONSISTENT_GROUP_PROTOCOL } from './group-check.js'
import { type Answer, advance, type Membership, type Next, REQUEST_OF, rejoin, UNJOINED } from './membership.js'
import { PROTOCOL_NAME, PROTOCOL_TYPE } from './share-protocol.js'

export interface GroupMemberOptions {
  group: string
  wire: CoordinatorWire
  logger: Logger
  /** What this member says of itself; asked once for each join, however often that has to be sent. */
  subscribe(): Buffer
  /** Whether the member has something else to say than the last time. */
  changed(): boolean
  /** Asked of the leader. */
  assign(members: { memberId: string; metadata: Buffer }[]): { memberId: string; assignment: Buffer }[]
  /** The coordinator took this process for a member, or for one that may become one. */
  onAdmitted(): void
  onAssignment(assignment: Buffer, membership: Membership): void
  /** Not retriable: the coordinator refuses; it is asked again from time to time all the same. */
  onProblem(error: TwinlogError): void
}

const HEARTBEAT_INTERVAL_MS = 1_500
const REBALANCE_TIMEOUT_MS = 15_000
/** On top of what a broker may rightly take for an answer. */
const SLACK_MS = 5_000
const LEAVE_TIMEOUT_MS = 3_000
/** A member that finds new lanes one by one must not make all the others rejoin for each. */
const LEAST_REJOIN_INTERVAL_MS = 1_000
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 2_000
const REFUSED_PAUSE_MS = 5_000

/** Failures that another try will hardly change: said at once. INTERNAL is what a callback has thrown. */
const REFUSALS: ReadonlySet<string> = new Set([
  'TWINLOG_UNAUTHORIZED',
  'TWINLOG_UNSUPPORTED_BROKER',
  'TWINLOG_INTERNAL'
])

/** Keeps this process a member of a group; what to send and what an answer means is in `membership.ts`. */
export class GroupMember {
  readonly #options: GroupMemberOptions
  #membership: Membership = UNJOINED
  #subscription: Buffer | undefined
  #joined: JoinGroupResponse | undefined
  #running: Promise<void> | undefined
  #stopping = false
  #failures = 0
  #heardAt = 0
  #joinedAt = Number.NEGATIVE_INFINITY
  #heartbeatDueAt = 0
  /** What has been reported since the last heartbeat, so that it is said once. */
  #reported = ''
  #wake: () => void = () => undefined

  constructor(options: GroupMemberOptions) {
    this.#options = options
  }

  get membership(): Membership {
    return this.#membership
  }

  start(): void {
    this.#heardAt = performance.now()
    this.#running ??= this.#run()
  }

  /** Looks at `changed()` soon. */
  nudge(): void {
    this.#wake()
  }

  /** Asks the coordinator now whether this process is a member of the present generation. */
  async confirm(): Promise<boolean> {
    const { phase, memberId, generation } = this.#membership
    if (phase !== 'stable' || this.#stopping) return false
    const answer = await this.#heartbeat().catch(() => undefined)
    const now = this.#membership
    const same = now.phase === 'stable' && now.memberId === memberId && now.generation === generation
    if (answer?.errorCode === 0 && same) return true
    // The loop asks again and draws the conclusions.
    this.#heartbeatDueAt = 0
    this.#wake()
    return false
  }

  /** Leaves the group, so that the others need not wait for the end of the session. */
  async stop(): Promise<void> {
    const { group, wire, logger } = this.#options
    this.#stopping = true
    this.#wake()
    wire.close()
    await this.#running
    const { memberId } = this.#membership
    if (memberId === '') return
    this.#membership = UNJOINED
    const request = leaveGroupRequest({ groupId: group, memberId, reason: 'the mirror was stopped' })
    try {
      const { errorCode } = await wire.ask(request, LEAVE_TIMEOUT_MS)
      if (errorCode !== 0) logger.debug({ group, errorCode }, 'could not leave the group')
    } catch (error) {
      logger.debug({ group, error }, 'could not leave the group')
    }
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      try {
        if (this.#membership.phase === 'stable' && !(await this.#rested())) continue
        const next = await this.#step()
        if (next === 'find') this.#options.wire.reset()
        if (next !== 'go') await this.#pause(next)
      } catch (error) {
        if (this.#stopping) return
        this.#unreachable(error)
        this.#options.wire.reset()
        await this.#pause('pause')
      }
    }
  }

  /** Waits between heartbeats. True: a heartbeat is due; false: look again. */
  async #rested(): Promise<boolean> {
    const now = performance.now()
    if (now >= this.#heartbeatDueAt) return true
    const rejoinAt = this.#options.changed() ? this.#joinedAt + LEAST_REJOIN_INTERVAL_MS : Number.POSITIVE_INFINITY
    if (now >= rejoinAt) {
      this.#membership = rejoin(this.#membership)
      return false
    }
    await this.#sleep(Math.min(this.#heartbeatDueAt, rejoinAt) - now)
    return false
  }

  async #step(): Promise<Next> {
    const before = this.#membership
    const request = REQUEST_OF[before.phase]
    if (request === 'join') return this.#take(await this.#join())
    if (request === 'heartbeat') return this.#take(await this.#heartbeat())
    const answer = await this.#sync()
    const next = this.#take(answer)
    if (answer.errorCode === 0 && !this.#stopping) this.#options.onAssignment(answer.assignment, this.#membership)
    return next
  }

  #take(answer: Answer): Next {
    const before = this.#membership
    const { membership, next } = advance(before, answer)
    this.#membership = membership
    if (membership.phase !== before.phase) {
      const { phase, generation, leader } = membership
      const { group, logger } = this.#options
      logger.debug({ group, phase, generation, leader, errorCode: answer.errorCode }, 'membership')
    }
    if (answer.errorCode === 0) this.#heardAt = performance.now()
    if (membership.phase === 'stable' && answer.errorCode === 0) {
      this.#heartbeatDueAt = this.#heardAt + HEARTBEAT_INTERVAL_MS
      this.#failures = 0
      this.#reported = ''
    }
    if (next === 'refused') this.#report(`refused ${answer.errorCode}`, this.#refusal(answer.errorCode))
    return next
  }

  async #join(): Promise<Answer> {
    const { group, wire } = this.#options
    const { memberId, sessionTimeoutMs } = this.#membership
    // A repeated JoinGroup that says the same gets the present generation; one that says something else begins another.
    this.#subscription ??= this.#options.subscribe()
    const request = joinGroupRequest({
      groupId: group,
      sessionTimeoutMs,
      rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS,
      memberId,
      protocolType: PROTOCOL_TYPE,
      protocols: [{ name: PROTOCOL_NAME, metadata: this.#subscription }],
      reason: memberId === '' ? 'a mirror starts or was taken for dead' : 'lanes or members have changed'
    })
    const answer = await wire.send(request, REBALANCE_TIMEOUT_MS + sessionTimeoutMs + SLACK_MS)
    if (answer.errorCode === 0) {
      this.#joined = answer
      this.#joinedAt = performance.now()
      this.#subscription = undefined
    }
    if (answer.memberId !== '' && !this.#stopping) this.#options.onAdmitted()
    return answer
  }

  #sync(): Promise<Answer & { assignment: Buffer }> {
    const { group, wire } = this.#options
    const { memberId, generation, leader } = this.#membership
    const request = syncGroupRequest({
      groupId: group,
      generationId: generation,
      memberId,
      protocolType: PROTOCOL_TYPE,
      protocolName: this.#joined?.protocolName ?? PROTOCOL_NAME,
      assignments: leader && this.#joined !== undefined ? this.#options.assign(this.#joined.members) : []
    })
    return wire.send(request, REBALANCE_TIMEOUT_MS + SLACK_MS)
  }

  #heartbeat(): Promise<Answer> {
    const { memberId, generation, sessionTimeoutMs } = this.#membership
    const request = heartbeatRequest({ groupId: this.#options.group, generationId: generation, memberId })
    // Time for a second try within the session.
    return this.#options.wire.send(request, sessionTimeoutMs / 2)
  }

  #refusal(errorCode: number): TwinlogError {
    const { group, wire } = this.#options
    if (errorCode === INCONSISTENT_GROUP_PROTOCOL) {
      return foreignGroup(wire.alias, group, 'members of another protocol are in it')
    }
    const message = `${wire.alias}: can't be a member of group "${group}"`
    return kafkaError(errorCode, message, { cluster: wire.alias })
  }

  #unreachable(cause: unknown): void {
    const { group, wire } = this.#options
    const error = toTwinlogError(cause, 'TWINLOG_INTERNAL', `${wire.alias}: membership of group "${group}"`)
    const silentMs = performance.now() - this.#heardAt
    // A single lost connection is nothing; when the session is over, the other members take the lanes.
    const lasting = this.#failures >= 2 && silentMs > this.#membership.sessionTimeoutMs
    if (REFUSALS.has(error.code) || lasting) this.#report(error.code, error)
    else this.#options.logger.debug({ group, error }, 'lost the coordinator')
  }

  #report(what: string, error: TwinlogError): void {
    if (this.#reported === what || this.#stopping) return
    this.#reported = what
    this.#options.onProblem(error)
  }

  #pause(next: Next): Promise<void> {
    const growing = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures++, 10))
    return this.#sleep(next === 'refused' ? REFUSED_PAUSE_MS : growing * (0.5 + Math.random() / 2))
  }

  async #sleep(waitMs: number): Promise<void> {
    if (this.#stopping) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      this.#wake = resolve
      timer = unrefTimer(resolve, waitMs)
    })
    clearTimeout(timer)
    this.#wake = () => undefined
  }
}
