import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { ClusterClient } from '../../../src/kafka/cluster.js'
import type { Logger } from '../../../src/logger.js'
import type { EngineLane } from '../../../src/mirror/fetched-lane.js'
import { LaneRouter } from '../../../src/mirror/lane-router.js'
import { NearReplicas } from '../../../src/mirror/near-replicas.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { records } from '../lineage/fake-partition.js'
import { FakeLane } from './fake-lane.js'
import { SessionBroker } from './session-broker.js'

const logger: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** Reads for real, and has nothing to send. */
class RoutedLane extends FakeLane implements EngineLane {
  readonly target = { topic: 'copy', topicId: '', partition: 0 }
  readonly settled = true
  peeks = 0
  peek(): undefined {
    this.peeks += 1
    return undefined
  }
  take(): never {
    throw new Error('nothing to take')
  }
  answered(): void {}
  unanswered(): void {}
  unreachable(): void {}
  connectionChanged(): void {}
}

let broker: SessionBroker
let router: LaneRouter<RoutedLane>
const lost: number[] = []

function open(rackId?: string): void {
  broker = new SessionBroker()
  lost.length = 0
  router = new LaneRouter<RoutedLane>({
    source: broker.client,
    target: { alias: 'west', leaderOf: () => ({ nodeId: 5, leaderEpoch: 0 }) } as unknown as ClusterClient,
    logger,
    isolation: 'read_committed',
    limits: { bytesInFlight: 64 << 20, bytesPerSecond: undefined, priorities: {} },
    rackId,
    onSourceLost: nodeId => lost.push(nodeId)
  })
}

function add(topic: string): RoutedLane {
  const topicId = [...broker.names].find(([, name]) => name === topic)?.[0] ?? broker.add(topic)
  const lane = new RoutedLane(topic, topicId, 0, router.budget)
  lane.kick = () => router.kick(lane)
  expect(router.place(lane)).toBe(true)
  return lane
}

function write(lane: RoutedLane): void {
  broker.logs.get(`${lane.source.topicId}/0`)?.append(encodeBatch({ records: records(['x']) }))
}

const copied = (lane: RoutedLane, position: bigint) =>
  vi.waitFor(() => expect(lane.position).toBe(position), { timeout: 5_000, interval: 5 })
const nodeOf = (lane: RoutedLane) => [0, 1, 2, 3].find(nodeId => router.lanesFetchedFrom(nodeId).includes(lane))

beforeEach(() => open())
afterEach(async () => {
  await router.stopFetching()
  router.stopAppending()
})

describe('where lanes are read and written', () => {
  it('is with the leaders, and moves with them', async () => {
    const lane = add('orders')
    write(lane)
    await copied(lane, 1n)
    expect([nodeOf(lane), router.lanesAppendedTo(5)]).toEqual([0, [lane]])
    broker.leaders.set(`${lane.source.topicId}/0`, 2)
    router.placeSource(lane)
    write(lane)
    await copied(lane, 2n)
    expect(nodeOf(lane)).toBe(2)
    broker.leaders.set(`${lane.source.topicId}/0`, -1)
    expect([router.place(lane), router.placeSource(lane)]).toEqual([false, false])
  })

  it('is nowhere once the lane was removed', async () => {
    const lane = add('orders')
    router.remove(lane)
    write(lane)
    router.kick(lane)
    expect([nodeOf(lane), router.lanesAppendedTo(5), lane.position]).toEqual([undefined, [], 0n])
  })

  it('lets two lanes read the same partition at positions of their own', async () => {
    const [first, second] = [add('orders'), add('orders')]
    second.quick = false
    second.room = 1
    for (let batch = 0; batch < 3; batch++) write(first)
    await copied(first, 3n)
    await vi.waitFor(() => expect(second.position).toBeGreaterThan(0n), { timeout: 5_000, interval: 5 })
    second.quick = true
    second.acknowledge()
    await copied(second, 3n)
  })

  it('wakes only the lane that was kicked', async () => {
    const lanes = Array.from({ length: 50 }, (_none, index) => add(`topic-${index}`))
    await new Promise(resolve => setTimeout(resolve, 20))
    for (const lane of lanes) lane.peeks = 0
    router.kick(lanes[7] as RoutedLane)
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(lanes.filter(({ peeks }) => peeks > 0)).toEqual([lanes[7]])
  })

  it('gives names such as constructor the usual priority', async () => {
    const lane = add('constructor')
    write(lane)
    await copied(lane, 1n)
  })
})

