import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LinkState, stateTopicName } from '../../../src/lineage/link-state.js'
import type { ApiRequest, ClusterMetadata } from '../../../src/kafka/types.js'
import type { Logger } from '../../../src/logger.js'
import type { Lane } from '../../../src/mirror/lane.js'
import { planDigest } from '../../../src/mirror/lane-guard.js'
import { LaneManager } from '../../../src/mirror/lane-manager.js'
import type { LinkBinding } from '../../../src/mirror/link-session.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { birth } from '../lineage/births.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { type FakePartition, records } from '../lineage/fake-partition.js'

const LINK = 'east-west'
const LINK_ID = 70n
const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const UNKNOWN_TOPIC_ID = 100

/** Topics of it can lose their leader, be deleted or be compacted. */
class FrailCluster extends FakeCluster {
  readonly leaderless = new Set<string>()
  readonly deleted = new Set<string>()
  cleanupPolicy = 'delete'

  override leaderOf(topic = ''): { nodeId: number; leaderEpoch: number } {
    return { nodeId: this.leaderless.has(topic) ? -1 : 0, leaderEpoch: 0 }
  }

  override async metadata(): Promise<ClusterMetadata> {
    const metadata = await super.metadata()
    for (const topic of this.deleted) metadata.topics.delete(topic)
    return metadata
  }

  override async handle<T>(request: ApiRequest<T>): Promise<T> {
    if (request.apiName === 'DescribeConfigs') {
      const configs = [
        { name: 'cleanup.policy', value: this.cleanupPolicy, readOnly: false, source: 1, sensitive: false }
      ]
      return { resources: [{ type: 'topic', name: 'orders', errorCode: 0, errorMessage: null, configs }] } as T
    }
    const answer = await super.handle(request)
    if (request.apiName === 'Fetch' && this.deleted.size > 0) {
      const { partitions } = answer as { partitions: { topic: string; errorCode: number; records: Buffer }[] }
      for (const result of partitions) {
        if (!this.deleted.has(result.topic)) continue
        result.errorCode = UNKNOWN_TOPIC_ID
        result.records = Buffer.alloc(0)
      }
    }
    return answer
  }
}

/** One process between two clusters; its lanes were born earlier. */
class Bench {
  readonly east = new FrailCluster('east')
  readonly west = new FrailCluster('west')
  state!: LinkState
  manager!: LaneManager

  static async open(...topics: string[]): Promise<Bench> {
    const bench = new Bench()
    bench.west.createTopic(stateTopicName(LINK), 16)
    for (const topic of topics) for (const cluster of [bench.east, bench.west]) cluster.createTopic(topic)
    const { west, east } = bench
    bench.state = (await LinkState.open({
      cluster: west.client,
      link: LINK,
      logger: SILENT,
      create: false
    })) as LinkState
    for (const topic of topics) {
      const place = bench.spec(topic).source
      const lane = {
        sourceTopicId: place.topicId,
        sourcePartition: 0,
        targetTopicId: place.topicId,
        targetPartition: 0
      }
      const digest = planDigest({ isolation: 'read_committed', transform: null })
      const entry = { ...lane, sourceTopic: topic, targetTopic: topic, planDigest: digest, producerId: LINK_ID }
      await bench.state.decideBirth(lane, birth(entry))
    }
    const session = { state: bench.state, producerId: LINK_ID, producerIdExpirationMs: 86_400_000 }
    bench.manager = new LaneManager({
      source: east.client,
      target: west.client,
      link: { session } as LinkBinding,
      logger: SILENT,
      events: { stateChanged: () => undefined, gap: () => undefined }
    })
    return bench
  }

  spec(topic: string) {
    const place = { topic, topicId: this.east.topics.get(topic)?.id ?? '', partition: 0 }
    return { source: place, target: place, maxBatchBytes: 1_000_000 }
  }

  lane(topic: string): Lane {
    const found = [...this.manager.lanes.values()].find(lane => lane.source.topic === topic)
    if (!found) throw new Error(`no lane of ${topic}`)
    return found
  }

  write(topic: string, ...values: string[]): void {
    this.east.partition(topic).append(encodeBatch({ records: records(values) }))
  }

  async copied(topic: string, count: bigint): Promise<void> {
    await vi.waitFor(() => expect(this.target(topic).end).toBe(count), { timeout: 3_000 })
  }

