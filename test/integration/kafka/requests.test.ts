import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ClusterClient } from '../../../src/kafka/cluster.js'
import type { BrokerConnection } from '../../../src/kafka/connection.js'
import { addPartitionsToTxnRequest } from '../../../src/kafka/requests/add-partitions-to-txn.js'
import { createPartitionsRequest } from '../../../src/kafka/requests/create-partitions.js'
import { createTopicsRequest } from '../../../src/kafka/requests/create-topics.js'
import { deleteTopicsRequest } from '../../../src/kafka/requests/delete-topics.js'
import { describeClusterRequest } from '../../../src/kafka/requests/describe-cluster.js'
import { describeConfigsRequest } from '../../../src/kafka/requests/describe-configs.js'
import { describeGroupsRequest } from '../../../src/kafka/requests/describe-groups.js'
import { describeProducersRequest } from '../../../src/kafka/requests/describe-producers.js'
import { endTxnRequest } from '../../../src/kafka/requests/end-txn.js'
import { type FetchParams, fetchRequest } from '../../../src/kafka/requests/fetch.js'
import { incrementalAlterConfigsRequest } from '../../../src/kafka/requests/incremental-alter-configs.js'
import { initProducerIdRequest } from '../../../src/kafka/requests/init-producer-id.js'
import { listGroupsRequest } from '../../../src/kafka/requests/list-groups.js'
import {
  EARLIEST_TIMESTAMP,
  LATEST_TIMESTAMP,
  listOffsetsRequest,
  MAX_TIMESTAMP
} from '../../../src/kafka/requests/list-offsets.js'
import { offsetCommitRequest } from '../../../src/kafka/requests/offset-commit.js'
import { offsetFetchRequest } from '../../../src/kafka/requests/offset-fetch.js'
import { offsetForLeaderEpochRequest } from '../../../src/kafka/requests/offset-for-leader-epoch.js'
import { produceRequest } from '../../../src/kafka/requests/produce.js'
import { encodeBatch } from '../../../src/records/encode.js'
import type { Route } from '../../../src/kafka/types.js'
import { consoleLogger } from '../../../src/logger.js'
import { type KafkaCluster, startKafka } from '../../support/kafka.js'

/** Typed, where vitest says any. */
const matching = (text: string | RegExp): unknown => expect.stringMatching(text)
const anyOf = (type: unknown): unknown => expect.any(type)

const logger = consoleLogger('error')
const UNKNOWN_ID = 'QkJCQkJCQkJCQkJCQkJCQg'

let cluster: KafkaCluster
let client: ClusterClient
let connection: BrokerConnection
let nodeId: number

beforeAll(async () => {
  cluster = await startKafka({ name: 'requests' })
  client = new ClusterClient(cluster.config(), { logger })
  await client.connect()
  nodeId = [...(await client.metadata()).brokers.keys()][0] as number
  connection = await client.openConnection(nodeId)
})

afterAll(async () => {
  await client?.close()
  await cluster?.stop()
})

async function createTopic(name: string, partitions = 1, configs: Record<string, string> = {}) {
  const topics = [{ name, partitions, replicationFactor: 1, configs }]
  const created = await client.send('controller', createTopicsRequest({ timeoutMs: 10_000, topics }))
  expect(created.topics).toMatchObject([{ name, errorCode: 0 }])
  // The answer comes before the broker has the partitions on disk.
  for (;;) {
    const topic = (await client.metadata({ topics: [name] })).topics.get(name)
    if (topic?.errorCode === 0 && topic.partitions.every(({ leader }) => leader >= 0)) return topic
  }
}

const batchOf = (values: string[], producer: Partial<Parameters<typeof encodeBatch>[0]> = {}) =>
  encodeBatch({
    records: values.map((value, index) => ({
      offset: BigInt(index),
      timestamp: BigInt(Date.now()),
      key: null,
      value: Buffer.from(value),
      headers: []
    })),
    ...producer
  })

const fetchAll = (topic: string, topicId: string, partition = 0, over: Partial<FetchParams> = {}) =>
  connection.send(
    fetchRequest({
      maxWaitMs: 100,
      minBytes: 1,
      maxBytes: 1_000_000,
      isolation: 'read_committed',
      topics: [{ topic, topicId, partitions: [{ partition, fetchOffset: 0n, maxBytes: 1_000_000 }] }],
      ...over
    })
  )

