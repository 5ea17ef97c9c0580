import { createHash } from 'node:crypto'
import { TwinlogError } from '../errors.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import type { LaneGuard } from './lane-status.js'
import type { LaneTopic } from './lane-types.js'
import type { Isolation, RecordErrorPolicy } from './options.js'

/** What this process plans a lane by. */
export interface LanePlan {
  /** Owners with different digests must not write at the same time. */
  digest: string
  /** Why the plan is not a pure function of the source log, so that one owner at a time may write; undefined: anybody may. */
  exclusive: string | undefined
}

export interface PlanFacts {
  isolation: Isolation
  forward: 'local' | 'all-but-target'
  transformed: boolean
  compacted: boolean
  /** Several source partitions write to the target partition. */
  routed: boolean
  onRecordError: RecordErrorPolicy
  onGap: 'continue' | 'stop-partition'
  /** What the records say depends on the map of schema ids. */
  rewritesSchemaIds?: boolean | undefined
  /** A record whose schema does not come in time is left out. */
  dropsWithoutSchema?: boolean | undefined
}

/** Everything besides the source log that decides which offset gets which ordinal. */
export function lanePlan(facts: PlanFacts): LanePlan {
  const { isolation, forward } = facts
  const why = whyExclusive(facts)
  // Links of before `forward` have the digest without it.
  const plain = { isolation, transform: null, ...(forward === 'local' ? {} : { forward }) }
  return { digest: digestOf(why === undefined ? plain : { ...plain, exclusive: why }), exclusive: why }
}

function whyExclusive(facts: PlanFacts): string | undefined {
  const why = [
    whyRecordsDiffer(facts),
    facts.rewritesSchemaIds === true ? 'schema ids are rewritten' : undefined,
    facts.dropsWithoutSchema === true ? 'records may be left out for want of a schema (schemas.onTimeout)' : undefined
  ].filter(reason => reason !== undefined)
  return why.length === 0 ? undefined : why.join('; ')
}

function whyRecordsDiffer(facts: PlanFacts): string | undefined {
  if (facts.routed) return 'a transform routes records of several source partitions to this target partition'
  if (facts.transformed) return 'a transform decides which records are copied'
  if (facts.compacted) return 'the source topic is compacted'
  if (facts.onRecordError !== 'stop-partition') return 'records may be left out (onRecordError)'
  if (facts.onGap !== 'stop-partition') return 'lost records may be left out (onGap)'
  return undefined
}

function digestOf(plan: object): string {
  return createHash('sha256').update(JSON.stringify(plan)).digest('base64url').slice(0, 22)
}

/** What the state topic says about who may write to a lane. */
export interface StandingFacts {
  /** Identity that writes now; undefined before the first one of a lane that was born behind a fence. */
  currentEpoch: LaneEpoch | undefined
  currentPlan: string
}

export type Standing =
  /** Anybody with this plan may write under the current identity. */
  | { kind: 'shared' }
  /** This process alone writes under the current identity. */
  | { kind: 'mine' }
  /** A fence comes first. */
  | { kind: 'take-over'; why: string }

/** May this process write to the lane as things are, or has it to fence the others off first? */
export function standingOf(
  state: StandingFacts,
  plan: LanePlan,
  me: {
    process: string
    /** Producer id of the link. */
    linkProducerId: bigint
    /** The lane has, or needs, a producer id of its own. */
    ownId: boolean
    /** What this process planned under its identity is not certain any more. */
    broken: boolean
  }
): Standing {
  const { currentEpoch: epoch } = state
  if (!epoch) return { kind: 'take-over', why: 'the lane was born behind a fence' }
  if (me.ownId && epoch.own !== true) return { kind: 'take-over', why: 'old records need transactions' }
  if (epoch.own !== true && epoch.producerId !== me.linkProducerId)
    return { kind: 'take-over', why: "the link's producer id has changed" }
  const alone = epoch.own === true || plan.exclusive !== undefined
  if (!alone && state.currentPlan === plan.digest && epoch.owner === undefined) return { kind: 'shared' }
  if (epoch.owner !== me.process)
    return { kind: 'take-over', why: plan.exclusive ?? 'another plan was followed before' }
  if (me.broken) return { kind: 'take-over', why: 'what was planned before is not certain any more' }
  return { kind: 'mine' }
}

/** For people: how a lane is protected, and why not by the sequence check alone. */
export function guardOf(
  plan: LanePlan,
  epoch: LaneEpoch | undefined,
  writesTransactions: boolean
): { guard: LaneGuard; why?: string } {
  if (writesTransactions)
    return {
      guard: 'transactional',
      why: "records are older than the target remembers a producer (producer.id.expiration.ms), so they are written in transactions of the lane's own"
    }
  if (plan.exclusive !== undefined) return { guard: 'fenced', why: plan.exclusive }
  if (epoch?.own === true) return { guard: 'fenced', why: 'old records gave the lane a producer id of its own' }
  return { guard: 'stable' }
}

const LEAST_MARGIN_MS = 600_000

/**
 * The broker forgets a producer by the time stamp of its last batch, not by the clock. A batch older than that leaves no state behind,
 * and then anything is accepted. Such batches go in transactions; two bounds keep a lane from changing back and forth.
 */
export class AgeGuard {
  /** The target's producer.id.expiration.ms. */
  expirationMs: number
  #old = false

  constructor(expirationMs: number) {
    this.expirationMs = expirationMs
  }

  needsTransaction(maxTimestampMs: number, now: number): boolean {
    const { expirationMs } = this
    const margin = Math.min(Math.max(expirationMs * 0.1, LEAST_MARGIN_MS), expirationMs * 0.5)
    const bound = expirationMs - (this.#old ? Math.min(margin * 1.5, expirationMs * 0.75) : margin)
    this.#old = now - maxTimestampMs > bound
    return this.#old
  }
}

/** A topic of the same name under another id is another log. */
export function assertSameTopic(lane: LaneTopic, topicId: string | undefined, cluster: string): void {
  if (topicId === lane.topicId) return
  if (topicId === undefined || topicId === '' || topicId === 'AAAAAAAAAAAAAAAAAAAAAA') {
    throw new TwinlogError('TWINLOG_UNKNOWN_TOPIC', `topic ${lane.topic} is not on cluster ${cluster} (any more)`, {
      cluster,
      topic: lane.topic,
      partition: lane.partition,
      retriable: true
    })
  }
  throw new TwinlogError(
    'TWINLOG_TOPIC_RECREATED',
    `topic ${lane.topic} on ${cluster} was deleted and created again (id ${topicId}, the lane copies ${lane.topicId}): it is another log now`,
    { cluster, topic: lane.topic, partition: lane.partition }
  )
}
