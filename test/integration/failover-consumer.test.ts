import type { Admin, Producer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClientHandle } from '../../src/failover/client-handle.js'
import { FailoverConsumer } from '../../src/failover/consumer.js'
import type { ClusterHandle, ConsumerParticipant } from '../../src/failover/participants.js'
import { createKafka } from '../../src/kafka/kafkajs.js'
import type { Logger } from '../../src/logger.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

async function until(what: string, condition: () => boolean, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`timed out: ${what}`)
    await sleep(20)
  }
}

/** Counts how often each record was handled, across all members of a group. */
class Witness {
  readonly counts = new Map<string, number>()
  saw(partition: number, offset: string): void {
    const id = `${partition}/${offset}`
    this.counts.set(id, (this.counts.get(id) ?? 0) + 1)
  }
  verdict(sent: Iterable<string>): { duplicates: number; missing: number } {
    const duplicates = [...this.counts.values()].filter(count => count > 1).length
    let missing = 0
    for (const id of sent) if (!this.counts.has(id)) missing++
    return { duplicates, missing }
  }
}

const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

function handleOf(
  kafka: KafkaCluster,
  alias: string,
  epoch: number,
  origins: Record<string, string> = {}
): ClusterHandle {
  return { alias, config: kafka.config(alias), epoch, originOf: id => origins[id] }
}

function clientOn(cluster: ClusterHandle) {
  const participants = new Set<ConsumerParticipant>()
  const client: ClientHandle & { active: ClusterHandle } = {
    active: cluster,
    logger: silent,
    cluster: async () => client.active,
    current: () => client.active,
    join: joined => {
      if ('consumer' in joined) participants.add(joined.consumer)
      return () => {
        if ('consumer' in joined) participants.delete(joined.consumer)
      }
    }
  }
  return { client, participants }
}

/** Sends to a topic until it is stopped; answers with every record as partition/offset. */
function load(producer: Producer, topic: string, partitions: number, perRound: number) {
  let running = true
  const sent = new Set<string>()
  let n = 0
  const done = (async () => {
    while (running) {
      const messages = Array.from({ length: perRound }, () => ({ partition: n++ % partitions, value: String(n) }))
      for (const { partition, baseOffset } of await producer.send({ topic, messages })) {
        const count = messages.filter(m => m.partition === partition).length
        for (let i = 0; i < count; i++) sent.add(`${partition}/${BigInt(baseOffset ?? '0') + BigInt(i)}`)
      }
      await sleep(20)
    }
  })()
  return {
    sent,
    async stop() {
      running = false
      await done
      return sent
    }
  }
}

const groupConfig = (groupId: string) => ({
  groupId,
  heartbeatInterval: 100,
  sessionTimeout: 6000,
  rebalanceTimeout: 10_000,
  maxWaitTimeInMs: 200
})

