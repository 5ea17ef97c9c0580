import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TwinlogError } from '../../src/errors.js'
import { ClusterClient } from '../../src/kafka/cluster.js'
import { createTopicsRequest } from '../../src/kafka/requests/create-topics.js'
import { produceRequest } from '../../src/kafka/requests/produce.js'
import { Mirror } from '../../src/mirror/mirror.js'
import { loadCodec } from '../../src/records/compression.js'
import { encodeBatch } from '../../src/records/encode.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { type Proxy, startProxy } from '../support/proxy.js'
import { silent } from './bed.js'

let east: KafkaCluster
let west: KafkaCluster
let oracle: Oracle
let source: ClusterClient
const proxies: Proxy[] = []

// Both sides behind proxies, so that connections break with megabytes under way.
const behindProxy = async (_index: number, port: number) => {
  const proxy = await startProxy({ target: { host: '127.0.0.1', port } })
  proxies.push(proxy)
  return { host: proxy.host, port: proxy.port }
}

beforeAll(async () => {
  ;[east, west, oracle] = await Promise.all([
    startKafka({ name: 'east', advertised: behindProxy }),
    startKafka({ name: 'west', advertised: behindProxy }),
    startOracle()
  ])
  source = new ClusterClient(east.config(), { logger: silent })
  await source.connect()
})

afterAll(async () => {
  source?.destroy()
  await Promise.all([oracle?.close(), east?.stop(), west?.stop(), ...proxies.map(proxy => proxy.close())])
})

const PARTITIONS = 4

/** Big batches, and now and then small ones that are put together: answers of several MB, each record unlike any other. */
async function load(topic: string, megabytes: number, compression: 'none' | 'lz4'): Promise<number> {
  await loadCodec(compression)
  const wanted = { name: topic, partitions: PARTITIONS, replicationFactor: 1, configs: {} }
  const created = await source.send('controller', createTopicsRequest({ timeoutMs: 10_000, topics: [wanted] }))
  const topicId = created.topics[0]?.topicId ?? ''
  await source.metadata({ topics: [topic] })
  const connection = await source.openConnection(1)
  let id = 0
  const batch = (count: number) => {
    const timestamp = BigInt(Date.now())
    const records = Array.from({ length: count }, (_, index) => ({
      offset: BigInt(index),
      timestamp,
      key: null,
      value: Buffer.from(`${id++} ${Math.random()} `.padEnd(200, 'x')),
      headers: []
    }))
    return encodeBatch({ records, compression })
  }
  for (let round = 0; id * 200 < megabytes * 1e6; round++) {
    const count = round % 5 === 4 ? 20 : 3_000
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, records: batch(count) }))
    const answer = await connection.send(
      produceRequest({ acks: -1, timeoutMs: 10_000, topics: [{ topic, topicId, partitions }] })
    )
    expect(answer.partitions.map(({ errorCode }) => errorCode)).toEqual([0, 0, 0, 0])
  }
  await connection.close()
  return id
}

/** A control connection that breaks under the question is the caller's to repeat. */
async function caughtUp(mirror: Mirror): Promise<void> {
  for (const deadline = Date.now() + 90_000; ; ) {
    try {
      await mirror.caughtUp({ timeoutMs: deadline - Date.now() })
      return
    } catch (error) {
      if (!(error instanceof TwinlogError && error.retriable) || Date.now() > deadline) throw error
    }
  }
}

describe('memory of fetch answers that is used again', () => {
  it.each(['none', 'lz4'] as const)(
    'never shows in the copy, with connections breaking on both sides (%s)',
    async compression => {
      const topic = `frames-${compression}`
      const count = await load(topic, 100, compression)
      const mirror = new Mirror({
        source: east.config('east'),
        target: west.config('west'),
        topics: topic,
        link: topic,
        logger: silent,
        syncGroups: false
      })
      // Slow enough that most of it is on its way when connections break, and quick enough that whole answers arrive in between.
      for (const proxy of proxies) proxy.setThrottle(40_000_000)
      await mirror.start()
      let running = true
      let resets = 0
      const breaking = (async () => {
        for (let turn = 0; running && turn < 10; turn++) {
          await sleep(200 + Math.random() * 200)
          proxies[turn % 2]?.reset()
          resets += 1
        }
      })()
      try {
        await caughtUp(mirror)
      } finally {
        running = false
        await breaking
      }
      for (const proxy of proxies) proxy.setThrottle(null)
      await mirror.stop()
      expect(resets).toBeGreaterThan(1)
      const comparison = await oracle.compare({ source: east.bootstrap, target: west.bootstrap, sourceTopic: topic })
      expect(comparison).toMatchObject({
        equal: true,
        sourceCount: count,
        targetCount: count,
        missing: 0,
        repeated: 0,
        outOfOrder: 0,
        altered: 0,
        extra: 0
      })
    },
    180_000
  )
})
