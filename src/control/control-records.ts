import { TwinlogError } from '../errors.js'
import type { ProducerLedgerPart } from './ledger-part.js'

export const CONTROL_TOPIC = 'twinlog.control.internal'
const CONTROL_VERSION = 1

export type MoveKind = 'switchover' | 'failover' | 'failback'

/** The next offset that a group has to handle, on the cluster that is being left. */
export interface GroupPosition {
  groupId: string
  topic: string
  partition: number
  offset: bigint
}

/** How far a lane got when it was closed. */
export interface LaneEnd {
  topic: string
  partition: number
  targetTopic: string
  targetPartition: number
  /** Offset on the target where data of the lane ends. */
  targetEnd: bigint
  /** Source position up to which everything is on the target or known to be a gap. */
  reached: bigint
}

interface Common {
  service: string
  epoch: number
  /** Who wrote it. */
  instance: string
  /** Wall-clock time of the writer, ISO 8601: for people, never ordered by; a record that was written twice is known by it. */
  at: string
}

/** Opens a move. The first one with its epoch on the target's control topic wins. */
export interface MoveRecord extends Common {
  type: 'move'
  kind: MoveKind
  from: string
  to: string
  /** Instances whose answers are waited for. */
  instances: string[]
  topics: string[]
  groups: string[]
}

/** `stopped` (switchover: left in peace) or `drained` (failover: torn away), in `parts` records when it is long. */
export interface AnswerRecord extends Common {
  type: 'stopped' | 'drained'
  part: number
  parts: number
  topics: string[]
  groups: string[]
  positions: GroupPosition[]
  ledger: ProducerLedgerPart
}

/** The lanes are closed: what the mirrors brought until then is all that there will be. */
export interface FencedRecord extends Common {
  type: 'fenced'
  lanes: LaneEnd[]
}

/** Decides a move: everybody works on `to` from now on. The first of join and abort of an epoch counts. */
export interface JoinRecord extends Common {
  type: 'join'
  kind: MoveKind
  from: string
  to: string
}

/** Tells the other clusters of a join, for instances that can't reach the cluster where it was decided. */
export interface MovedRecord extends Common {
  type: 'moved'
  kind: MoveKind
  from: string
  to: string
}

/** Decides a move: everybody stays where they were. */
export interface AbortRecord extends Common {
  type: 'abort'
  reason: string
}

export type ControlRecord = MoveRecord | AnswerRecord | FencedRecord | JoinRecord | MovedRecord | AbortRecord

/** Offsets are decimal strings on the wire: JSON numbers lose precision behind 2^53. */
export function encodeControlRecord(record: ControlRecord): { key: Buffer; value: Buffer } {
  const json = JSON.stringify({ v: CONTROL_VERSION, ...record }, (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value
  )
  return { key: Buffer.from(record.service), value: Buffer.from(json) }
}

/**
 * The record, or `undefined` when it belongs to another service: the key is compared first, so that a service whose twinlog is
 * newer can't stop the others on the cluster.
 */
export function decodeControlRecord(
  entry: { key: Buffer | null; value: Buffer | null; offset: bigint },
  service: string
): ControlRecord | undefined {
  if (entry.key?.toString() !== service) return undefined
  const invalid = (problem: string, cause?: unknown) =>
    new TwinlogError(
      'TWINLOG_STATE_INVALID',
      `${CONTROL_TOPIC} at offset ${entry.offset}, service ${service}: ${problem}`,
      { topic: CONTROL_TOPIC, partition: 0, offset: entry.offset, ...(cause === undefined ? {} : { cause }) }
    )
  let body: unknown
  try {
    body = JSON.parse(entry.value?.toString() ?? '')
  } catch (cause) {
    throw invalid('not JSON, so twinlog did not write it; find out who did and remove the record', cause)
  }
  if (!isObject(body)) throw invalid('not an object, so twinlog did not write it')
  if (body.v !== CONTROL_VERSION) {
    throw invalid(
      `format version ${String(body.v)}, this twinlog reads version ${CONTROL_VERSION}; upgrade every instance of the service to the newest twinlog`
    )
  }
  try {
    return parse(body, service)
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause)
  }
}

