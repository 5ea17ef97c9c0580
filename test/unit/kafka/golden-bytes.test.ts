import { describe, expect, it } from 'vitest'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import { addPartitionsToTxnRequest } from '../../../src/kafka/requests/add-partitions-to-txn.js'
import { describeProducersRequest } from '../../../src/kafka/requests/describe-producers.js'
import { endTxnRequest } from '../../../src/kafka/requests/end-txn.js'
import { fetchRequest } from '../../../src/kafka/requests/fetch.js'
import { initProducerIdRequest } from '../../../src/kafka/requests/init-producer-id.js'
import { metadataRequest } from '../../../src/kafka/requests/metadata.js'
import { offsetCommitRequest } from '../../../src/kafka/requests/offset-commit.js'
import { produceRequest } from '../../../src/kafka/requests/produce.js'
import type { ApiRequest } from '../../../src/kafka/types.js'

// Each line of hex is one field of the message definitions of Kafka 4.1, worked out by hand.
const hex = (...fields: string[]) => Buffer.from(fields.join('').replaceAll(' ', ''), 'hex')
const encoded = (request: ApiRequest<unknown>, version: number) => {
  const writer = new Writer()
  request.encode(writer, version)
  return writer.toBuffer()
}
const decoded = <T>(request: ApiRequest<T>, version: number, bytes: Buffer): T => {
  const reader = new Reader(bytes)
  const value = request.decode(reader, version)
  expect(reader.remaining, 'the whole response is read').toBe(0)
  return value
}

const ID = '000102030405060708090a0b0c0d0e0f'
const topicId = Buffer.from(ID, 'hex').toString('base64url')

describe('Produce', () => {
  const topics = [{ topic: 'ab', topicId, partitions: [{ partition: 3, records: Buffer.from('cafe', 'hex') }] }]
  const request = produceRequest({ acks: -1, timeoutMs: 1500, topics })
  const partition = ['02', '00000003', '03 cafe', '00', '00', '00']

  it('encodes by name up to 12 and by id from 13', () => {
    expect(encoded(request, 9)).toEqual(hex('00', 'ffff', '000005dc', '02', '03 6162', ...partition))
    expect(encoded(request, 13)).toEqual(hex('00', 'ffff', '000005dc', '02', ID, ...partition))
  })

  it('chooses the versions: by id only with ids, transactional at 11 at most', () => {
    expect(request.maxVersion).toBe(13)
    expect(produceRequest({ acks: -1, timeoutMs: 1, topics, byTopicId: false }).maxVersion).toBe(12)
    expect(
      produceRequest({ acks: -1, timeoutMs: 1, topics: [{ topic: 'ab', topicId: '', partitions: [] }] }).maxVersion
    ).toBe(12)
    expect(produceRequest({ acks: -1, timeoutMs: 1, topics, transactionalId: 't' }).maxVersion).toBe(11)
  })

  it('decodes errors of single records and the leader that the broker names', () => {
    const answer = hex(
      '02',
      ID,
      '02',
      '00000003',
      '0057',
      'ffffffffffffffff',
      'ffffffffffffffff',
      '0000000000000007',
      '02',
      '00000000',
      '04 6e6f6b',
      '00', // record_errors: [0, "nok", tags]
      '04 626164', // error_message "bad"
      '01',
      '00',
      '09',
      '00000002',
      '00000005',
      '00', // tag 0, 9 bytes: leader 2, epoch 5, tags
      '00',
      '00000064',
      '00'
    )
    expect(decoded(request, 13, answer)).toEqual({
      throttleMs: 100,
      partitions: [
        {
          topic: 'ab',
          topicId,
          partition: 3,
          errorCode: 87,
          baseOffset: -1n,
          logAppendTimeMs: -1n,
          logStartOffset: 7n,
          errorMessage: 'bad; nok',
          badRecords: [0],
          currentLeader: { nodeId: 2, leaderEpoch: 5 }
        }
      ]
    })
  })
})

