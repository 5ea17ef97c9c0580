import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { FailoverClient } from '../../src/failover/client.js'
import { ControlTopic } from '../../src/control/control-topic.js'
import type { FailoverOptions } from '../../src/failover/options.js'
import { PresenceTopic } from '../../src/failover/presence.js'
import { ClusterClient } from '../../src/kafka/cluster.js'
import { createTopicsRequest } from '../../src/kafka/requests/create-topics.js'
import { describeConfigsRequest } from '../../src/kafka/requests/describe-configs.js'
import { createKafka } from '../../src/kafka/kafkajs.js'
import type { Logger } from '../../src/logger.js'
import { Mirror } from '../../src/mirror/mirror.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'

const silent: Logger = process.env.TWINLOG_TEST_LOG
  ? { debug() {}, info: console.error, warn: console.error, error: console.error }
  : { debug() {}, info() {}, warn() {}, error() {} }

let east: KafkaCluster
let west: KafkaCluster
let evidenceDir: string
const toClose: { close(): Promise<void> }[] = []

beforeAll(async () => {
  evidenceDir = mkdtempSync(join(tmpdir(), 'twinlog-evidence-'))
  ;[east, west] = await Promise.all([
    startKafka({ name: 'east', brokers: 1, heapMb: 384 }),
    startKafka({ name: 'west', brokers: 1, heapMb: 384 })
  ])
})

afterEach(async () => {
  for (const item of toClose.splice(0).reverse()) await item.close()
})

afterAll(async () => {
  await Promise.all([east?.stop(), west?.stop()])
  rmSync(evidenceDir, { recursive: true, force: true })
})

async function clientOf(
  service: string,
  instanceId: string,
  over: Partial<FailoverOptions> = {}
): Promise<FailoverClient> {
  const client = new FailoverClient({
    clusters: [east.config(), west.config()],
    service,
    instanceId,
    logger: silent,
    evidenceDir,
    ...over
  })
  toClose.push({ close: () => client.disconnect() })
  await client.connect()
  return client
}

async function adminOf(cluster: KafkaCluster): Promise<ClusterClient> {
  const admin = new ClusterClient(cluster.config(), { logger: silent })
  toClose.push({ close: () => admin.close() })
  await admin.connect()
  return admin
}

async function createTopic(cluster: KafkaCluster, name: string, partitions = 2): Promise<void> {
  const admin = await adminOf(cluster)
  await admin.send(
    'controller',
    createTopicsRequest({ timeoutMs: 10_000, topics: [{ name, partitions, replicationFactor: 1, configs: {} }] })
  )
}

async function mirror(topic: string): Promise<Mirror> {
  const mirror = new Mirror({
    source: east.config(),
    target: west.config(),
    topics: topic,
    link: 'east-west',
    logger: silent
  })
  toClose.push({ close: () => mirror.stop() })
  await mirror.start()
  return mirror
}

async function eventually(check: () => boolean, timeoutMs = 20_000): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!check()) {
    if (Date.now() > end) throw new Error('did not become true in time')
    await sleep(25)
  }
}

/** A consumer that writes down what it handled, and a producer that numbers what it sends. */
async function worker(client: FailoverClient, topic: string, group: string) {
  const handled: string[] = []
  const sent: string[] = []
  const consumer = client.consumer({
    groupId: group,
    sessionTimeout: 6_000,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 100
  })
  const producer = client.producer()
  toClose.push({ close: () => consumer.disconnect() }, { close: () => producer.disconnect() })
  await Promise.all([consumer.connect(), producer.connect()])
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => void handled.push(message.value?.toString() ?? '') })
  return {
    handled,
    sent,
    async send(from: number, count: number) {
      for (let id = from; id < from + count; id++) {
        await producer.send({ topic, messages: [{ key: `k${id}`, value: `${id}` }] })
        sent.push(`${id}`)
      }
    }
  }
}

