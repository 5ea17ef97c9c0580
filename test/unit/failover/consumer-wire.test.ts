import { createRequire } from 'node:module'
import { Kafka } from 'kafkajs'
import { describe, expect, it } from 'vitest'
import type { ClientHandle } from '../../../src/failover/client-handle.js'
import { FailoverConsumer } from '../../../src/failover/consumer.js'
import {
  type CommitRequest,
  ConsumerWire,
  type WireBroker,
  type WireCluster
} from '../../../src/failover/consumer-wire.js'
import { FailoverProducer } from '../../../src/failover/producer.js'

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const client: ClientHandle = {
  logger: silent,
  cluster: () => Promise.reject(new Error('not used')),
  current: () => undefined,
  join: () => () => undefined
}

function setUp() {
  const log: string[] = []
  const commits: CommitRequest[] = []
  const state = { live: true, refuse: false, loading: 0 }
  const broker: WireBroker = {
    nodeId: 1,
    joinGroup: async () => {
      log.push('JoinGroup')
      if (state.loading-- > 0) throw Object.assign(new Error('loading'), { type: 'GROUP_LOAD_IN_PROGRESS' })
      return { generationId: 4, memberId: 'm' }
    },
    leaveGroup: async () => void log.push('LeaveGroup'),
    heartbeat: async () => undefined,
    offsetCommit: async request => {
      if (state.refuse) throw new Error('refused')
      commits.push(request)
    },
    fetch: async () => ({ responses: [{ partitions: [{ messages: [{ batchContext: context }, {}] }] }] })
  }
  const context = {}
  const cluster: WireCluster = {
    targetTopics: new Set(['t']),
    findBroker: async () => broker,
    fetchTopicsOffset: async ([t]) => [
      { topic: 't', partitions: [{ partition: 0, offset: t?.fromBeginning ? '12' : '99' }] }
    ]
  }
  const tag = { generation: 1, sequence: 1 }
  const wire = new ConsumerWire(cluster, {
    assertLive: () => {
      if (!state.live) throw new Error('left')
    },
    beforeJoin: async () => void log.push('before join'),
    joined: (_broker, { generationId }) => void log.push(`joined ${generationId}`),
    beforeLeave: async () => void log.push('before leave'),
    fetching: requested => {
      log.push(`fetch ${requested[0]?.partitions[0]?.fetchOffset}`)
      return tag
    },
    committed: (topic, partition, offset) => void log.push(`committed ${topic}-${partition} ${offset}`),
    moved: (topic, partition, offset) => void log.push(`moved ${topic}-${partition} ${offset}`)
  })
  const commit = (offset: unknown): CommitRequest => ({
    groupId: 'g',
    memberId: 'm',
    groupGenerationId: 1,
    topics: [{ topic: 't', partitions: [{ partition: 0, offset }] }]
  })
  return { cluster, commits, log, state, wire, commit, tag, context }
}

