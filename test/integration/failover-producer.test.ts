import type { Admin } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TwinlogError } from '../../src/errors.js'
import type { ClientHandle } from '../../src/failover/client-handle.js'
import type { ClusterHandle, ProducerParticipant } from '../../src/failover/participants.js'
import { FailoverProducer, type FailoverProducerConfig } from '../../src/failover/producer.js'
import { createKafka } from '../../src/kafka/kafkajs.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

describe('FailoverProducer on a real broker', () => {
  let kafka: KafkaCluster
  let admin: Admin

  beforeAll(async () => {
    kafka = await startKafka({ name: 'east' })
    admin = createKafka(kafka.config()).kafka.admin()
    await admin.connect()
  })
  afterAll(async () => {
    for (const broker of kafka?.brokers ?? []) broker.thaw()
    await admin?.disconnect()
    await kafka?.stop()
  })

  async function open(config: FailoverProducerConfig = {}) {
    const joined: ProducerParticipant[] = []
    const client: ClientHandle & { active: ClusterHandle } = {
      active: { alias: 'east', config: kafka.config('east'), epoch: 1, originOf: () => undefined },
      logger: silent,
      cluster: async () => client.active,
      current: () => client.active,
      join: part => {
        if ('producer' in part) joined.push(part.producer)
        return () => joined.splice(0)
      }
    }
    const producer = new FailoverProducer(config, client)
    await producer.connect()
    const participant = joined[0]
    if (participant === undefined) throw new Error('the producer did not join its client')
    const moveTo = async (alias: string) => {
      client.active = { ...client.active, alias, config: kafka.config(alias), epoch: client.active.epoch + 1 }
      await participant.resume(client.active)
    }
    return { producer, participant, moveTo }
  }

  /** Every record of the topic's partition 0, by value. */
  async function contents(topic: string): Promise<Map<string, bigint>> {
    const [end] = await admin.fetchTopicOffsets(topic)
    const found = new Map<string, bigint>()
    const consumer = createKafka(kafka.config()).kafka.consumer({
      groupId: `read-${topic}-${Math.random()}`,
      maxWaitTimeInMs: 100
    })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ message }) => void found.set(String(message.value), BigInt(message.offset))
    })
    while (found.size < Number(end?.high ?? 0)) await sleep(50)
    await consumer.disconnect()
    return found
  }

  it('remembers acknowledged offsets per partition until they are replicated', async () => {
    await admin.createTopics({ topics: [{ topic: 'acked', numPartitions: 3 }] })
    const { producer, participant } = await open()
    for (let round = 0; round < 10; round++) {
      const messages = Array.from({ length: 30 }, (_, i) => ({ key: `k${i}`, value: `${round}/${i}` }))
      await Promise.all([
        producer.send({ topic: 'acked', messages }),
        producer.send({ topic: 'acked', messages: [{ value: 'x' }] })
      ])
    }
    const ends = await admin.fetchTopicOffsets('acked')
    const { acknowledged, inDoubt } = participant.ledgerPart()
    expect(inDoubt).toEqual([])
    expect(participant.topics).toEqual(['acked'])
    const expected = ends
      .filter(e => e.high !== '0')
      .map(e => ({ topic: 'acked', partition: e.partition, from: 0n, to: BigInt(e.high) }))
    expect([...acknowledged].sort((a, b) => a.partition - b.partition)).toEqual(
      expected.sort((a, b) => a.partition - b.partition)
    )
    expect(expected.reduce((sum, r) => sum + Number(r.to), 0)).toBe(310)
    const [first] = expected
    if (first === undefined) throw new Error('nothing was acknowledged')
    participant.replicatedTo('acked', first.partition, first.to - 1n)
    expect(participant.ledgerPart().acknowledged).toContainEqual({ ...first, from: first.to - 1n })
    await producer.disconnect()
  })

  it('does not count a refused record as in doubt', async () => {
    await admin.createTopics({
      topics: [{ topic: 'small', numPartitions: 1, configEntries: [{ name: 'max.message.bytes', value: '1000' }] }]
    })
    const { producer, participant } = await open()
    const error = await producer
      .send({ topic: 'small', messages: [{ value: 'x'.repeat(5000) }] })
      .catch((e: unknown) => e)
    expect(error).toBeInstanceOf(TwinlogError)
    expect(error).toMatchObject({ code: 'TWINLOG_RECORD_TOO_LARGE', retriable: false, kafkaCode: 10, cluster: 'east' })
    const missing = await producer.send({ topic: 'no-such-topic', messages: [{ value: 'x' }] }).catch((e: unknown) => e)
    expect(missing).toMatchObject({ code: 'TWINLOG_UNKNOWN_TOPIC' })
    expect(participant.ledgerPart()).toEqual({ acknowledged: [], inDoubt: [] })
    await producer.disconnect()
  })

  it('holds sends during a graceful move, loses and doubts none', async () => {
    await admin.createTopics({ topics: [{ topic: 'held', numPartitions: 1 }] })
    const { producer, participant, moveTo } = await open()
    const open20 = Array.from({ length: 20 }, (_, i) =>
      producer.send({ topic: 'held', messages: [{ value: `before-${i}` }] })
    )
    participant.hold()
    let released = 0
    const held = Array.from({ length: 20 }, (_, i) =>
      producer.send({ topic: 'held', messages: [{ value: `held-${i}` }] }).then(() => released++)
    )
    await participant.quiesce({ mode: 'graceful', timeoutMs: 10_000 })
    await Promise.all(open20)
    expect(released).toBe(0)
    expect(participant.ledgerPart()).toEqual({
      acknowledged: [{ topic: 'held', partition: 0, from: 0n, to: 20n }],
      inDoubt: []
    })
    await moveTo('west')
    await Promise.all(held)
    expect(participant.ledgerPart().acknowledged).toEqual([{ topic: 'held', partition: 0, from: 20n, to: 40n }])
    expect((await contents('held')).size).toBe(40)
    await producer.disconnect()
  })

  it('rejects unanswered sends of a frozen cluster as in doubt, and never sends them again', async () => {
    await admin.createTopics({ topics: [{ topic: 'doubt', numPartitions: 1 }] })
    const { producer, participant, moveTo } = await open()
    await producer.send({ topic: 'doubt', messages: [{ key: 'a', value: 'acked' }] })
    kafka.brokers[0]?.freeze()
    const unanswered = Array.from({ length: 5 }, (_, i) =>
      producer.send({ topic: 'doubt', messages: [{ key: `d${i}`, value: `doubt-${i}` }] }).catch((e: unknown) => e)
    )
    await sleep(300)
    participant.hold()
    const held = producer.send({ topic: 'doubt', messages: [{ key: 'h', value: 'held' }] })
    const began = Date.now()
    await participant.quiesce({ mode: 'abandon', timeoutMs: 5000 })
    expect(Date.now() - began).toBeLessThan(1000)
    for (const error of await Promise.all(unanswered)) {
      expect(error).toMatchObject({ code: 'TWINLOG_SEND_IN_DOUBT', retriable: false, cluster: 'east', topic: 'doubt' })
    }
    const ledger = participant.ledgerPart()
    expect(ledger.acknowledged).toEqual([{ topic: 'doubt', partition: 0, from: 0n, to: 1n }])
    expect(ledger.inDoubt).toEqual([{ topic: 'doubt', partition: 0, count: 5, keys: ['d0', 'd1', 'd2', 'd3', 'd4'] }])
    kafka.brokers[0]?.thaw()
    await sleep(1000)
    await moveTo('west')
    await held
    await sleep(500)
    const values = [...(await contents('doubt')).keys()]
    expect(values).toContain('held')
    // Each at most once: what the frozen broker had in its socket it may have appended when it was thawed.
    const [end] = await admin.fetchTopicOffsets('doubt')
    expect(Number(end?.high)).toBe(values.length)
    expect(participant.ledgerPart().inDoubt).toEqual([])
    await producer.disconnect()
  })

  it('names in doubt exactly what a killed cluster may hold beyond its acknowledgements', async () => {
    await admin.createTopics({ topics: [{ topic: 'killed', numPartitions: 1 }] })
    const { producer, participant } = await open({ retry: { retries: 1, initialRetryTime: 50 } })
    const acknowledged = new Set<string>()
    let running = true
    let n = 0
    const loops = Array.from({ length: 8 }, async () => {
      while (running) {
        const id = `id-${n++}`
        await producer.send({ topic: 'killed', messages: [{ key: id, value: id }] }).then(
          () => acknowledged.add(id),
          () => sleep(20)
        )
      }
    })
    await sleep(1500)
    await kafka.brokers[0]?.kill()
    await sleep(700)
    running = false
    await participant.quiesce({ mode: 'abandon', timeoutMs: 100 })
    // Before it leaves: what a leaving producer knows goes over to its client.
    const ledger = participant.ledgerPart()
    void producer.disconnect()
    await Promise.all(loops)
    await kafka.brokers[0]?.start()
    const found = await contents('killed')
    const doubted = new Set(ledger.inDoubt.flatMap(part => part.keys))
    for (const [id, offset] of found) {
      const inRange = ledger.acknowledged.some(r => r.from <= offset && offset < r.to)
      expect(acknowledged.has(id), id).toBe(inRange)
      if (!inRange) expect(doubted.has(id), `${id} is on the cluster, not acknowledged and not in doubt`).toBe(true)
    }
    const acked = ledger.acknowledged.reduce((sum, r) => sum + Number(r.to - r.from), 0)
    expect(acked).toBe(acknowledged.size)
    expect(acked).toBeGreaterThan(100)
  })

  it('refuses what it cannot do', async () => {
    const { producer } = await open()
    await expect(producer.send({ topic: 'acked', messages: [{ value: 'x' }], acks: 0 })).rejects.toMatchObject({
      code: 'TWINLOG_INVALID_OPTION',
      path: 'send.acks'
    })
    await expect(producer.transaction()).rejects.toMatchObject({ code: 'TWINLOG_UNSUPPORTED' })
    await producer.disconnect()
    await expect(producer.send({ topic: 'acked', messages: [{ value: 'x' }] })).rejects.toMatchObject({
      code: 'TWINLOG_INVALID_STATE'
    })
  })
})
