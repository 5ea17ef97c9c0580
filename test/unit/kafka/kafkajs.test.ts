import { createRequire } from 'node:module'
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js'
import { describe, expect, it, vi } from 'vitest'
import { cureIdleTimer, type KafkajsCluster, type KafkajsRequestQueue } from '../../../src/kafka/internals.js'
import { createKafka } from '../../../src/kafka/kafkajs.js'
import { fakeBroker } from './fake-broker.js'

const require = createRequire(import.meta.url)
const config = { alias: 'east', brokers: ['[::1]:9', '127.0.0.1:10'], logLevel: 0 }

const quiet = { debug: () => undefined }
const newQueue = () =>
  new RequestQueue({ requestTimeout: 1000, enforceRequestTimeout: false, clientId: 'c', broker: 'b', logger: quiet })

/** How often the queue's timer fires in a while, after the first answer has set it going. */
async function ticks(queue: KafkajsRequestQueue, ms: number): Promise<number> {
  const check = queue.checkPendingRequests.bind(queue)
  let count = -1
  queue.checkPendingRequests = () => {
    count++
    check()
  }
  queue.checkPendingRequests()
  await new Promise(resolve => setTimeout(resolve, ms))
  queue.destroy()
  return count
}

/** The clusters that a kafkajs consumer, producer or admin of ours gets. */
function clusterOf(over: Partial<Parameters<typeof createKafka>[0]> = {}): KafkajsCluster {
  const clusters: KafkajsCluster[] = []
  const { kafka } = createKafka({ ...config, ...over }, { onCluster: cluster => clusters.push(cluster) })
  kafka.admin()
  expect(clusters).toHaveLength(1)
  return clusters[0] as KafkajsCluster
}

describe('the kafkajs internals that we rely on', () => {
  it('are those of 2.2.4', () => {
    const { version } = require('kafkajs/package.json') as { version: string }
    expect(version).toBe('2.2.4')
  })

  it('a Cluster has one pool builder, shared with its broker pool, and what the consumer wrapper intercepts', () => {
    const cluster = clusterOf()
    expect(cluster.brokerPool.connectionPoolBuilder).toBe(cluster.connectionPoolBuilder)
    for (const method of ['findGroupCoordinator', 'findBroker', 'removeBroker', 'refreshMetadata']) {
      expect(typeof (cluster as unknown as Record<string, unknown>)[method], method).toBe('function')
    }
  })

  it('each producer, consumer and admin gets a Cluster of its own, and every one is seen', () => {
    const clusters = new Set<KafkajsCluster>()
    const { kafka } = createKafka(config, { onCluster: cluster => clusters.add(cluster) })
    kafka.admin()
    kafka.consumer({ groupId: 'g' })
    kafka.producer({ createPartitioner: () => () => 0 })
    expect(clusters.size).toBe(3)
  })

  it('a missing internal is an error that names it', async () => {
    const { interceptClusters, interceptPools, cureIdleTimers } = await import('../../../src/kafka/internals.js')
    const broken = { code: 'TWINLOG_INTERNAL' }
    const thrown = (call: () => void) => {
      try {
        call()
      } catch (error) {
        return error
      }
      return undefined
    }
    const nothing = {} as never
    expect(thrown(() => interceptClusters(nothing, () => undefined))).toMatchObject(broken)
    expect(thrown(() => interceptPools(nothing, nothing, nothing))).toMatchObject(broken)
    expect(thrown(() => cureIdleTimers(nothing))).toMatchObject(broken)
    expect(thrown(() => cureIdleTimer(nothing))).toMatchObject(broken)
  })
})