describe('FailoverConsumer on a real broker', () => {
  let kafka: KafkaCluster
  let admin: Admin
  let producer: Producer
  beforeAll(async () => {
    kafka = await startKafka({
      name: 'east',
      properties: { 'group.initial.rebalance.delay.ms': 0, 'group.min.session.timeout.ms': 1000 }
    })
    const raw = createKafka(kafka.config()).kafka
    admin = raw.admin()
    producer = raw.producer({ allowAutoTopicCreation: false })
    await admin.connect()
    await producer.connect()
  })
  afterAll(async () => {
    await producer?.disconnect()
    await admin?.disconnect()
    await kafka?.stop()
  })

  it.each(['eachMessage', 'eachBatch'] as const)(
    'hands each record out once while members join and leave under load (%s)',
    async mode => {
      const topic = `rebalance-${mode}`
      await admin.createTopics({ topics: [{ topic, numPartitions: 6 }] })
      const witness = new Witness()
      const members: FailoverConsumer[] = []
      let joins = 0
      const startMember = async () => {
        const member = new FailoverConsumer(groupConfig(`g-${mode}`), clientOn(handleOf(kafka, 'east', 1)).client)
        members.push(member)
        member.on(member.events.GROUP_JOIN, () => {
          joins++
        })
        await member.connect()
        await member.subscribe({ topics: [topic], fromBeginning: true })
        if (mode === 'eachMessage') {
          await member.run({
            partitionsConsumedConcurrently: 3,
            eachMessage: async ({ partition, message }) => {
              await sleep(Math.random() * 3)
              witness.saw(partition, message.offset)
            }
          })
        } else {
          await member.run({
            partitionsConsumedConcurrently: 3,
            eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
              for (const message of batch.messages) {
                // As kafkajs's documentation does it; the rest of the batch must not count as handled.
                if (!isRunning() || isStale()) break
                await sleep(Math.random() * 3)
                witness.saw(batch.partition, message.offset)
                resolveOffset(message.offset)
                await heartbeat()
              }
            }
          })
        }
        return member
      }
      const producing = load(producer, topic, 6, 24)
      await startMember()
      for (let round = 0; round < 6; round++) {
        const joined = await startMember()
        await sleep(700 + Math.random() * 400)
        // Now the newest, now the oldest member goes.
        const leaver = round % 2 === 0 ? joined : (members[0] as FailoverConsumer)
        members.splice(members.indexOf(leaver), 1)
        await leaver.disconnect()
        await sleep(300)
      }
      const sent = await producing.stop()
      await until('all records handled', () => witness.counts.size >= sent.size)
      await sleep(500)
      for (const member of members) await member.disconnect()
      expect(joins).toBeGreaterThan(12)
      expect(sent.size).toBeGreaterThan(2000)
      expect(witness.verdict(sent)).toEqual({ duplicates: 0, missing: 0 })
    },
    120_000
  )

  it('moves with its handlers: nothing starts after quiesce, positions are last handled + 1, and it goes on from the commits', async () => {
    const topic = 'move'
    await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] })
    const witness = new Witness()
    const east = handleOf(kafka, 'east', 1)
    const { client, participants } = clientOn(east)
    const consumer = new FailoverConsumer({ ...groupConfig('g-move'), sessionTimeout: 1500 }, client)
    const clusters = new Set<string>()
    let inHandler = 0
    const crashes: string[] = []
    consumer.on(consumer.events.CRASH, ({ payload }) => crashes.push(payload.error.message))
    let connects = 0
    consumer.on(consumer.events.CONNECT, () => {
      connects++
    })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ partition, message, heartbeat }) => {
        inHandler++
        await sleep(2)
        await heartbeat()
        inHandler--
        clusters.add(`${message.cluster}/${message.origin}`)
        witness.saw(partition, message.offset)
      }
    })
    const [participant] = [...participants]
    if (participant === undefined) throw new Error('the consumer did not join its client')
    expect(participant.topics).toEqual([topic])
    const producing = load(producer, topic, 2, 10)
    for (const mode of ['graceful', 'abandon', 'graceful', 'abandon'] as const) {
      await sleep(800)
      // A frozen cluster answers nothing, heartbeats of handlers included, and must not hold the move up.
      if (mode === 'abandon') kafka.brokers[0]?.freeze()
      await sleep(mode === 'abandon' ? 300 : 0)
      const began = Date.now()
      await participant.quiesce({ mode, timeoutMs: 5000 })
      const quiesceMs = Date.now() - began
      if (mode === 'abandon') kafka.brokers[0]?.thaw()
      expect(quiesceMs).toBeLessThan(1500)
      expect(inHandler).toBe(0)
      const handledBefore = witness.counts.size
      await sleep(300)
      expect(witness.counts.size).toBe(handledBefore)
      const positions = participant.positions()
      for (const { partition, offset } of positions) {
        const handled = [...witness.counts.keys()].filter(id => id.startsWith(`${partition}/`)).length
        expect(offset).toBe(BigInt(handled))
      }
      if (mode === 'graceful') {
        const committed = await admin.fetchOffsets({ groupId: 'g-move', topics: [topic] })
        for (const { partition, offset } of committed[0]?.partitions ?? []) {
          expect(offset).toBe(positions.find(p => p.partition === partition)?.offset.toString())
        }
      } else {
        // What a move does on the target: the true positions, not the last commits. The old member is not awaited.
        await retry(() =>
          admin.setOffsets({
            groupId: 'g-move',
            topic,
            partitions: positions.map(({ partition, offset }) => ({ partition, offset: offset.toString() }))
          })
        )
      }
      client.active = handleOf(kafka, 'west', client.active.epoch + 1)
      await participant.resume(client.active)
      await until('handling goes on', () => witness.counts.size > handledBefore)
    }
    const sent = await producing.stop()
    await until('all records handled', () => witness.counts.size >= sent.size)
    await consumer.disconnect()
    expect(participants.size).toBe(0)
    expect(witness.verdict(sent)).toEqual({ duplicates: 0, missing: 0 })
    expect(clusters).toEqual(new Set(['east/east', 'west/west']))
    expect(connects).toBeGreaterThanOrEqual(5)
    expect(crashes).toEqual([])
  }, 120_000)
})

// Partitions that appear make kafkajs rejoin from inside one fetcher, while another goes on handing out what it fetched.
describe('FailoverConsumer on two brokers', () => {
  let kafka: KafkaCluster
  beforeAll(async () => {
    kafka = await startKafka({ name: 'pair', brokers: 2, properties: { 'group.initial.rebalance.delay.ms': 0 } })
  })
  afterAll(async () => {
    await kafka?.stop()
  })

  it('hands each record out once while partitions are added under load', async () => {
    const topic = 'growing'
    const raw = createKafka(kafka.config()).kafka
    const admin = raw.admin()
    const producer = raw.producer({ allowAutoTopicCreation: false })
    await admin.connect()
    await producer.connect()
    await admin.createTopics({ topics: [{ topic, numPartitions: 4 }] })
    const witness = new Witness()
    const members: FailoverConsumer[] = []
    const producing = load(producer, topic, 4, 24)
    for (let i = 0; i < 2; i++) {
      const config = { ...groupConfig('g-growing'), metadataMaxAge: 300 }
      const member = new FailoverConsumer(config, clientOn(handleOf(kafka, 'pair', 1)).client)
      members.push(member)
      await member.connect()
      await member.subscribe({ topics: [topic], fromBeginning: true })
      await member.run({
        partitionsConsumedConcurrently: 2,
        eachMessage: async ({ partition, message }) => {
          await sleep(Math.random() * 4)
          witness.saw(partition, message.offset)
        }
      })
    }
    for (let partitions = 6; partitions <= 14; partitions += 2) {
      await sleep(1200)
      await admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] })
    }
    await sleep(1200)
    const sent = await producing.stop()
    await until('all records handled', () => witness.counts.size >= sent.size)
    await sleep(500)
    for (const member of members) await member.disconnect()
    await producer.disconnect()
    await admin.disconnect()
    expect(sent.size).toBeGreaterThan(1000)
    expect(witness.verdict(sent)).toEqual({ duplicates: 0, missing: 0 })
  }, 90_000)
})

async function retry<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt > 60) throw error
      await sleep(250)
    }
  }
}