describe('ConsumerWire', () => {
  it('puts its hooks before JoinGroup and LeaveGroup, once per broker', async () => {
    const { cluster, log } = setUp()
    await cluster.findBroker({ nodeId: 1 })
    const broker = await cluster.findBroker({ nodeId: 1 })
    await broker.joinGroup({ groupId: 'g' })
    await broker.leaveGroup({ groupId: 'g', memberId: 'm' })
    expect(log).toEqual(['before join', 'JoinGroup', 'joined 4', 'before leave', 'LeaveGroup'])
  })

  it('waits for a coordinator that is still loading instead of letting the consumer crash', async () => {
    const { cluster, log, state } = setUp()
    state.loading = 2
    const broker = await cluster.findBroker({ nodeId: 1 })
    await broker.joinGroup({ groupId: 'g' })
    expect(log).toEqual(['before join', 'JoinGroup', 'JoinGroup', 'JoinGroup', 'joined 4'])
  })

  it('commits the real offset where kafkajs would commit -1 or -2', async () => {
    const { cluster, commits, log, commit } = setUp()
    const broker = await cluster.findBroker({ nodeId: 1 })
    await broker.offsetCommit(commit(-2))
    await broker.offsetCommit(commit('-1'))
    await broker.offsetCommit(commit('5'))
    expect(commits.map(c => c.topics[0]?.partitions[0]?.offset)).toEqual(['12', '99', '5'])
    expect(log).toEqual(['moved t-0 12', 'committed t-0 12', 'moved t-0 99', 'committed t-0 99', 'committed t-0 5'])
  })

  it('counts a commit only when the broker took it', async () => {
    const { cluster, log, state, commit } = setUp()
    const broker = await cluster.findBroker({ nodeId: 1 })
    state.refuse = true
    await expect(broker.offsetCommit(commit('5'))).rejects.toThrow('refused')
    expect(log).toEqual([])
  })

  it('tags the messages of an answer with the fetch they came from', async () => {
    const { cluster, wire, tag, context } = setUp()
    const broker = await cluster.findBroker({ nodeId: 1 })
    const answer = await broker.fetch({ topics: [{ topic: 't', partitions: [{ partition: 0, fetchOffset: '3' }] }] })
    const plain = answer.responses[0]?.partitions[0]?.messages[1] as object
    expect(wire.tagOf({ batchContext: context })).toBe(tag)
    expect(wire.tagOf(plain)).toBe(tag)
    expect(wire.tagOf({})).toBeUndefined()
  })

  it('sends nothing more to a cluster that was left', async () => {
    const { cluster, log, state, commit } = setUp()
    const broker = await cluster.findBroker({ nodeId: 1 })
    state.live = false
    await expect(cluster.findBroker({ nodeId: 1 })).rejects.toThrow('left')
    await expect(broker.offsetCommit(commit('5'))).rejects.toThrow('left')
    await expect(broker.joinGroup({ groupId: 'g' })).rejects.toThrow('left')
    expect(log).not.toContain('JoinGroup')
  })
})

describe('the kafkajs internals that consumers and producers rely on', () => {
  const require = createRequire(import.meta.url)
  const load = (path: string) => require(path) as { prototype: Record<string, unknown> }

  it('has the Broker and Cluster methods that are wrapped', () => {
    const broker = load('kafkajs/src/broker/index.js').prototype
    for (const name of ['joinGroup', 'leaveGroup', 'heartbeat', 'offsetCommit', 'fetch', 'produce']) {
      expect(broker[name], name).toBeTypeOf('function')
    }
    const cluster = load('kafkajs/src/cluster/index.js').prototype
    for (const name of ['findBroker', 'fetchTopicsOffset', 'findGroupCoordinator']) {
      expect(cluster[name], name).toBeTypeOf('function')
    }
    expect(String(cluster.findGroupCoordinator)).toContain('this.findBroker(')
  })

  it('has the same event names', () => {
    const kafka = new Kafka({ brokers: ['127.0.0.1:1'], logLevel: 0 })
    expect(new FailoverConsumer({ groupId: 'g' }, client).events).toEqual(kafka.consumer({ groupId: 'g' }).events)
    expect(new FailoverProducer({}, client).events).toEqual(kafka.producer().events)
  })
})

describe('the facades before a connect', () => {
  it('refuse options and calls that cannot work', async () => {
    const consumer = new FailoverConsumer({ groupId: 'g' }, client)
    await expect(consumer.subscribe({ topics: ['t'] })).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
    await expect(consumer.run({})).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
    expect(() => consumer.seek({ topic: 't', partition: 0, offset: '1' })).toThrow(/connect/)
    expect(() => consumer.on('consumer.nonsense' as never, () => undefined)).toThrow(/no consumer event/)
    expect(() => new FailoverProducer({ durability: 'journaled' }, client)).toThrow(/not available yet/)
    expect(() => new FailoverProducer({ transactionalId: 'x' }, client)).toThrow(/not available yet/)
    await expect(new FailoverProducer({}, client).send({ topic: 't', messages: [] })).rejects.toMatchObject({
      code: 'TWINLOG_INVALID_STATE'
    })
  })
})