type Body = Record<string, unknown>

function parse(body: Body, service: string): ControlRecord {
  const common: Common = {
    service,
    epoch: integer(body, 'epoch'),
    instance: text(body, 'instance'),
    at: text(body, 'at')
  }
  if (body.service !== service) throw new Error(`key and field service differ (${String(body.service)})`)
  switch (body.type) {
    case 'move':
      return {
        ...common,
        type: body.type,
        ...route(body),
        instances: texts(body, 'instances'),
        topics: texts(body, 'topics'),
        groups: texts(body, 'groups')
      }
    case 'stopped':
    case 'drained':
      return {
        ...common,
        type: body.type,
        part: integer(body, 'part'),
        parts: integer(body, 'parts'),
        topics: texts(body, 'topics'),
        groups: texts(body, 'groups'),
        positions: list(body, 'positions').map(p => ({
          groupId: text(p, 'groupId'),
          ...partition(p),
          offset: offset(p, 'offset')
        })),
        ledger: ledger(object(body, 'ledger'))
      }
    case 'fenced':
      return { ...common, type: body.type, lanes: list(body, 'lanes').map(laneEnd) }
    case 'join':
    case 'moved':
      return { ...common, type: body.type, ...route(body) }
    case 'abort':
      return { ...common, type: body.type, reason: text(body, 'reason') }
    default:
      throw new Error(
        `unknown record type ${String(body.type)}; upgrade every instance of the service to the newest twinlog`
      )
  }
}

function route(body: Body): { kind: MoveKind; from: string; to: string } {
  const kind = text(body, 'kind')
  if (kind !== 'switchover' && kind !== 'failover' && kind !== 'failback')
    throw new Error(`unknown kind of move ${kind}`)
  return { kind, from: text(body, 'from'), to: text(body, 'to') }
}

function laneEnd(body: Body): LaneEnd {
  return {
    ...partition(body),
    targetTopic: text(body, 'targetTopic'),
    targetPartition: integer(body, 'targetPartition'),
    targetEnd: offset(body, 'targetEnd'),
    reached: offset(body, 'reached')
  }
}

function ledger(body: Body): ProducerLedgerPart {
  return {
    acknowledged: list(body, 'acknowledged').map(r => ({
      ...partition(r),
      from: offset(r, 'from'),
      to: offset(r, 'to')
    })),
    inDoubt: list(body, 'inDoubt').map(d => ({
      topic: text(d, 'topic'),
      ...(d.partition === undefined ? {} : { partition: integer(d, 'partition') }),
      count: integer(d, 'count'),
      keys: texts(d, 'keys')
    }))
  }
}

const partition = (body: Body) => ({ topic: text(body, 'topic'), partition: integer(body, 'partition') })

function isObject(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function object(body: Body, field: string): Body {
  const value = body[field]
  if (!isObject(value)) throw new Error(`field ${field} is not an object`)
  return value
}

function list(body: Body, field: string): Body[] {
  const value = body[field]
  if (!Array.isArray(value) || !value.every(isObject)) throw new Error(`field ${field} is not a list of objects`)
  return value
}

function text(body: Body, field: string): string {
  const value = body[field]
  if (typeof value !== 'string') throw new Error(`field ${field} is not a string`)
  return value
}

function texts(body: Body, field: string): string[] {
  const value = body[field]
  if (!Array.isArray(value) || !value.every(item => typeof item === 'string'))
    throw new Error(`field ${field} is not a list of strings`)
  return value
}

function integer(body: Body, field: string): number {
  const value = body[field]
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new Error(`field ${field} is not a whole number`)
  return value as number
}

function offset(body: Body, field: string): bigint {
  const value = body[field]
  if (typeof value !== 'string' || !/^-?\d+$/.test(value)) throw new Error(`field ${field} is not an offset`)
  return BigInt(value)
}