describe('Fetch', () => {
  const request = fetchRequest({
    maxWaitMs: 500,
    minBytes: 1,
    maxBytes: 1024,
    isolation: 'read_committed',
    rackId: 'r',
    topics: [
      {
        topic: 'ab',
        topicId,
        partitions: [{ partition: 1, fetchOffset: 42n, currentLeaderEpoch: 6, lastFetchedEpoch: 5, maxBytes: 512 }]
      }
    ]
  })
  const head = ['ffffffff', '000001f4', '00000001', '00000400', '01', '00000000', 'ffffffff']
  const tail = [
    '02',
    '00000001',
    '00000006',
    '000000000000002a',
    '00000005',
    'ffffffffffffffff',
    '00000200',
    '00',
    '00',
    '01',
    '02 72',
    '00'
  ]

  it('encodes without a session, by name (12) and by id (13)', () => {
    expect(encoded(request, 12)).toEqual(hex(...head, '02', '03 6162', ...tail))
    expect(encoded(request, 13)).toEqual(hex(...head, '02', ID, ...tail))
  })

  const answer = (topic: string, records: string) =>
    hex(
      '00000000',
      '0000',
      '00000000',
      '02',
      topic,
      '02',
      '00000001',
      '0000',
      '000000000000000a',
      '0000000000000009',
      '0000000000000001',
      '02',
      '0000000000000063',
      '0000000000000004',
      '00', // aborted: producer 99 from 4
      'ffffffff',
      records,
      '01',
      '00',
      '0d',
      '00000003',
      '0000000000000008',
      '00', // tag 0: diverging epoch 3, end offset 8
      '00',
      '00'
    )

  it('decodes aborted transactions, a divergence, and records as a view', () => {
    const bytes = answer(ID, '05 deadbeef')
    const [partition] = decoded(request, 13, bytes).partitions
    expect(partition).toEqual({
      topic: 'ab',
      topicId,
      partition: 1,
      errorCode: 0,
      highWatermark: 10n,
      lastStableOffset: 9n,
      logStartOffset: 1n,
      abortedTransactions: [{ producerId: 99n, firstOffset: 4n }],
      preferredReadReplica: -1,
      records: Buffer.from('deadbeef', 'hex'),
      divergingEpoch: { epoch: 3, endOffset: 8n }
    })
    expect(partition?.records.buffer).toBe(bytes.buffer)
  })

  it('null records are empty; by name the id comes from the request', () => {
    const [partition] = decoded(request, 12, answer('03 6162', '00')).partitions
    expect(partition).toMatchObject({ topic: 'ab', topicId, records: Buffer.alloc(0) })
  })
})

