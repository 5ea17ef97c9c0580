import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Consumer, Kafka } from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { TwinlogError } from '../../src/errors.js'
import { ClusterClient } from '../../src/kafka/cluster.js'
import { describeGroupsRequest } from '../../src/kafka/requests/describe-groups.js'
import { LaneShare } from '../../src/mirror/workers/lane-share.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { startOracle } from '../support/oracle.js'
import { eventually, silent } from './bed.js'

/** Longer than a heartbeat and a rebalance take, on a busy machine too. */
const REBALANCE_MS = 15_000
const SESSION_MS = 6_000

interface Process {
  share: LaneShare
  client: ClusterClient
  started: 'alone' | 'joined'
  startedAfterMs: number
  problems: TwinlogError[]
}

let west: KafkaCluster
const processes: Process[] = []
const consumers: Consumer[] = []

beforeAll(async () => {
  west = await startKafka({ name: 'west', properties: { 'group.initial.rebalance.delay.ms': 3_000 } })
})

afterEach(async () => {
  await Promise.all(consumers.splice(0).map(consumer => consumer.disconnect()))
  await Promise.all(
    processes.splice(0).map(async ({ share, client }) => {
      await share.stop()
      client.destroy()
    })
  )
})

afterAll(async () => {
  await west?.stop()
})

const lanesOf = (count: number) => Array.from({ length: count }, (_, index) => `topic-${index % 7}/${index}`)
const lanesNow = ({ share }: Process) => [...(share.assigned ?? [])].sort()

async function begin(group: string, name: string, lanes: string[], cluster = west): Promise<Process> {
  const client = new ClusterClient(cluster.config(), { logger: silent })
  await client.connect()
  const problems: TwinlogError[] = []
  const share = new LaneShare({
    cluster: client,
    group,
    memberName: name,
    logger: silent,
    onAssigned: () => undefined,
    onProblem: error => problems.push(error)
  })
  share.setLanes(lanes)
  const process: Process = { share, client, started: 'alone', startedAfterMs: 0, problems }
  processes.push(process)
  const before = performance.now()
  process.started = await share.start()
  process.startedAfterMs = performance.now() - before
  return process
}

/** Every lane has exactly one owner among these. */
async function shared(lanes: string[], ...list: Process[]): Promise<void> {
  const all = [...lanes].sort().join()
  await eventually(
    () => list.flatMap(lanesNow).sort().join() === all,
    () => `lanes ${list.map(({ share }) => share.assigned?.size).join(', ')} of ${lanes.length}`,
    REBALANCE_MS
  )
}

async function consume(group: string): Promise<Consumer> {
  const admin = new Kafka(west.config()).admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: 'consumed' }] })
  await admin.disconnect()
  const consumer = new Kafka(west.config()).consumer({ groupId: group, sessionTimeout: 6_000, heartbeatInterval: 500 })
  consumers.push(consumer)
  await consumer.connect()
  await consumer.subscribe({ topic: 'consumed' })
  await consumer.run({ eachMessage: async () => undefined })
  await eventually(
    async () => (await groupState(group)) === 'Stable',
    () => 'the consumer has not joined'
  )
  return consumer
}

async function groupState(group: string): Promise<string | undefined> {
  const client = new ClusterClient(west.config(), { logger: silent })
  try {
    await client.connect()
    return (await client.send({ group }, describeGroupsRequest({ groups: [group] }))).groups[0]?.state
  } finally {
    client.destroy()
  }
}

