import { TwinlogError } from '../../errors.js'
import { KAFKA_ERRORS } from '../../kafka/protocol-errors.js'

/**
 * - `unjoined`: has no member id; next is a JoinGroup that asks for one
 * - `joining`: next is a JoinGroup under its member id
 * - `syncing`: in a generation; next is a SyncGroup that answers the lanes
 * - `stable`: has lanes; heartbeats
 */
export type MembershipPhase = 'unjoined' | 'joining' | 'syncing' | 'stable'

/** In each phase there is one request to send. */
export const REQUEST_OF = {
  unjoined: 'join',
  joining: 'join',
  syncing: 'sync',
  stable: 'heartbeat'
} as const satisfies Record<MembershipPhase, string>

export const transitions = {
  unjoined: ['joining', 'syncing'],
  joining: ['syncing', 'unjoined'],
  syncing: ['stable', 'joining', 'unjoined'],
  stable: ['joining', 'unjoined']
} as const satisfies Record<MembershipPhase, readonly MembershipPhase[]>

export interface Membership {
  readonly phase: MembershipPhase
  /** Empty while unjoined. */
  readonly memberId: string
  /** −1 before the first. */
  readonly generation: number
  readonly leader: boolean
  readonly sessionTimeoutMs: number
}

export interface Answer {
  errorCode: number
  /** Of JoinGroup. */
  memberId?: string | undefined
  generationId?: number | undefined
  leader?: string | undefined
}

/**
 * - `go`: send what the phase says · `pause`: the same after a while · `find`: the coordinator is another broker
 * - `refused`: nothing that this process can change
 */
export type Next = 'go' | 'pause' | 'find' | 'refused'

export interface Step {
  membership: Membership
  next: Next
}

/** Brokers allow 6 s and more by default, but can be told to insist on more. */
export const SESSION_TIMEOUTS_MS = [6_000, 10_000, 30_000, 60_000, 300_000] as const

export const UNJOINED: Membership = {
  phase: 'unjoined',
  memberId: '',
  generation: -1,
  leader: false,
  sessionTimeoutMs: SESSION_TIMEOUTS_MS[0]
}

type Reaction = { to?: MembershipPhase; next: Next }

const INVALID_SESSION_TIMEOUT = 26
const MEMBER_ID_REQUIRED = 79

/** Every error of the group protocol that has a meaning of its own. Any other is a pause where Kafka calls it retriable, else a refusal. */
const REACTIONS: Partial<Record<number, Reaction>> = {
  14: { next: 'pause' }, // COORDINATOR_LOAD_IN_PROGRESS
  15: { next: 'find' }, // COORDINATOR_NOT_AVAILABLE
  16: { next: 'find' }, // NOT_COORDINATOR
  22: { to: 'joining', next: 'go' }, // ILLEGAL_GENERATION: the others went on without this member, which still counts as one
  25: { to: 'unjoined', next: 'go' }, // UNKNOWN_MEMBER_ID: the session ended
  27: { to: 'joining', next: 'go' } // REBALANCE_IN_PROGRESS
}

/** What the answer to the request of the present phase leads to. */
export function advance(from: Membership, answer: Answer): Step {
  const request = REQUEST_OF[from.phase]
  if (answer.errorCode === 0) return { membership: succeed(from, answer), next: 'go' }
  if (request === 'join' && answer.errorCode === MEMBER_ID_REQUIRED) {
    return { membership: move({ ...from, memberId: answer.memberId ?? '' }, 'joining'), next: 'go' }
  }
  if (request === 'join' && answer.errorCode === INVALID_SESSION_TIMEOUT) return lengthenSession(from)
  const reaction = REACTIONS[answer.errorCode] ?? { next: isRetriable(answer.errorCode) ? 'pause' : 'refused' }
  if (reaction.to === undefined) return { membership: from, next: reaction.next }
  // The same request again because of its own answer: not without a pause.
  const repeated = REQUEST_OF[reaction.to] === request
  return { membership: move(from, reaction.to), next: repeated ? 'pause' : reaction.next }
}

/** The member has something new to say of itself. */
export function rejoin(from: Membership): Membership {
  return from.phase === 'stable' ? move(from, 'joining') : from
}

function succeed(from: Membership, answer: Answer): Membership {
  if (from.phase === 'stable') return from
  if (from.phase === 'syncing') return move(from, 'stable')
  const memberId = answer.memberId ?? from.memberId
  const leader = answer.leader === memberId
  return move({ ...from, memberId, generation: answer.generationId ?? -1, leader }, 'syncing')
}

function lengthenSession(from: Membership): Step {
  const longer = SESSION_TIMEOUTS_MS.find(timeoutMs => timeoutMs > from.sessionTimeoutMs)
  if (longer === undefined) return { membership: from, next: 'refused' }
  return { membership: { ...from, sessionTimeoutMs: longer }, next: 'go' }
}

function move(from: Membership, to: MembershipPhase): Membership {
  const memberId = to === 'unjoined' ? '' : from.memberId
  const leader = to === 'unjoined' ? false : from.leader
  if (from.phase === to) return { ...from, memberId, leader }
  if (!(transitions[from.phase] as readonly MembershipPhase[]).includes(to)) {
    throw new TwinlogError('TWINLOG_INTERNAL', `a group member can't go from ${from.phase} to ${to}`)
  }
  return { ...from, phase: to, memberId, leader }
}

function isRetriable(errorCode: number): boolean {
  return KAFKA_ERRORS.get(errorCode)?.retriable ?? false
}
