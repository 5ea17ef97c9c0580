import { TwinlogError } from '../errors.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import type { FetchedPartition } from '../kafka/requests/fetch.js'
import type { ProducedPartition } from '../kafka/requests/produce.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import type { LaneTopic } from './lane-types.js'

export type FetchVerdict = { action: 'refresh' } | { action: 'ask-bounds' } | { action: 'fail'; error: TwinlogError }
/** `refused`: for what the batch holds, so it is looked at record by record. */
export type ProduceVerdict = { action: 'recover' | 'refused' | 'fail'; error: TwinlogError }

const OFFSET_OUT_OF_RANGE = 1
const CORRUPT_MESSAGE = 2
const MESSAGE_TOO_LARGE = 10
const RECORD_LIST_TOO_LARGE = 18
const INVALID_TIMESTAMP = 32
/** What a lane gets that lost a race to another owner. */
export const OUT_OF_ORDER_SEQUENCE = 45
const DUPLICATE_SEQUENCE = 46
const INVALID_PRODUCER_EPOCH = 47
const INVALID_RECORD = 87
const PRODUCER_FENCED = 90

/** A topic that the broker does not know may just not have reached it yet: metadata decides whether it is gone or re-created. */
const ASK_METADATA = new Set([3, 100, 103])

export function judgeFetchError(result: FetchedPartition, position: bigint, source: LaneTopic): FetchVerdict {
  const where = { topic: source.topic, partition: source.partition, offset: position, kafkaCode: result.errorCode }
  // The answer does not say on which side of the log the position lies.
  if (result.errorCode === OFFSET_OUT_OF_RANGE) return { action: 'ask-bounds' }
  if (ASK_METADATA.has(result.errorCode)) return { action: 'refresh' }
  const error = kafkaError(
    result.errorCode,
    `cannot fetch from source partition ${source.topic}-${source.partition}`,
    where
  )
  return error.retriable ? { action: 'refresh' } : { action: 'fail', error }
}

/** What it means that the lane's position is outside of the source's log; undefined: it is inside again, so fetch on. */
export function judgeOutOfRange(
  position: bigint,
  bounds: { start: bigint; end: bigint },
  source: LaneTopic
): TwinlogError | undefined {
  const where = { topic: source.topic, partition: source.partition, offset: position }
  const partition = `source partition ${source.topic}-${source.partition}`
  if (position < bounds.start) {
    return new TwinlogError(
      'TWINLOG_GAP',
      `${partition} no longer has offset ${position} (it begins at ${bounds.start}): records were deleted before they were copied. The lane stops rather than skip them`,
      where
    )
  }
  if (position <= bounds.end) return undefined
  return new TwinlogError(
    'TWINLOG_TRUNCATED',
    `${partition} ends at ${bounds.end}, before offset ${position} up to which it was copied: the source lost records. The lane stops rather than mix two histories`,
    where
  )
}

export function unknownEpoch(source: LaneTopic, position: bigint, leaderEpoch: number): TwinlogError {
  return new TwinlogError(
    'TWINLOG_TRUNCATED',
    `source partition ${source.topic}-${source.partition} does not know leader epoch ${leaderEpoch}, under which it was copied up to offset ${position}: ` +
      'the source lost records and was written to again. The lane stops rather than mix two histories',
    { topic: source.topic, partition: source.partition, offset: position }
  )
}

