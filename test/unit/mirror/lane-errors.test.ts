import { describe, expect, it } from 'vitest'
import type { FetchedPartition } from '../../../src/kafka/requests/fetch.js'
import type { ProducedPartition } from '../../../src/kafka/requests/produce.js'
import { judgeFetchError, judgeOutOfRange, judgeProduceError, unknownEpoch } from '../../../src/mirror/lane-errors.js'

const topic = { topic: 'orders', topicId: 'id', partition: 3 }
const fetched = (errorCode: number, logStartOffset = -1n) => ({ errorCode, logStartOffset }) as FetchedPartition
const produced = (errorCode: number) => ({ errorCode, errorMessage: 'why' }) as ProducedPartition

describe('an error of the target', () => {
  it.each([
    [45, 'recover', 'TWINLOG_POSITION_UNKNOWN'],
    [46, 'recover', 'TWINLOG_POSITION_UNKNOWN'],
    [47, 'recover', 'TWINLOG_FENCED'],
    [90, 'recover', 'TWINLOG_FENCED'],
    [10, 'refused', 'TWINLOG_RECORD_TOO_LARGE'],
    [18, 'refused', 'TWINLOG_RECORD_TOO_LARGE'],
    [2, 'refused', 'TWINLOG_CORRUPT_BATCH'],
    [32, 'refused', 'TWINLOG_RECORD_REJECTED'],
    [87, 'refused', 'TWINLOG_RECORD_REJECTED'],
    [29, 'fail', 'TWINLOG_UNAUTHORIZED']
  ])('%i: %s with %s', (code, action, expected) => {
    expect(judgeProduceError(produced(code), topic)).toMatchObject({
      action,
      error: { code: expected, topic: 'orders', partition: 3, kafkaCode: code }
    })
  })

  it.each([3, 5, 6, 7, 19, 20, 100])('%i passes: the lane asks the target and goes on', code => {
    expect(judgeProduceError(produced(code), topic).action).toBe('recover')
  })
})

describe('an error of the source', () => {
  it('1: out of range does not say on which side, so the bounds are asked for', () => {
    expect(judgeFetchError(fetched(1, 50n), 40n, topic)).toEqual({ action: 'ask-bounds' })
    expect(judgeFetchError(fetched(1, 0n), 40n, topic)).toEqual({ action: 'ask-bounds' })
  })

  it('stops at a gap and at a lost end rather than skip; inside of the log it goes on', () => {
    expect(judgeOutOfRange(40n, { start: 50n, end: 60n }, topic)).toMatchObject({ code: 'TWINLOG_GAP', offset: 40n })
    expect(judgeOutOfRange(40n, { start: 0n, end: 39n }, topic)).toMatchObject({
      code: 'TWINLOG_TRUNCATED',
      offset: 40n,
      partition: 3
    })
    for (const bounds of [
      { start: 0n, end: 40n },
      { start: 40n, end: 40n },
      { start: 40n, end: 90n }
    ])
      expect(judgeOutOfRange(40n, bounds, topic)).toBeUndefined()
  })

  it('stops when the source does not know the epoch it was copied under', () => {
    expect(unknownEpoch(topic, 40n, 7)).toMatchObject({ code: 'TWINLOG_TRUNCATED', offset: 40n, retriable: false })
  })

  it.each([3, 5, 6, 74, 75, 100, 103])('%i: the leader is looked up again', code => {
    expect(judgeFetchError(fetched(code), 40n, topic).action).toBe('refresh')
  })

  it('29: no right to read is final', () => {
    expect(judgeFetchError(fetched(29), 40n, topic)).toMatchObject({
      action: 'fail',
      error: { code: 'TWINLOG_UNAUTHORIZED' }
    })
  })
})