/** A coordinator that has just been created answers "loading" (14) or "not me" (16) for a moment. */
async function whenLoaded<T>(
  route: Route,
  ask: () => Promise<T>,
  codeOf: (answer: T) => number | undefined
): Promise<T> {
  for (;;) {
    const answer = await ask()
    const code = codeOf(answer)
    if (code !== 14 && code !== 15 && code !== 16) return answer
    client.forgetCoordinator(route)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

const latest = async (topic: string, timestamp = LATEST_TIMESTAMP) => {
  const topics = [{ topic, partitions: [{ partition: 0, timestamp }] }]
  return (await client.send({ node: nodeId }, listOffsetsRequest({ isolation: 'read_committed', topics })))
    .partitions[0]
}

describe('requests against a real broker', () => {
  it('metadata names cluster, brokers, topics with ids, and leaders; an unknown topic is an error code and is not created', async () => {
    const created = await createTopic('meta', 3)
    expect(created.topicId).toMatch(/^[A-Za-z0-9_-]{22}$/)
    expect(created.partitions.map(({ partition }) => partition)).toEqual([0, 1, 2])
    expect(client.leaderOf('meta', 2)).toEqual({ nodeId, leaderEpoch: 0 })
    expect(client.leaderOf('meta', 3)).toBeUndefined()
    expect(client.clusterId).toBe(cluster.clusterId)
    expect((await client.metadata({ topics: ['absent'] })).topics.get('absent')?.errorCode).toBe(3)
    expect((await client.metadata()).topics.has('absent')).toBe(false)
    const described = await client.send('any', describeClusterRequest())
    expect(described).toMatchObject({ errorCode: 0, clusterId: cluster.clusterId, brokers: [{ nodeId }] })
  })

  for (const byTopicId of [true, false]) {
    it(`produces and fetches ${byTopicId ? 'by topic id' : 'by name'}, bytes unchanged`, async () => {
      const name = `raw-${byTopicId}`
      const { topicId } = await createTopic(name)
      const records = batchOf(['a', 'b', 'c'])
      const produced = await connection.send(
        produceRequest({
          acks: -1,
          timeoutMs: 5_000,
          byTopicId,
          topics: [{ topic: name, topicId, partitions: [{ partition: 0, records }] }]
        })
      )
      expect(produced.partitions).toMatchObject([
        {
          topic: name,
          topicId,
          partition: 0,
          errorCode: 0,
          baseOffset: 0n,
          logAppendTimeMs: -1n,
          logStartOffset: 0n,
          errorMessage: null
        }
      ])
      const fetched = await fetchAll(name, byTopicId ? topicId : '')
      expect(fetched.errorCode).toBe(0)
      const [partition] = fetched.partitions
      expect(partition).toMatchObject({
        topic: name,
        partition: 0,
        errorCode: 0,
        highWatermark: 3n,
        lastStableOffset: 3n,
        logStartOffset: 0n,
        abortedTransactions: [],
        preferredReadReplica: -1
      })
      // The leader epoch (4 bytes at 12) is the broker's; all else is ours.
      expect(partition?.records.subarray(16)).toEqual(records.subarray(16))
    })
  }

  it("gives each partition's error for itself", async () => {
    const { topicId } = await createTopic('partial', 1)
    const good = batchOf(['x'])
    const broken = Buffer.from(good)
    broken.writeUInt32BE(0, 17)
    const send = (topic: string, id: string, partition: number, records: Buffer) => ({
      topic,
      topicId: id,
      partitions: [{ partition, records }]
    })
    const byId = await connection.send(
      produceRequest({
        acks: -1,
        timeoutMs: 5_000,
        topics: [send('partial', topicId, 0, good), send('gone', UNKNOWN_ID, 0, good)]
      })
    )
    expect(Object.fromEntries(byId.partitions.map(p => [p.topic, p.errorCode]))).toEqual({ partial: 0, gone: 100 })
    const two = {
      topic: 'partial',
      topicId,
      partitions: [
        { partition: 0, records: broken },
        { partition: 9, records: good }
      ]
    }
    const byPartition = await connection.send(produceRequest({ acks: -1, timeoutMs: 5_000, topics: [two] }))
    const codes = Object.fromEntries(byPartition.partitions.map(p => [p.partition, p.errorCode]))
    expect(codes[0]).toBe(2)
    expect([3, 100]).toContain(codes[9])
    const fetched = await fetchAll('partial', topicId, 0, {
      topics: [
        { topic: 'partial', topicId, partitions: [{ partition: 0, fetchOffset: 99n, maxBytes: 1000 }] },
        { topic: 'gone', topicId: UNKNOWN_ID, partitions: [{ partition: 0, fetchOffset: 0n, maxBytes: 1000 }] }
      ]
    })
    expect(Object.fromEntries(fetched.partitions.map(p => [p.topic, p.errorCode]))).toEqual({ partial: 1, gone: 100 })
  })

  it('the record error of a refused batch is in the message', async () => {
    const { topicId } = await createTopic('compacted', 1, { 'cleanup.policy': 'compact' })
    const partitions = [{ partition: 0, records: batchOf(['no key']) }]
    const { partitions: answers } = await connection.send(
      produceRequest({ acks: -1, timeoutMs: 5_000, topics: [{ topic: 'compacted', topicId, partitions }] })
    )
    expect(answers[0]?.errorCode).toBe(87)
    expect(answers[0]?.errorMessage).toMatch(/key/i)
  })

  it('lists offsets: earliest, latest, newest time stamp', async () => {
    const { topicId } = await createTopic('offsets')
    const partitions = [{ partition: 0, records: batchOf(['a', 'b']) }]
    await connection.send(
      produceRequest({ acks: -1, timeoutMs: 5_000, topics: [{ topic: 'offsets', topicId, partitions }] })
    )
    expect(await latest('offsets')).toMatchObject({ errorCode: 0, offset: 2n, leaderEpoch: 0 })
    expect(await latest('offsets', EARLIEST_TIMESTAMP)).toMatchObject({ errorCode: 0, offset: 0n })
    expect(await latest('offsets', MAX_TIMESTAMP)).toMatchObject({ errorCode: 0, timestamp: anyOf(BigInt) })
    const epochs = await client.send(
      { node: nodeId },
      offsetForLeaderEpochRequest({
        topics: [{ topic: 'offsets', partitions: [{ partition: 0, currentLeaderEpoch: 0, leaderEpoch: 0 }] }]
      })
    )
    expect(epochs.partitions).toEqual([{ topic: 'offsets', partition: 0, errorCode: 0, leaderEpoch: 0, endOffset: 2n }])
  })

  it('runs transactions; an aborted one shows in the fetch answer; producers can be described', async () => {
    const { topicId } = await createTopic('txn')
    const transactionalId = 'requests-txn'
    const route = { transactionalId }
    const { producerId, producerEpoch, errorCode } = await whenLoaded(
      route,
      () => client.send(route, initProducerIdRequest({ transactionalId, transactionTimeoutMs: 10_000 })),
      answer => answer.errorCode
    )
    expect({ errorCode, producerEpoch }).toEqual({ errorCode: 0, producerEpoch: 0 })
    const txn = { transactionalId, producerId, producerEpoch }
    for (const [index, commit] of [true, false].entries()) {
      let added: number | undefined
      do {
        const answer = await client.send(
          route,
          addPartitionsToTxnRequest({ ...txn, topics: [{ topic: 'txn', partitions: [0] }] })
        )
        added = answer.partitions[0]?.errorCode
      } while (added === 51)
      expect(added).toBe(0)
      const records = batchOf(['t'], { producerId, producerEpoch, baseSequence: index, transactional: true })
      const produced = await connection.send(
        produceRequest({
          acks: -1,
          timeoutMs: 5_000,
          transactionalId,
          topics: [{ topic: 'txn', topicId, partitions: [{ partition: 0, records }] }]
        })
      )
      expect(produced.partitions[0]).toMatchObject({ errorCode: 0, baseOffset: BigInt(index * 2) })
      const open = await client.send(
        { node: nodeId },
        describeProducersRequest({ topics: [{ topic: 'txn', partitions: [0] }] })
      )
      expect(open.partitions[0]?.producers[0]?.currentTxnStartOffset).toBe(BigInt(index * 2))
      expect(await client.send(route, endTxnRequest({ ...txn, commit }))).toEqual({ errorCode: 0 })
    }
    await expect.poll(async () => (await latest('txn'))?.offset).toBe(4n)
    const [partition] = (await fetchAll('txn', topicId)).partitions
    expect(partition).toMatchObject({ lastStableOffset: 4n, abortedTransactions: [{ producerId, firstOffset: 2n }] })
    const described = await client.send(
      { node: nodeId },
      describeProducersRequest({ topics: [{ topic: 'txn', partitions: [0, 5] }] })
    )
    const byPartition = new Map(described.partitions.map(p => [p.partition, p]))
    expect(byPartition.get(0)).toMatchObject({
      errorCode: 0,
      producers: [{ producerId, producerEpoch: 0, lastSequence: 1, currentTxnStartOffset: -1n }]
    })
    expect(byPartition.get(5)?.errorCode).toBe(3)
  })

  it('commits and fetches group offsets with metadata; lists and describes the group', async () => {
    await createTopic('committed', 2)
    const groupId = 'requests-group'
    const request = offsetCommitRequest({
      groupId,
      generationId: -1,
      memberId: '',
      topics: [
        { topic: 'committed', partitions: [{ partition: 1, offset: 42n, leaderEpoch: -1, metadata: 'ünïcode' }] },
        { topic: 'absent', partitions: [{ partition: 0, offset: 1n, leaderEpoch: -1, metadata: null }] }
      ]
    })
    const commit = await whenLoaded(
      { group: groupId },
      () => client.send({ group: groupId }, request),
      answer => answer.partitions.find(({ topic }) => topic === 'committed')?.errorCode
    )
    expect(Object.fromEntries(commit.partitions.map(p => [p.topic, p.errorCode]))).toEqual({ committed: 0, absent: 3 })
    const all = await client.send({ group: groupId }, offsetFetchRequest({ groupId }))
    expect(all).toEqual({
      errorCode: 0,
      partitions: [
        { topic: 'committed', partition: 1, offset: 42n, leaderEpoch: -1, metadata: 'ünïcode', errorCode: 0 }
      ]
    })
    const some = await client.send(
      { group: groupId },
      offsetFetchRequest({ groupId, requireStable: true, topics: [{ topic: 'committed', partitions: [0] }] })
    )
    expect(some.partitions).toMatchObject([{ partition: 0, offset: -1n, errorCode: 0 }])
    const listed = await client.send({ node: nodeId }, listGroupsRequest())
    expect(listed.groups).toContainEqual({ groupId, protocolType: '', state: 'Empty', type: 'classic' })
    const described = await client.send({ group: groupId }, describeGroupsRequest({ groups: [groupId, 'nobody'] }))
    const byName = new Map(described.groups.map(group => [group.groupId, group]))
    expect(byName.get(groupId)).toMatchObject({ errorCode: 0, state: 'Empty', members: 0 })
    expect(byName.get('nobody')).toMatchObject({ state: 'Dead', members: 0 })
  })

  it('describes and alters configs one by one', async () => {
    await createTopic('configured', 1, { 'retention.ms': '60000' })
    const alter = await client.send(
      'controller',
      incrementalAlterConfigsRequest({
        resources: [
          { type: 'topic', name: 'configured', ops: [{ name: 'cleanup.policy', op: 'append', value: 'compact' }] },
          { type: 'topic', name: 'absent', ops: [{ name: 'retention.ms', op: 'delete', value: null }] }
        ]
      })
    )
    expect(Object.fromEntries(alter.resources.map(r => [r.name, r.errorCode]))).toEqual({ configured: 0, absent: 3 })
    const keys = ['retention.ms', 'cleanup.policy', 'segment.bytes']
    await expect
      .poll(async () => {
        const resources = [{ type: 'topic' as const, name: 'configured', keys }]
        const answer = await client.send('any', describeConfigsRequest({ resources }))
        return Object.fromEntries(
          answer.resources[0]?.configs.map(({ name, value, source }) => [name, [value, source]]) ?? []
        )
      })
      .toMatchObject({
        'retention.ms': ['60000', 1],
        'cleanup.policy': ['delete,compact', 1],
        'segment.bytes': [anyOf(String), anyOf(Number)]
      })
    const broker = await client.send(
      { node: nodeId },
      describeConfigsRequest({ resources: [{ type: 'broker', name: String(nodeId) }] })
    )
    expect(broker.resources[0]?.configs.length).toBeGreaterThan(100)
  })

  it('adds partitions, refuses a topic that exists, deletes topics', async () => {
    await createTopic('shrinking', 1)
    const again = await client.send(
      'controller',
      createTopicsRequest({
        timeoutMs: 5_000,
        topics: [{ name: 'shrinking', partitions: 1, replicationFactor: 1, configs: {} }]
      })
    )
    expect(again.topics).toMatchObject([{ name: 'shrinking', errorCode: 36, errorMessage: matching('exists') }])
    const grown = await client.send(
      'controller',
      createPartitionsRequest({ timeoutMs: 5_000, topics: [{ name: 'shrinking', count: 4 }] })
    )
    expect(grown.topics).toMatchObject([{ name: 'shrinking', errorCode: 0 }])
    await expect
      .poll(async () => (await client.metadata({ topics: ['shrinking'] })).topics.get('shrinking')?.partitions.length)
      .toBe(4)
    const deleted = await client.send(
      'controller',
      deleteTopicsRequest({ timeoutMs: 5_000, topics: ['shrinking', 'absent'] })
    )
    expect(Object.fromEntries(deleted.topics.map(t => [t.name, t.errorCode]))).toEqual({ shrinking: 0, absent: 3 })
    await expect.poll(async () => (await client.metadata()).topics.has('shrinking')).toBe(false)
    expect(client.leaderOf('shrinking', 0)).toBeUndefined()
  })

  it('tells which versions the broker speaks', async () => {
    expect(await client.supports(0, 13)).toBe(true)
    expect(await client.supports(0, 99)).toBe(false)
    expect(await client.supports(9_999, 0)).toBe(false)
  })
})