describe('transactions and producers', () => {
  it('InitProducerId, AddPartitionsToTxn, EndTxn', () => {
    const init = initProducerIdRequest({ transactionalId: 'tx', transactionTimeoutMs: 60_000 })
    expect(encoded(init, 4)).toEqual(hex('03 7478', '0000ea60', 'ffffffffffffffff', 'ffff', '00'))
    expect(decoded(init, 4, hex('00000000', '0033', 'ffffffffffffffff', 'ffff', '00'))).toEqual({
      errorCode: 51,
      producerId: -1n,
      producerEpoch: -1
    })
    const txn = { transactionalId: 'tx', producerId: 5n, producerEpoch: 2 }
    const add = addPartitionsToTxnRequest({ ...txn, topics: [{ topic: 'a', partitions: [0, 1] }] })
    expect(encoded(add, 3)).toEqual(
      hex('03 7478', '0000000000000005', '0002', '02', '02 61', '03', '00000000', '00000001', '00', '00')
    )
    const added = hex('00000000', '02', '02 61', '03', '00000000', '0000', '00', '00000001', '0038', '00', '00', '00')
    expect(decoded(add, 3, added)).toEqual({
      partitions: [
        { topic: 'a', partition: 0, errorCode: 0 },
        { topic: 'a', partition: 1, errorCode: 56 }
      ]
    })
    expect(encoded(endTxnRequest({ ...txn, commit: true }), 3)).toEqual(
      hex('03 7478', '0000000000000005', '0002', '01', '00')
    )
  })

  it('DescribeProducers', () => {
    const request = describeProducersRequest({ topics: [{ topic: 'a', partitions: [7] }] })
    expect(encoded(request, 0)).toEqual(hex('02', '02 61', '02', '00000007', '00', '00'))
    const answer = hex(
      '00000000',
      '02',
      '02 61',
      '02',
      '00000007',
      '0000',
      '00',
      '02',
      '0000000000000005',
      '00000002',
      '0000001d',
      '0000000000000001',
      '00000000',
      'ffffffffffffffff',
      '00',
      '00',
      '00',
      '00'
    )
    expect(decoded(request, 0, answer).partitions).toEqual([
      {
        topic: 'a',
        partition: 7,
        errorCode: 0,
        errorMessage: null,
        producers: [
          {
            producerId: 5n,
            producerEpoch: 2,
            lastSequence: 29,
            lastTimestamp: 1n,
            coordinatorEpoch: 0,
            currentTxnStartOffset: -1n
          }
        ]
      }
    ])
  })
})

describe('metadata and groups', () => {
  it('Metadata: null asks for all topics, an empty list for none, and auto-creation is off', () => {
    expect(encoded(metadataRequest({}), 12)).toEqual(hex('00', '00', '00', '00'))
    expect(encoded(metadataRequest({ topics: [] }), 12)).toEqual(hex('01', '00', '00', '00'))
    expect(encoded(metadataRequest({ topics: ['a'] }), 12)).toEqual(
      hex('02', '00'.repeat(16), '02 61', '00', '00', '00', '00')
    )
  })

  it('Metadata: partitions come out sorted, a leaderless one with its error', () => {
    const answer = hex(
      '00000000',
      '02',
      '00000001',
      '02 68',
      '00002384',
      '00',
      '00', // broker 1 h:9092, no rack
      '02 63',
      '00000001', // cluster "c", controller 1
      '02',
      '0000',
      '02 61',
      ID,
      '00',
      '03',
      '0005',
      '00000001',
      'ffffffff',
      '00000004',
      '02 00000001',
      '01',
      '02 00000001',
      '00',
      '0000',
      '00000000',
      '00000001',
      '00000003',
      '02 00000001',
      '02 00000001',
      '01',
      '00',
      '80000000',
      '00',
      '00'
    )
    const metadata = decoded(metadataRequest({}), 12, answer)
    expect(metadata.clusterId).toBe('c')
    expect(metadata.brokers.get(1)).toEqual({ nodeId: 1, host: 'h', port: 9092, rack: null })
    expect(metadata.topics.get('a')).toEqual({
      name: 'a',
      topicId,
      errorCode: 0,
      internal: false,
      partitions: [
        { partition: 0, errorCode: 0, leader: 1, leaderEpoch: 3, replicas: [1], isr: [1] },
        { partition: 1, errorCode: 5, leader: -1, leaderEpoch: 4, replicas: [1], isr: [] }
      ]
    })
  })

  it('OffsetCommit from outside the group', () => {
    const partitions = [{ partition: 0, offset: 9n, leaderEpoch: -1, metadata: null }]
    const request = offsetCommitRequest({
      groupId: 'g',
      generationId: -1,
      memberId: '',
      topics: [{ topic: 'a', partitions }]
    })
    expect(encoded(request, 8)).toEqual(
      hex(
        '02 67',
        'ffffffff',
        '01',
        '00',
        '02',
        '02 61',
        '02',
        '00000000',
        '0000000000000009',
        'ffffffff',
        '00',
        '00',
        '00',
        '00'
      )
    )
  })
})