const sorted = (values: string[]) => [...values].sort((a, b) => Number(a) - Number(b))

describe('failover client', () => {
  it('keeps its control topic for ever and its heartbeats for an hour, on every cluster', async () => {
    await clientOf('topics', 'a')
    for (const cluster of [east, west]) {
      const admin = await adminOf(cluster)
      const resources = ['twinlog.control.internal', 'twinlog.presence.internal'].map(name => ({
        type: 'topic' as const,
        name
      }))
      const answer = await admin.send('any', describeConfigsRequest({ resources }))
      const configOf = (topic: string, key: string) =>
        answer.resources.find(r => r.name === topic)?.configs.find(c => c.name === key)?.value
      expect(configOf('twinlog.control.internal', 'retention.ms')).toBe('-1')
      expect(configOf('twinlog.control.internal', 'cleanup.policy')).toBe('delete')
      expect(configOf('twinlog.presence.internal', 'retention.ms')).toBe('3600000')
      expect(configOf('twinlog.presence.internal', 'message.timestamp.type')).toBe('LogAppendTime')
    }
  })

  it('refuses two aliases of one cluster before it writes anything', async () => {
    const client = new FailoverClient({ clusters: [east.config(), east.config('twin')], service: 's', logger: silent })
    await expect(client.connect()).rejects.toMatchObject({ code: 'TWINLOG_INVALID_OPTION' })
    expect(client.state).toBe('disconnected')
  })

  it('can be connected after a first attempt that found no cluster', async () => {
    const nobody = { alias: 'west', brokers: ['127.0.0.1:1'], connectionTimeout: 500, retry: { retries: 0 } }
    const brokers = ['127.0.0.1:1']
    const clusters = [{ ...east.config(), brokers: () => Promise.resolve(brokers) }, nobody]
    const client = new FailoverClient({ clusters, service: 'second-try', logger: silent })
    toClose.push({ close: () => client.disconnect() })
    await expect(client.connect()).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    expect(client.state).toBe('disconnected')
    brokers.splice(0, 1, ...east.bootstrap)
    await client.connect()
    expect([client.state, client.active]).toEqual(['steady', 'east'])
    const report = await client.preflight('west')
    expect(report.ok).toBe(false)
    expect(report.checks[0]).toMatchObject({ name: 'target', result: 'fail' })
    await expect(client.failover('west')).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    expect(client.state).toBe('steady')
  })

  it('plans a move without writing anything', async () => {
    await createTopic(east, 'planned')
    const copy = await mirror('planned')
    const client = await clientOf('planner', 'a', { topics: 'planned' })
    await copy.caughtUp({ timeoutMs: 20_000 })
    const evidence = await client.switchover('west', { dryRun: true })
    expect(evidence.outcome).toBe('planned')
    expect(evidence.epoch).toBe(0)
    expect(client.state).toBe('steady')
    expect(client.active).toBe('east')
    expect((await clientOf('planner', 'b')).active).toBe('east')
  })

  it('refuses failback, unknown clusters and the cluster it is on, and stays where it is', async () => {
    const client = await clientOf('refuser', 'a')
    await expect(client.failback('west')).rejects.toMatchObject({ code: 'TWINLOG_UNSUPPORTED' })
    await expect(client.switchover('north')).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
    await expect(client.failover('east')).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
    expect(client.state).toBe('steady')
  })

  it('switches two instances over: nothing handled twice, nothing missing, evidence on disk', async () => {
    await createTopic(east, 'orders')
    await mirror('orders')
    const [a, b] = [await clientOf('orders', 'a'), await clientOf('orders', 'b')]
    const [one, two] = [await worker(a, 'orders', 'orders-group'), await worker(b, 'orders', 'orders-group')]
    await Promise.all([one.send(0, 50), two.send(1000, 50)])
    await sleep(1_500)
    const moved: unknown[] = []
    b.on('moved', event => moved.push(event))
    const sending = Promise.all([one.send(100, 150), two.send(1100, 150)])
    sending.catch(() => undefined)
    const evidence = await a.switchover('west')
    await sending
    await one.send(300, 20)
    const sent = sorted([...one.sent, ...two.sent])
    await eventually(() => one.handled.length + two.handled.length >= sent.length)
    await sleep(500)
    expect(sorted([...one.handled, ...two.handled])).toEqual(sent)
    expect([a.active, b.active, a.state, b.state]).toEqual(['west', 'west', 'steady', 'steady'])
    expect(moved).toEqual([{ from: 'east', to: 'west', epoch: 1 }])
    expect(evidence).toMatchObject({
      outcome: 'moved',
      from: 'east',
      to: 'west',
      epoch: 1,
      ledger: { lost: [], inDoubt: [] }
    })
    expect(evidence.instances.answered.sort()).toEqual(['a', 'b'])
    expect(evidence.files).toHaveLength(2)
    expect(JSON.parse(readFileSync(evidence.files[0] as string, 'utf8'))).toMatchObject({
      rtoMs: evidence.rtoMs,
      epoch: 1
    })
    // Whoever comes later learns it from the clusters.
    expect((await clientOf('orders', 'c')).active).toBe('west')
  })

  it('aborts a switchover when an instance has died, and everybody works on the old cluster again', async () => {
    await createTopic(east, 'abort')
    await mirror('abort')
    const a = await clientOf('aborter', 'a')
    const one = await worker(a, 'abort', 'abort-group')
    await one.send(0, 10)
    // The heartbeat of an instance that never answers.
    const presence = new PresenceTopic(await adminOf(east))
    await presence.beat({ service: 'aborter', instance: 'ghost', epoch: 0, topics: [], groups: [] })
    await expect(a.switchover('west')).rejects.toMatchObject({
      code: 'TWINLOG_MOVE_ABORTED',
      message: expect.stringContaining('ghost') as string
    })
    expect([a.active, a.state]).toEqual(['east', 'steady'])
    await one.send(10, 10)
    await eventually(() => one.handled.length >= 20)
    expect(sorted(one.handled)).toEqual(sorted(one.sent))
  })

  it('aborts a switchover when a writer outside the SDK goes on, and says so', async () => {
    await createTopic(east, 'foreign')
    await mirror('foreign')
    const a = await clientOf('foreigner', 'a', { fleet: false })
    const one = await worker(a, 'foreign', 'foreign-group')
    await one.send(0, 10)
    const { kafka } = createKafka(east.config())
    const outside = kafka.producer()
    await outside.connect()
    let on = true
    const writing = (async () => {
      while (on) await outside.send({ topic: 'foreign', messages: [{ value: '-1' }] })
    })()
    try {
      await expect(a.switchover('west')).rejects.toMatchObject({
        code: 'TWINLOG_MOVE_ABORTED',
        message: expect.stringContaining('outside the SDK') as string
      })
    } finally {
      on = false
      await writing
      await outside.disconnect()
    }
    expect([a.active, a.state]).toEqual(['east', 'steady'])
    await one.send(10, 5)
    await eventually(() => one.handled.includes('14'))
    await a.switchover('west')
    expect(a.active).toBe('west')
  })

  it('goes back to work when the instance that drives a switchover dies in the middle', async () => {
    await createTopic(east, 'driverless')
    const b = await clientOf('driverless', 'b')
    const one = await worker(b, 'driverless', 'driverless-group')
    await one.send(0, 5)
    const states: string[] = []
    b.on('state', change => states.push(change.to))
    const control = new ControlTopic(await adminOf(west), 'driverless')
    const move = { type: 'move', kind: 'switchover', from: 'east', to: 'west' } as const
    const at = new Date().toISOString()
    await control.append([
      {
        ...move,
        service: 'driverless',
        epoch: 1,
        instance: 'ghost',
        at,
        instances: ['ghost', 'b'],
        topics: [],
        groups: []
      }
    ])
    await eventually(() => states.includes('draining'))
    const held = one.send(5, 5)
    await eventually(() => b.state === 'steady')
    await held
    await eventually(() => one.handled.length >= 10)
    expect(states).toEqual(['fencing', 'draining', 'steady'])
    await control.refresh()
    expect(control.view.moves.get(1)).toMatchObject({
      outcome: 'aborted',
      reason: expect.stringContaining('ghost') as string
    })
    expect(sorted(one.handled)).toEqual(sorted(one.sent))
  })

  it('says that a failover whose driver has died waits for somebody, and goes on when it is called again', async () => {
    await createTopic(east, 'orphan')
    const copy = await mirror('orphan')
    const b = await clientOf('orphan', 'b')
    const one = await worker(b, 'orphan', 'orphan-group')
    await one.send(0, 5)
    await copy.caughtUp({ timeoutMs: 20_000 })
    await eventually(() => one.handled.length >= 5)
    const errors: Error[] = []
    b.on('error', error => errors.push(error))
    const control = new ControlTopic(await adminOf(west), 'orphan')
    const move = { type: 'move', kind: 'failover', from: 'east', to: 'west' } as const
    const at = new Date().toISOString()
    const used = { instances: ['ghost', 'b'], topics: [], groups: [] }
    await control.append([{ ...move, ...used, service: 'orphan', epoch: 1, instance: 'ghost', at }])
    await eventually(() => b.state === 'draining')
    const held = one.send(5, 5)
    await eventually(() => errors.length > 0)
    expect(errors[0]?.message).toContain("calls failover('west')")
    const evidence = await b.failover('west')
    await held
    expect(evidence).toMatchObject({ outcome: 'moved', epoch: 2, ledger: { lost: [], inDoubt: [] } })
    await eventually(() => one.handled.length >= 10)
    expect(sorted(one.handled)).toEqual(sorted(one.sent))
    expect([b.active, b.state]).toEqual(['west', 'steady'])
  })

  it('lets a failover take the place of a switchover that does not get on', async () => {
    await createTopic(east, 'stuck')
    const copy = await mirror('stuck')
    const a = await clientOf('stuck', 'a')
    const one = await worker(a, 'stuck', 'stuck-group')
    await one.send(0, 20)
    await copy.caughtUp({ timeoutMs: 20_000 })
    await eventually(() => one.handled.length >= 20)
    copy.pause()
    await one.send(20, 7)
    const planned = a.switchover('west')
    planned.catch(() => undefined)
    await eventually(() => a.state === 'draining')
    const evidence = await a.failover('west')
    await expect(planned).rejects.toMatchObject({ code: 'TWINLOG_MOVE_ABORTED' })
    expect(evidence).toMatchObject({ outcome: 'moved', epoch: 2 })
    expect(evidence.ledger.lost.reduce((sum, range) => sum + range.count, 0)).toBe(7)
    await one.send(30, 10)
    await eventually(() => one.handled.includes('39'))
    expect([a.active, a.state]).toEqual(['west', 'steady'])
  })

  it('names the open transaction when a switchover can not catch up because of it', async () => {
    await createTopic(east, 'hanging', 1)
    await mirror('hanging')
    const a = await clientOf('hanging', 'a', { topics: 'hanging', fleet: false })
    const { kafka } = createKafka(east.config())
    const producer = kafka.producer({ transactionalId: 'forgotten', maxInFlightRequests: 1, idempotent: true })
    await producer.connect()
    const transaction = await producer.transaction()
    await transaction.send({ topic: 'hanging', messages: [{ value: 'never committed' }] })
    try {
      await expect(a.switchover('west', { timeoutMs: 2_000 })).rejects.toMatchObject({
        code: 'TWINLOG_NOT_CAUGHT_UP',
        message: expect.stringMatching(/producer id \d+ in hanging-0 since offset 0/) as string
      })
    } finally {
      await transaction.abort()
      await producer.disconnect()
    }
    expect([a.active, a.state]).toEqual(['east', 'steady'])
    expect((await a.switchover('west')).outcome).toBe('moved')
  })

  it('fails over from a cluster that hangs: connections stay open and nothing answers', async () => {
    await createTopic(east, 'frozen')
    const copy = await mirror('frozen')
    const a = await clientOf('frozen', 'a')
    const one = await worker(a, 'frozen', 'frozen-group')
    await one.send(0, 40)
    await copy.caughtUp({ timeoutMs: 20_000 })
    await eventually(() => one.handled.length >= 40)
    east.brokers[0]?.freeze()
    try {
      const unanswered = one.send(40, 1)
      unanswered.catch(() => undefined)
      await sleep(300)
      const evidence = await a.failover('west')
      await expect(unanswered).rejects.toMatchObject({ code: 'TWINLOG_SEND_IN_DOUBT', retriable: false })
      expect(evidence.ledger.lost).toEqual([])
      expect(evidence.ledger.inDoubt).toMatchObject([{ topic: 'frozen', count: 1, instanceId: 'a', keys: ['k40'] }])
      await one.send(50, 10)
      await eventually(() => one.handled.length >= 50)
      expect(new Set(one.handled).size).toBe(one.handled.length)
      expect(a.state).toBe('steady')
    } finally {
      east.brokers[0]?.thaw()
    }
    // What the thawed cluster learns: where the service works now.
    await eventually(() => a.state === 'steady')
    await sleep(3_000)
    expect((await clientOf('frozen', 'b')).active).toBe('west')
  })

  it('fails over when the cluster is killed: nothing handled twice, the ledger names exactly what is not there', async () => {
    await createTopic(east, 'payments')
    const copy = await mirror('payments')
    const a = await clientOf('payments', 'a')
    const one = await worker(a, 'payments', 'payments-group')
    await one.send(0, 60)
    await copy.caughtUp({ timeoutMs: 20_000 })
    await eventually(() => one.handled.length >= 60)
    copy.pause()
    await one.send(60, 15)
    // What a producer leaves behind when it disconnects counts once, also when it is used again.
    const short = a.producer()
    toClose.push({ close: () => short.disconnect() })
    await short.connect()
    await short.send({ topic: 'payments', messages: [{ value: '75' }, { value: '76' }] })
    await short.disconnect()
    await short.connect()
    await east.brokers[0]?.kill()
    const evidence = await a.failover('west', { reason: 'east is dead' })
    expect(a.active).toBe('west')
    expect(evidence).toMatchObject({ kind: 'failover', outcome: 'moved', reason: 'east is dead' })
    expect(evidence.ledger.lost.reduce((sum, range) => sum + range.count, 0)).toBe(17)
    expect(evidence.rtoMs).toBeLessThan(5_000)
    // A new instance finds the way with the old cluster dead.
    const late = await clientOf('payments', 'late')
    expect([late.active, late.state]).toEqual(['west', 'steady'])
    await one.send(100, 20)
    await eventually(
      () => one.handled.length >= 80 + one.handled.filter(id => Number(id) >= 60 && Number(id) < 100).length
    )
    expect(new Set(one.handled).size).toBe(one.handled.length)
    expect(sorted(one.handled.filter(id => Number(id) < 60 || Number(id) >= 100))).toEqual(
      sorted(one.sent.filter(id => Number(id) < 60 || Number(id) >= 100))
    )
    const other = await clientOf('never-moved', 'x')
    expect([other.active, other.state]).toEqual(['east', 'degraded'])
    await expect(other.switchover('west')).rejects.toMatchObject({ code: 'TWINLOG_INVALID_STATE' })
    expect(other.state).toBe('degraded')
  })
})
