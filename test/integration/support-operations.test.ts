import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ClusterClient } from '../../src/kafka/cluster.js'
import { createTopicsRequest } from '../../src/kafka/requests/create-topics.js'
import { type Broker, type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { corruptBatch, storedBatches } from '../support/segments.js'
import { eventually, silent } from './bed.js'

let cluster: KafkaCluster
let oracle: Oracle
let broker: Broker
let here: string[]

beforeAll(async () => {
  const listeners = [
    { name: 'SASL', protocol: 'SASL_PLAINTEXT' as const, plainUsers: { alice: 'secret', bob: 'hidden' } }
  ]
  ;[cluster, oracle] = await Promise.all([
    startKafka({ name: 'guarded', authorizer: true, listeners, properties: { 'log.cleaner.backoff.ms': 200 } }),
    startOracle()
  ])
  broker = cluster.brokers[0] as Broker
  here = cluster.bootstrap
})

afterAll(async () => {
  await oracle?.close()
  await cluster?.stop()
})

const javaAs = (user: string, password: string) => ({
  bootstrap: cluster.bootstrapOf('SASL'),
  properties: {
    'security.protocol': 'SASL_PLAINTEXT',
    'sasl.mechanism': 'PLAIN',
    'sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required username="${user}" password="${password}";`
  }
})

describe('writing record by record', () => {
  it('keeps batches, null and empty, odd header names, time stamps and generated contents', async () => {
    const topic = 'exact'
    await oracle.createTopic({ cluster: here, topic })
    const { offsets } = await oracle.write({
      cluster: here,
      topic,
      compression: 'lz4',
      steps: [
        {
          send: [
            { key: null, value: '', timestamp: -1 },
            {
              key: '',
              value: Buffer.from([0xff, 0xfe]),
              headers: [
                ['__proto__', null],
                ['', 'ü'],
                ['ü', '']
              ],
              timestamp: 5
            }
          ]
        },
        { send: [{ value: { bytes: 9, seed: 3 }, bareHeaders: 3 }, { value: { bytes: 4 } }], onePerBatch: true }
      ]
    })
    expect(offsets).toEqual([
      [0n, 1n],
      [2n, 3n]
    ])
    expect(storedBatches(broker, topic)).toMatchObject([
      { baseOffset: 0n, count: 2, compression: 'lz4' },
      { baseOffset: 2n, count: 1 },
      { baseOffset: 3n, count: 1 }
    ])
    const records = await oracle.read({ cluster: here, topic, partition: 0 })
    expect(records.slice(0, 2)).toEqual([
      { offset: 0n, timestamp: -1n, key: null, value: Buffer.alloc(0), headers: [] },
      {
        offset: 1n,
        timestamp: 5n,
        key: Buffer.alloc(0),
        value: Buffer.from([0xff, 0xfe]),
        headers: [
          { key: '__proto__', value: null },
          { key: '', value: Buffer.from('ü') },
          { key: 'ü', value: Buffer.alloc(0) }
        ]
      }
    ])
    expect(records[2]).toMatchObject({ headers: Array.from({ length: 3 }, () => ({ key: '', value: null })) })
    expect(records[2]?.value).toHaveLength(9)
    expect(records[3]?.value).toEqual(Buffer.alloc(4))
  })

  it('interleaves transactions, leaves one open, and ends it later: by its id, or as an operator', async () => {
    const topic = 'transactions'
    await oracle.createTopic({ cluster: here, topic })
    const on = { cluster: here, topic }
    await oracle.write({
      ...on,
      steps: [
        { begin: 'a' },
        { send: [{ value: 'a1' }], producer: 'a' },
        { begin: 'b' },
        { send: [{ value: 'b1' }], producer: 'b' },
        { send: [{ value: 'plain' }] },
        { abort: 'a' },
        { commit: 'b' },
        { begin: 'a' },
        { send: [{ value: 'a2' }], producer: 'a' },
        { begin: 'c' },
        { send: [{ value: 'c1' }], producer: 'c' }
      ]
    })
    const values = async () => (await oracle.read({ ...on, partition: 0 })).map(({ value }) => value?.toString())
    expect(await values()).toEqual(['b1', 'plain'])
    const open = (await oracle.producers({ ...on, partition: 0 })).filter(({ openSince }) => openSince !== undefined)
    expect(open).toHaveLength(2)
    await oracle.write({ ...on, steps: [{ commit: 'a' }] })
    await eventually(async () => (await values()).length === 3)
    expect(await oracle.abortTransaction({ ...on, partition: 0 })).toEqual({ aborted: 1 })
    await oracle.write({ ...on, steps: [{ send: [{ value: 'end' }] }] })
    await eventually(async () => (await values()).at(-1) === 'end')
    expect(await values()).toEqual(['b1', 'plain', 'a2', 'end'])
  })
})

describe('an operator', () => {
  it('deletes records and topics, adds partitions, alters configs of a topic and of all brokers', async () => {
    const topic = 'operated'
    const on = { cluster: here, topic }
    const { topicId } = await oracle.createTopic(on)
    await oracle.produce({ ...on, count: 10 }).done
    expect(await oracle.deleteRecords({ ...on, before: { 0: 4n } })).toEqual({ 0: 4n })
    expect(await oracle.endOffsets(on)).toEqual([{ partition: 0, start: 4n, end: 10n }])
    await oracle.createPartitions({ ...on, partitions: 2 })
    await eventually(async () => (await oracle.describeTopic(on)).partitions.length === 2)
    expect(await oracle.describeTopic(on)).toMatchObject({
      topicId,
      partitions: [{ leader: 1, replicas: [1], inSync: [1], end: 10n }, { end: 0n }]
    })
    await oracle.alterConfigs({ ...on, configs: { 'max.message.bytes': '100' } })
    expect(await oracle.produce({ ...on, count: 1, valueBytes: 200 }).done).toMatchObject({ failed: 1 })
    await oracle.alterConfigs({ ...on, configs: { 'max.message.bytes': null } })
    await eventually(async () => (await oracle.produce({ ...on, count: 1, valueBytes: 200 }).done).failed === 0)
    await oracle.alterConfigs({ cluster: here, configs: { 'producer.id.expiration.ms': '86400001' } })
    await oracle.deleteTopic(on)
    expect((await oracle.createTopic(on)).topicId).not.toBe(topicId)
    await oracle.deleteTopic(on)
  })

  it('gives and revokes rights, for Java and for our own connections', async () => {
    const topic = 'rights'
    await oracle.createTopic({ cluster: here, topic })
    const alice = javaAs('alice', 'secret')
    const produce = () => oracle.produce({ cluster: alice, topic, partitions: [0], count: 5 }).done
    const rule = {
      cluster: here,
      principal: 'User:alice',
      resource: { type: 'topic' as const, name: topic },
      operations: ['write', 'describe']
    }
    await oracle.acl({ ...rule, change: 'add' })
    await eventually(async () => (await produce()).failed === 0)
    await oracle.acl({ ...rule, change: 'remove' })
    await eventually(async () => {
      const { error } = await produce()
      return error?.includes('TopicAuthorizationException') === true
    })

    const config = cluster.config('bob', {
      brokers: cluster.bootstrapOf('SASL'),
      sasl: { mechanism: 'plain', username: 'bob', password: 'hidden' }
    })
    const client = new ClusterClient(config, { logger: silent })
    await client.connect()
    try {
      const creates = async () => {
        const topics = [{ name: 'by-bob', partitions: 1, replicationFactor: 1, configs: {} }]
        return (await client.send('controller', createTopicsRequest({ timeoutMs: 5_000, topics }))).topics[0]?.errorCode
      }
      expect(await creates()).toBe(29)
      await oracle.acl({
        cluster: here,
        change: 'add',
        principal: 'User:bob',
        resource: { type: 'topic', name: 'by-', pattern: 'prefixed' },
        operations: ['all']
      })
      await eventually(async () => (await creates()) === 0)
    } finally {
      client.destroy()
    }
  })

  it('throttles a client by a quota, and takes it back', async () => {
    const topic = 'quota'
    await oracle.createTopic({ cluster: here, topic })
    const load = {
      cluster: { bootstrap: here, properties: { 'client.id': 'slow' } },
      topic,
      count: 200,
      valueBytes: 1000
    }
    const free = await oracle.produce(load).done
    await oracle.quota({ cluster: here, clientId: 'slow', producerByteRate: 15_000 })
    const throttled = await oracle.produce({ ...load, batchBytes: 16_384 }).done
    await oracle.quota({ cluster: here, clientId: 'slow', producerByteRate: null })
    expect(throttled.seconds).toBeGreaterThan(free.seconds + 1)
  })
})

describe('a batch that is damaged on disk', () => {
  it('is served by the restarted broker, and consumers refuse it', async () => {
    const topic = 'damaged'
    await oracle.createTopic({ cluster: here, topic })
    const text = (prefix: string) => Array.from({ length: 5 }, (_, i) => ({ value: `${prefix}${i}` }))
    await oracle.write({ cluster: here, topic, steps: [{ send: text('a') }, { send: text('b') }, { send: text('c') }] })
    expect(() => corruptBatch(broker, topic, 0, 7n)).toThrow('is running')
    await broker.stop()
    expect(corruptBatch(broker, topic, 0, 7n)).toMatchObject({ baseOffset: 5n, lastOffset: 9n, count: 5 })
    await broker.start()
    expect(await oracle.endOffsets({ cluster: here, topic })).toEqual([{ partition: 0, start: 0n, end: 15n }])
    expect(storedBatches(broker, topic)).toHaveLength(3)
    expect(await oracle.read({ cluster: here, topic, partition: 0, max: 5 })).toHaveLength(5)
    await expect(oracle.read({ cluster: here, topic, partition: 0 })).rejects.toThrow(/corrupt/i)
  })
})
