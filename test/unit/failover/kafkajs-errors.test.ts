import {
  KafkaJSConnectionError,
  KafkaJSNonRetriableError,
  KafkaJSNumberOfRetriesExceeded,
  KafkaJSProtocolError,
  KafkaJSRequestTimeoutError
} from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import { fromKafkaJs, isRefusal } from '../../../src/failover/kafkajs-errors.js'
import { MAX_IN_DOUBT_KEYS, InDoubtRecords } from '../../../src/failover/producer-in-doubt.js'

const protocol = (type: string, code: number, retriable = false) =>
  Object.assign(new KafkaJSProtocolError(new Error(type) as never), { type, code, retriable })

describe('fromKafkaJs', () => {
  it('finds the reason under what the retrier wrapped around it', () => {
    const reason = new KafkaJSRequestTimeoutError('too late', {} as never)
    const wrapped = new KafkaJSNumberOfRetriesExceeded(reason, { cause: reason, retryCount: 5, retryTime: 1 } as never)
    const error = fromKafkaJs(wrapped, 'send to t', { cluster: 'east' })
    expect(error).toMatchObject({ code: 'TWINLOG_TIMEOUT', retriable: true, cluster: 'east', cause: wrapped })
    expect(error.message).toBe('send to t on cluster "east" failed: too late')
  })

  it.each([
    [protocol('MESSAGE_TOO_LARGE', 10), 'TWINLOG_RECORD_TOO_LARGE', false],
    [protocol('TOPIC_AUTHORIZATION_FAILED', 29), 'TWINLOG_UNAUTHORIZED', false],
    [protocol('NOT_ENOUGH_REPLICAS', 19, true), 'TWINLOG_PROTOCOL', true],
    [new KafkaJSConnectionError('refused', { code: 'ECONNREFUSED' }), 'TWINLOG_UNREACHABLE', true],
    [new KafkaJSNonRetriableError('Invalid topic'), 'TWINLOG_INVALID_STATE', false],
    [new Error('what is this'), 'TWINLOG_INTERNAL', false]
  ])('gives %s a closed code', (error, code, retriable) => {
    expect(fromKafkaJs(error, 'x')).toMatchObject({ code, retriable })
  })

  it('lets a TwinlogError through, also from below', () => {
    const mine = new TwinlogError('TWINLOG_ABORTED', 'mine')
    expect(fromKafkaJs(Object.assign(new KafkaJSNonRetriableError(mine), { cause: mine }), 'x')).toBe(mine)
  })
})

describe('isRefusal', () => {
  it('is true only when nothing can have been appended', () => {
    expect(isRefusal(protocol('MESSAGE_TOO_LARGE', 10))).toBe(true)
    expect(isRefusal(new KafkaJSConnectionError('Not connected'))).toBe(true)
    expect(isRefusal(new KafkaJSConnectionError('x', { code: 'ECONNREFUSED' }))).toBe(true)
    // A leader that appended and lost its place before the replicas had the record answers like this.
    expect(isRefusal(protocol('NOT_LEADER_FOR_PARTITION', 6, true))).toBe(false)
    expect(isRefusal(protocol('NOT_ENOUGH_REPLICAS_AFTER_APPEND', 20, true))).toBe(false)
    expect(isRefusal(new KafkaJSRequestTimeoutError('x', {} as never))).toBe(false)
    expect(isRefusal(new KafkaJSConnectionError('Closed connection'))).toBe(false)
  })
})

describe('InDoubtRecords', () => {
  it('counts beyond the limit of keys and says so', () => {
    const records = new InDoubtRecords()
    for (let i = 0; i < MAX_IN_DOUBT_KEYS + 3; i++) records.add({ topic: 't', partition: 1, key: Buffer.from(`k${i}`) })
    records.add({ topic: 't', partition: 1, key: null })
    const [entry] = records.list()
    expect(entry).toMatchObject({ topic: 't', partition: 1, count: MAX_IN_DOUBT_KEYS + 4, keysOmitted: 3 })
    expect(entry?.keys.length).toBe(MAX_IN_DOUBT_KEYS)
    expect(entry?.keys[0]).toBe('k0')
  })
})