describe('the idle timer', () => {
  it('fires hundreds of times a second on an idle queue of kafkajs and hardly ever on a cured one', async () => {
    const uncured = newQueue()
    const cured = newQueue()
    cureIdleTimer(cured)
    const [before, after] = await Promise.all([ticks(uncured, 1000), ticks(cured, 1000)])
    expect(before).toBeGreaterThan(100)
    expect(after).toBeLessThanOrEqual(3)
  })

  it('the prototype is untouched', () => {
    const { prototype } = RequestQueue as unknown as { prototype: KafkajsRequestQueue }
    const original = prototype.scheduleCheckPendingRequests
    const cured = newQueue()
    cureIdleTimer(cured)
    expect(prototype.scheduleCheckPendingRequests).toBe(original)
    expect(newQueue().scheduleCheckPendingRequests).toBe(original)
    expect(cured.scheduleCheckPendingRequests).not.toBe(original)
  })

  it('a cured queue still sends what a throttle held back', async () => {
    const queue = newQueue() as KafkajsRequestQueue & { push(request: object): void; maybeThrottle(ms: number): void }
    cureIdleTimer(queue)
    queue.maybeThrottle(50)
    const sendRequest = vi.fn()
    queue.push({
      entry: { correlationId: 1, apiKey: 1, apiName: 'X', apiVersion: 0 },
      expectResponse: true,
      sendRequest
    })
    expect(sendRequest).not.toHaveBeenCalled()
    await expect.poll(() => sendRequest.mock.calls.length).toBe(1)
    queue.destroy()
  })

  it('is cured on both connections of every pool of a cluster of ours, seeds with IPv6 addresses included', async () => {
    const cluster = clusterOf()
    const seeds = [await cluster.connectionPoolBuilder.build(), await cluster.connectionPoolBuilder.build()]
    expect(seeds).toMatchObject([
      { host: '::1', port: 9 },
      { host: '127.0.0.1', port: 10 }
    ])
    const known = await cluster.connectionPoolBuilder.build({ host: 'kafka-3', port: 9092 })
    expect(known).toMatchObject({ host: 'kafka-3', port: 9092 })
    for (const pool of [...seeds, known]) {
      expect(pool.pool).toHaveLength(2)
      for (const { requestQueue } of pool.pool) {
        expect(Object.hasOwn(requestQueue, 'scheduleCheckPendingRequests')).toBe(true)
      }
    }
  })
})

describe('sockets and secrets', () => {
  it('all sockets are destroyed at once with an error, and none can be opened afterwards', async () => {
    const broker = await fakeBroker(() => undefined)
    const sockets: { destroyed: boolean }[] = []
    const { createConnection } = await import('node:net')
    const { kafka, destroySockets } = createKafka({
      ...config,
      brokers: [`${broker.host}:${broker.port}`],
      retry: { retries: 0 },
      socketFactory: ({ host, port, onConnect }) => {
        const socket = createConnection({ host, port }, onConnect)
        sockets.push(socket)
        return socket
      }
    })
    const connecting = kafka.admin({ retry: { retries: 0 } }).connect()
    await expect.poll(() => broker.connections.length).toBe(1)
    destroySockets({ refuseNew: true })
    await expect(connecting).rejects.toThrow(/cut|connection/i)
    expect(sockets.every(({ destroyed }) => destroyed)).toBe(true)
    await expect(kafka.admin({ retry: { retries: 0 } }).connect()).rejects.toThrow(/cut this client off/)
    expect(sockets).toHaveLength(1)
    await broker.stop()
  })

  it("the user's config is not written to", () => {
    const sasl = { mechanism: 'plain' as const, username: 'u', password: 'p' }
    const mine = Object.freeze({ ...config, sasl: Object.freeze(sasl) })
    expect(() => createKafka(mine).kafka.admin()).not.toThrow()
  })

  it('warnings of kafkajs go to our logger', () => {
    const lines: string[] = []
    const log = (_fields: object, message: string) => void lines.push(message)
    const { logLevel: _logLevel, ...loud } = config
    const { kafka } = createKafka(loud, { logger: { debug: log, info: log, warn: log, error: log } })
    kafka.logger().warn('look out')
    kafka.logger().info('never mind')
    expect(lines).toEqual(['kafkajs: look out'])
  })
})