describe('reading from a replica nearby', () => {
  beforeEach(async () => {
    await router.stopFetching()
    open('rack-a')
  })

  /** Node 0 leads and sends readers with a rack to node 1. */
  function advise(to: number): void {
    broker.override = (_key, nodeId, seen) =>
      nodeId === 0 && seen.rackId === 'rack-a' ? { preferredReadReplica: to, records: Buffer.alloc(0) } : undefined
  }

  it('follows the advice of the leader, who is asked with the rack', async () => {
    advise(1)
    const lane = add('orders')
    write(lane)
    await copied(lane, 1n)
    expect(nodeOf(lane)).toBe(1)
    expect(broker.requests[0]).toMatchObject({ nodeId: 0, rackId: 'rack-a' })
    // Recovered in the meantime: the advice stands.
    router.place(lane)
    expect(nodeOf(lane)).toBe(1)
  })

  it.each([1, 3, 5, 6, 74, 75, 78])(
    'goes back to the leader on error %i, which the lane does not hear of',
    async error => {
      advise(1)
      const lane = add('orders')
      write(lane)
      await copied(lane, 1n)
      const { override } = broker
      broker.override = (key, nodeId, seen) =>
        nodeId === 1 ? { errorCode: error, records: Buffer.alloc(0) } : override?.(key, nodeId, seen)
      write(lane)
      await copied(lane, 2n)
      expect(nodeOf(lane)).toBe(0)
      expect(broker.requests.filter(({ nodeId }) => nodeId === 0).at(-1)?.rackId).toBe('')
      expect(lane.answers.filter(({ errorCode }) => errorCode !== 0)).toEqual([])
    }
  )

  it('goes back to the leader when the replica is lost', async () => {
    advise(1)
    const lane = add('orders')
    write(lane)
    await copied(lane, 1n)
    const { openConnection } = broker
    broker.openConnection = (nodeId, o) =>
      nodeId === 1 ? Promise.reject(new Error('refused')) : openConnection.call(broker, nodeId, o)
    broker.failNext = -1
    write(lane)
    await copied(lane, 2n)
    expect(nodeOf(lane)).toBe(0)
    expect(lost).toContain(1)
  })

  it('advice is forgotten after five minutes, a first refusal after five seconds', () => {
    vi.useFakeTimers()
    try {
      const near = new NearReplicas()
      const ended: string[] = []
      const [lane, other] = [{}, {}]
      near.follow(lane, 1, Date.now(), () => ended.push('advice'))
      near.refuse(other, Date.now(), () => ended.push('refusal'))
      expect([near.of(lane, 0), near.of(lane, 1), near.follows(lane)]).toEqual([1, undefined, true])
      expect([near.of(other, 0), near.mayAsk(other), near.follows(other)]).toEqual([undefined, false, false])
      vi.advanceTimersByTime(5_001)
      expect([near.mayAsk(other), ended]).toEqual([true, ['refusal']])
      vi.advanceTimersByTime(294_000)
      expect([near.follows(lane), ended]).toEqual([true, ['refusal']])
      vi.advanceTimersByTime(1_000)
      expect([near.follows(lane), ended]).toEqual([false, ['refusal', 'advice']])
    } finally {
      vi.useRealTimers()
    }
  })

  it('is asked for less and less often while replicas fail, up to every five minutes, and soon again after one that was good', () => {
    vi.useFakeTimers()
    try {
      const near = new NearReplicas()
      const lane = {}
      const refusedFor = () => {
        let asks = false
        near.refuse(lane, Date.now(), () => {
          asks = true
        })
        const since = Date.now()
        while (!asks) vi.advanceTimersByTime(1_000)
        return (Date.now() - since) / 1_000
      }
      const follow = (seconds: number) => {
        near.follow(lane, 1, Date.now(), () => undefined)
        vi.advanceTimersByTime(seconds * 1_000)
      }
      const pauses = Array.from({ length: 8 }, () => {
        follow(1)
        return refusedFor()
      })
      expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 300, 300])
      follow(61)
      expect(refusedFor()).toBe(5)
      near.forget(lane)
      expect(refusedFor()).toBe(5)
    } finally {
      vi.useRealTimers()
    }
  })
})