  target(topic: string): FakePartition {
    return this.west.partition(topic)
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
/** Lanes judge by the clock what is blocked; everything else goes on in real time. */
const pass = (ms: number) => vi.setSystemTime(Date.now() + ms)

let bench: Bench
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'], now: Date.now() }))
afterEach(async () => {
  vi.useRealTimers()
  for (const cluster of [bench.east, bench.west]) cluster.before = cluster.after = () => undefined
  await bench.manager.stop(100)
})

describe('a lane that cannot start', () => {
  it('keeps nobody waiting: the others copy, it says why, and it copies once it can', async () => {
    bench = await Bench.open('orders', 'orphan')
    bench.west.leaderless.add('orphan')
    for (const topic of ['orders', 'orphan']) bench.write(topic, 'a', 'b')
    let added = false
    const adding = bench.manager.add([bench.spec('orphan'), bench.spec('orders')]).then(() => (added = true))
    await bench.copied('orders', 2n)
    expect([added, bench.lane('orphan').state]).toEqual([false, 'starting'])
    pass(4_000)
    await adding
    expect(bench.lane('orphan').status()).toMatchObject({ state: 'waiting', why: expect.stringContaining('no leader') })
    bench.west.leaderless.clear()
    await bench.copied('orphan', 2n)
  })

  it('does not hold up a stop', async () => {
    bench = await Bench.open('orders')
    bench.west.leaderless.add('orders')
    void bench.manager.add([bench.spec('orders')])
    await sleep(100)
    pass(4_000)
    await vi.waitFor(() => expect(bench.lane('orders').state).toBe('waiting'), { timeout: 3_000 })
    const stopped = bench.manager.stop(1_000)
    expect(await Promise.race([stopped.then(() => 'stopped'), sleep(1_000)])).toBe('stopped')
    expect(bench.lane('orders').state).toBe('stopped')
  })

  it('does not hold up a stop either while a broker is silent', async () => {
    bench = await Bench.open('orders')
    let asked = 0
    bench.west.before = apiName =>
      apiName === 'DescribeProducers' && asked++ === 0 ? new Promise(() => undefined) : undefined
    void bench.manager.add([bench.spec('orders')])
    await vi.waitFor(() => expect(asked).toBe(1))
    const stopped = bench.manager.stop(1_000)
    expect(await Promise.race([stopped.then(() => 'stopped'), sleep(1_000)])).toBe('stopped')
  })

  it('keeps nobody waiting while a broker is silent', async () => {
    bench = await Bench.open('orders')
    bench.west.before = apiName => (apiName === 'DescribeProducers' ? new Promise(() => undefined) : undefined)
    const added = bench.manager.add([bench.spec('orders')]).then(() => 'added')
    expect(await Promise.race([added, sleep(5_000)])).toBe('added')
    expect(bench.lane('orders').state).toBe('waiting')
    expect(bench.lane('orders').error?.code).toBe('TWINLOG_TIMEOUT')
  })

  it.each([false, true])('because nobody leads its source copies later (paused: %s)', async paused => {
    bench = await Bench.open('orders')
    bench.east.leaderless.add('orders')
    bench.write('orders', 'a', 'b')
    const adding = bench.manager.add([{ ...bench.spec('orders'), paused }])
    await sleep(50)
    pass(4_000)
    await adding
    expect(bench.lane('orders').status()).toMatchObject({ state: 'waiting', why: expect.stringContaining('no leader') })
    bench.east.leaderless.clear()
    const begun = () => ['paused', 'copying', 'caught-up'].includes(bench.lane('orders').state)
    await vi.waitFor(() => expect(begun()).toBe(true), { timeout: 3_000 })
    if (paused) bench.lane('orders').resume()
    await bench.copied('orders', 2n)
  })

  it('because its leader is gone again when it begins copies later too', async () => {
    bench = await Bench.open('orders')
    bench.write('orders', 'a', 'b')
    // Known while the lane is started, gone when it is to be put with its leaders.
    let answers = 0
    bench.east.leaderOf = () => ({ nodeId: ++answers === 2 ? -1 : 0, leaderEpoch: 0 })
    await bench.manager.add([{ ...bench.spec('orders'), paused: true }])
    await sleep(200)
    bench.lane('orders').resume()
    await bench.copied('orders', 2n)
    expect(answers).toBeGreaterThan(2)
  })

  it('does not ask the clusters as fast as it can meanwhile', async () => {
    bench = await Bench.open('orders')
    bench.east.leaderless.add('orders')
    let asked = 0
    bench.west.before = apiName => void (apiName === 'DescribeProducers' && asked++)
    void bench.manager.add([bench.spec('orders')])
    await sleep(1_000)
    expect(asked).toBeGreaterThan(1)
    expect(asked).toBeLessThan(12)
  })
})

describe('checkpoints', () => {
  it('do not queue up in an outage: one is being written, all others share the next one', async () => {
    bench = await Bench.open('orders')
    await bench.manager.add([bench.spec('orders')])
    let resume: () => void = () => undefined
    const outage = new Promise<void>(resolve => (resume = resolve))
    let writes = 0
    bench.west.before = apiName => {
      if (apiName !== 'Produce') return
      writes++
      return outage
    }
    const runs = new Set<Promise<void>>()
    for (let time = 0; time < 20; time++) {
      bench.lane('orders').markDirty()
      runs.add(bench.manager.writeCheckpoints())
      await sleep(5)
    }
    expect([runs.size, writes]).toEqual([2, 1])
    resume()
    await Promise.all(runs)
    expect(writes).toBe(2)
  })

  it('of a lane that fails with batches unsent stay where the target is', async () => {
    bench = await Bench.open('orders')
    await bench.manager.add([bench.spec('orders')])
    bench.write('orders', 'a', 'b')
    await bench.copied('orders', 2n)
    // What comes next waits for its gap to be written, and the lane fails before it is.
    let resume: () => void = () => undefined
    const outage = new Promise<void>(resolve => (resume = resolve))
    bench.west.before = apiName => (apiName === 'Produce' ? outage : undefined)
    bench.east.partition('orders').end += 3n
    bench.write('orders', 'c', 'd')
    await vi.waitFor(() => expect(bench.lane('orders').bytes).toBeGreaterThan(0))
    bench.east.deleted.add('orders')
    bench.east.createTopic('orders-again')
    const recreated = bench.east.topics.get('orders-again')
    const original = bench.east.metadata.bind(bench.east)
    bench.east.metadata = async () => {
      const metadata = await original()
      const again = metadata.topics.get('orders-again')
      if (again && recreated) metadata.topics.set('orders', { ...again, name: 'orders' })
      return metadata
    }
    await vi.waitFor(() => expect(bench.lane('orders').state).toBe('failed'), { timeout: 3_000 })
    resume()
    bench.lane('orders').markDirty()
    await bench.manager.writeCheckpoints()
    const state = await bench.state.refreshLane(bench.lane('orders').key)
    expect(state?.checkpoint).toMatchObject({ next: 2n, targetEnd: 2n, reached: 2n })
  })
})

describe('a source topic', () => {
  it('that is deleted shows as waiting with TWINLOG_UNKNOWN_TOPIC', async () => {
    bench = await Bench.open('orders')
    await bench.manager.add([bench.spec('orders')])
    bench.write('orders', 'a', 'b')
    await bench.copied('orders', 2n)
    bench.east.deleted.add('orders')
    await vi.waitFor(() => expect(bench.lane('orders').state).toBe('starting'), { timeout: 3_000 })
    await sleep(100)
    pass(4_000)
    await vi.waitFor(() => expect(bench.lane('orders').state).toBe('waiting'), { timeout: 3_000 })
    expect(bench.lane('orders').error?.code).toBe('TWINLOG_UNKNOWN_TOPIC')
  })

  it('whose compaction is switched on while it is copied fails its lane at the next hole', async () => {
    bench = await Bench.open('orders')
    await bench.manager.add([bench.spec('orders')])
    const log = bench.east.partition('orders')
    log.end += 3n
    bench.write('orders', 'a', 'b')
    await bench.copied('orders', 2n)
    bench.east.cleanupPolicy = 'compact,delete'
    pass(31_000)
    bench.write('orders', 'c')
    await bench.copied('orders', 3n)
    log.end += 2n
    bench.write('orders', 'd')
    await vi.waitFor(() => expect(bench.lane('orders').state).toBe('failed'), { timeout: 3_000 })
    expect(bench.lane('orders').error?.code).toBe('TWINLOG_UNSUPPORTED')
    expect(bench.target('orders').end).toBe(3n)
  })
})