export function judgeProduceError(result: ProducedPartition, target: LaneTopic): ProduceVerdict {
  const where = { topic: target.topic, partition: target.partition, kafkaCode: result.errorCode }
  const partition = `target partition ${target.topic}-${target.partition}`
  const detail = result.errorMessage ? ` (${result.errorMessage})` : ''
  switch (result.errorCode) {
    case OUT_OF_ORDER_SEQUENCE:
    case DUPLICATE_SEQUENCE:
      return {
        action: 'recover',
        error: new TwinlogError(
          'TWINLOG_POSITION_UNKNOWN',
          `${partition} does not continue where this lane does (error ${result.errorCode})`,
          {
            ...where,
            retriable: true
          }
        )
      }
    case INVALID_PRODUCER_EPOCH:
    case PRODUCER_FENCED:
      return {
        action: 'recover',
        error: new TwinlogError('TWINLOG_FENCED', `${partition} was taken over under a later epoch`, {
          ...where,
          retriable: true
        })
      }
    case MESSAGE_TOO_LARGE:
    case RECORD_LIST_TOO_LARGE:
      return {
        action: 'refused',
        error: new TwinlogError(
          'TWINLOG_RECORD_TOO_LARGE',
          `${partition} refuses a batch as too large${detail}: raise max.message.bytes of the target topic`,
          where
        )
      }
    case CORRUPT_MESSAGE:
      return {
        action: 'refused',
        error: new TwinlogError(
          'TWINLOG_CORRUPT_BATCH',
          `${partition} refuses a batch as damaged${detail}: its checksum was wrong on the source already`,
          where
        )
      }
    case INVALID_TIMESTAMP:
    case INVALID_RECORD:
      return {
        action: 'refused',
        error: new TwinlogError(
          'TWINLOG_RECORD_REJECTED',
          `${partition} refuses a record (error ${result.errorCode})${detail}`,
          where
        )
      }
    default: {
      const error = kafkaError(result.errorCode, `cannot append to ${partition}${detail}`, where)
      return { action: error.retriable || ASK_METADATA.has(result.errorCode) ? 'recover' : 'fail', error }
    }
  }
}

export function sourceDiverged(
  source: LaneTopic,
  diverging: { epoch: number; endOffset: bigint },
  position: bigint
): TwinlogError {
  return new TwinlogError(
    'TWINLOG_TRUNCATED',
    `source partition ${source.topic}-${source.partition} was truncated: epoch ${diverging.epoch} ends at ` +
      `${diverging.endOffset}, the lane had read up to ${position}`,
    { topic: source.topic, partition: source.partition, offset: diverging.endOffset }
  )
}

export function targetTruncated(target: LaneTopic, baseOffset: bigint, targetEnd: bigint): TwinlogError {
  return new TwinlogError(
    'TWINLOG_TRUNCATED',
    `target partition ${target.topic}-${target.partition} appended at ${baseOffset}, but the lane had already written up to ` +
      `${targetEnd}: the target was truncated or re-created`,
    { topic: target.topic, partition: target.partition, offset: baseOffset }
  )
}

export function lostRecords(target: LaneTopic, next: bigint, acknowledgedNext: bigint): TwinlogError {
  return new TwinlogError(
    'TWINLOG_TRUNCATED',
    `target partition ${target.topic}-${target.partition} goes on at ordinal ${next}, but it had acknowledged everything before ` +
      `${acknowledgedNext}: the target lost records`,
    { topic: target.topic, partition: target.partition }
  )
}

export function sequenceRefused(
  target: LaneTopic,
  times: number,
  at: { next: bigint; targetEnd: bigint; epoch: LaneEpoch | undefined }
): TwinlogError {
  return new TwinlogError(
    'TWINLOG_POSITION_UNKNOWN',
    `the target refuses the lane's next sequence (error 45) ${times} times although nothing changed: next ordinal ` +
      `${at.next}, target end ${at.targetEnd}, producer ${at.epoch?.producerId} epoch ${at.epoch?.epoch}`,
    { topic: target.topic, partition: target.partition, kafkaCode: OUT_OF_ORDER_SEQUENCE }
  )
}

export function producerMaybeForgotten(): TwinlogError {
  return new TwinlogError('TWINLOG_POSITION_UNKNOWN', 'the target may have forgotten this producer by now', {
    retriable: true
  })
}

export function gapsNotWritten(error: unknown): TwinlogError {
  const cause =
    error instanceof TwinlogError
      ? error
      : new TwinlogError('TWINLOG_INTERNAL', 'writing gaps ahead failed', { cause: error })
  return new TwinlogError(cause.code, `cannot write gaps ahead: ${cause.message}`, { cause, retriable: true })
}

export function closedBy(source: LaneTopic, gate: { service: string; moveEpoch: number }): TwinlogError {
  return new TwinlogError(
    'TWINLOG_FENCED',
    `move ${gate.moveEpoch} of service ${gate.service} has closed lane ${source.topic}-${source.partition}: the service writes to the target now`,
    { topic: source.topic, partition: source.partition }
  )
}

export function planChanged(source: LaneTopic): TwinlogError {
  return new TwinlogError(
    'TWINLOG_POSITION_UNKNOWN',
    `what decides how ${source.topic}-${source.partition} is copied has changed: the lane begins anew under the new plan`,
    { topic: source.topic, partition: source.partition, retriable: true }
  )
}