describe('processes of one group', () => {
  it('share 200 lanes; one is killed, one added, one leaves, and nothing else moves', async () => {
    const lanes = lanesOf(200)
    const a = await begin('share', 'a', lanes)
    expect(a.started).toBe('alone')
    expect(a.share.assigned).toBeUndefined()
    await shared(lanes, a)
    const [b, c] = await Promise.all([begin('share', 'b', lanes), begin('share', 'c', lanes)])
    expect([b.started, c.started]).toEqual(['joined', 'joined'])
    await shared(lanes, a, b, c)
    await eventually(
      () => [a, b, c].every(({ share }) => [66, 67].includes(share.assigned?.size ?? 0)),
      undefined,
      REBALANCE_MS
    )
    expect(await Promise.all([a, b, c].map(({ share }) => share.confirm()))).toEqual([true, true, true])
    expect([a, b, c].filter(({ share }) => share.isLeader)).toEqual([a])
    const { generation } = a.share
    const settled = [a, b, c].map(lanesNow)
    await sleep(4_000)
    expect([a, b, c].map(({ share }) => share.generation)).toEqual([generation, generation, generation])

    // As a killed process does: connections end, nobody leaves the group. It is the leader.
    const killedAt = performance.now()
    a.client.destroy()
    await shared(lanes, b, c)
    const stoodStillMs = performance.now() - killedAt
    expect(stoodStillMs).toBeLessThan(SESSION_MS + 2_000)
    expect(lanesNow(b)).toEqual(expect.arrayContaining(settled[1] ?? []))
    expect(lanesNow(c)).toEqual(expect.arrayContaining(settled[2] ?? []))
    expect([b.share.assigned?.size, c.share.assigned?.size]).toEqual([100, 100])
    expect([b.share.isLeader, c.share.isLeader].filter(Boolean)).toEqual([true])

    const before = [b, c].map(lanesNow)
    const d = await begin('share', 'd', lanes)
    await shared(lanes, b, c, d)
    expect(before[0]).toEqual(expect.arrayContaining(lanesNow(b)))
    expect(before[1]).toEqual(expect.arrayContaining(lanesNow(c)))
    expect(d.share.assigned?.size).toBe(66)
    expect([b, c, d].map(({ share }) => share.members())).toEqual([3, 3, 3])

    const kept = [b, d].map(lanesNow)
    await c.share.stop()
    await shared(lanes, b, d)
    expect(lanesNow(b)).toEqual(expect.arrayContaining(kept[0] ?? []))
    expect(lanesNow(d)).toEqual(expect.arrayContaining(kept[1] ?? []))
    expect([b, c, d].flatMap(({ problems }) => problems)).toEqual([])
  })

  it('a single process starts at once, also after an orderly restart', async () => {
    const lanes = lanesOf(20)
    const first = await begin('single', 'a', lanes)
    expect(first.startedAfterMs).toBeLessThan(2_500)
    await shared(lanes, first)
    await first.share.stop()
    const second = await begin('single', 'a', lanes)
    expect([second.started, second.startedAfterMs < 2_500]).toEqual(['alone', true])
    await shared(lanes, second)
  })

  it("learn of each other's new lanes", async () => {
    const [a, b] = [await begin('grow', 'a', lanesOf(10)), await begin('grow', 'b', lanesOf(10))]
    await shared(lanesOf(10), a, b)
    a.share.setLanes(lanesOf(14))
    await shared(lanesOf(14), a, b)
    b.share.setLanes(lanesOf(14))
    await eventually(() => a.share.assigned?.size === 7 && b.share.assigned?.size === 7, undefined, REBALANCE_MS)
    await shared(lanesOf(14), a, b)
  })

  it('twelve that know 2,000 topics fit into what the broker keeps of a group', async () => {
    const lanes = Array.from({ length: 2_000 }, () => `${randomBytes(16).toString('base64url')}/0`)
    const names = Array.from({ length: 12 }, (_, index) => `p${String(index).padStart(2, '0')}`)
    const all = await Promise.all(names.map(name => begin('many', name, lanes)))
    await shared(lanes, ...all)
    expect(all.every(({ share }) => [166, 167].includes(share.assigned?.size ?? 0))).toBe(true)
    expect(all.flatMap(({ problems }) => problems)).toEqual([])
  })

  it('keep their lanes while the broker is killed and comes back', async () => {
    const lanes = lanesOf(30)
    const a = await begin('survive', 'a', lanes)
    await shared(lanes, a)
    const b = await begin('survive', 'b', lanes)
    await shared(lanes, a, b)
    const before = [a, b].map(lanesNow)
    await west.brokers[0]?.kill()
    await sleep(2_000)
    expect(await a.share.confirm()).toBe(false)
    expect([a, b].map(lanesNow)).toEqual(before)
    await west.brokers[0]?.start()
    await eventually(
      async () => (await a.share.confirm()) && (await b.share.confirm()),
      () => `no members: ${[...a.problems, ...b.problems].map(String).join()}`,
      30_000
    )
    await shared(lanes, a, b)
    expect([a.share.assigned?.size, b.share.assigned?.size]).toEqual([15, 15])
  })
})

describe('strangers', () => {
  it('a group that consumers are in, or were in, is refused by name', async () => {
    const consumer = await consume('strangers')
    const refused = { code: 'TWINLOG_INVALID_STATE', retriable: false }
    const refusal = await begin('strangers', 'a', lanesOf(2)).catch((error: unknown) => error)
    expect(refusal).toMatchObject(refused)
    expect(String(refusal)).toContain('group "strangers"')
    expect(String(refusal)).toContain('(protocol "consumer")')
    await consumer.stop()
    await consumer.disconnect()
    expect(await groupState('strangers')).toBe('Empty')
    await expect(begin('strangers', 'a', lanesOf(2))).rejects.toMatchObject(refused)
  })

  it('a group of the new consumer protocol is refused too, though it looks absent without members', async () => {
    await using oracle = await startOracle()
    await oracle.createTopic({ cluster: west.bootstrap, topic: 'modern', partitions: 1 })
    const consume = { cluster: west.bootstrap, group: 'modern', topic: 'modern', protocol: 'consumer' as const }
    await oracle.produce({ cluster: west.bootstrap, topic: 'modern', count: 10 }).done
    await oracle.consumeGroup({ ...consume, count: 10 })
    await expect(begin('modern', 'a', lanesOf(2))).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
  })

  it('a consumer cannot join while mirrors are in the group', async () => {
    const a = await begin('ours', 'a', lanesOf(4))
    await shared(lanesOf(4), a)
    const consumer = new Kafka(west.config('west', { retry: { retries: 0 } })).consumer({ groupId: 'ours' })
    consumers.push(consumer)
    const crashed = new Promise<Error>(resolve =>
      consumer.on('consumer.crash', ({ payload }) => resolve(payload.error))
    )
    await consumer.connect()
    await consumer.subscribe({ topic: 'consumed' })
    const error = await Promise.race([
      consumer.run({ eachMessage: async () => undefined }).then(() => crashed),
      crashed
    ]).catch((thrown: unknown) => thrown)
    expect(String(error)).toMatch(/inconsistent|protocol/i)
    expect(await a.share.confirm()).toBe(true)
  })
})

it('a broker that insists on longer sessions gets them', async () => {
  const strict = await startKafka({ name: 'strict', properties: { 'group.min.session.timeout.ms': 8_000 } })
  try {
    const a = await begin('strict', 'a', lanesOf(4), strict)
    await shared(lanesOf(4), a)
    expect(await a.share.confirm()).toBe(true)
    await a.share.stop()
  } finally {
    await strict.stop()
  }
})
