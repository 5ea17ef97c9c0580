import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ClusterClient } from '../../../src/kafka/cluster.js'
import { createTopicsRequest } from '../../../src/kafka/requests/create-topics.js'
import { listGroupsRequest } from '../../../src/kafka/requests/list-groups.js'
import { consoleLogger } from '../../../src/logger.js'
import { type Broker, type KafkaCluster, startKafka } from '../../support/kafka.js'

let cluster: KafkaCluster
let client: ClusterClient

beforeAll(async () => {
  cluster = await startKafka({ name: 'pair', brokers: 2 })
  client = new ClusterClient(cluster.config(), { logger: consoleLogger('error') })
  await client.connect()
  const topics = [{ name: 'twin', partitions: 2, replicationFactor: 2, configs: { 'min.insync.replicas': '1' } }]
  await client.send('controller', createTopicsRequest({ timeoutMs: 10_000, topics }))
})

afterAll(async () => {
  client?.destroy()
  await cluster?.stop()
})

const timed = async <T>(promise: Promise<T>): Promise<[value: T, ms: number]> => {
  const startedAt = performance.now()
  return [await promise, performance.now() - startedAt]
}

const [first, second] = [0, 1].map(index => () => cluster.brokers[index] as Broker) as [() => Broker, () => Broker]

describe('a cluster that loses a broker', () => {
  it('a frozen broker does not hold up metadata or other brokers, and its own requests time out', async () => {
    // Control connections to both, so that one of them hangs.
    for (const { nodeId } of cluster.brokers) await client.send({ node: nodeId }, listGroupsRequest())
    second().freeze()
    try {
      const durations: number[] = []
      for (let i = 0; i < 6; i++) durations.push((await timed(client.metadata()))[1])
      expect(Math.max(...durations)).toBeLessThan(1_500)
      // Once it has been found slow it is not asked first again.
      expect(durations.filter(ms => ms >= 390).length).toBeLessThanOrEqual(1)
      await client.send({ node: first().nodeId }, listGroupsRequest())
      const hanging = client.send({ node: second().nodeId }, listGroupsRequest(), { timeoutMs: 300 })
      await expect(hanging).rejects.toMatchObject({ code: 'TWINLOG_TIMEOUT', retriable: true })
      const [, ms] = await timed(client.send('any', listGroupsRequest()))
      expect(ms).toBeLessThan(1_500)
      await client.send('controller', listGroupsRequest())
    } finally {
      second().thaw()
    }
    await client.send({ node: second().nodeId }, listGroupsRequest())
  })

  it('after a kill metadata comes from the other broker at once, and the leaders follow', async () => {
    const connection = await client.openConnection(second().nodeId)
    const pending = connection.send(listGroupsRequest()).catch(() => undefined)
    await second().kill()
    await pending
    await expect.poll(() => connection.closed).toBe(true)
    const [, ms] = await timed(client.metadata({ topics: ['twin'] }))
    expect(ms).toBeLessThan(1_000)
    await expect
      .poll(
        async () => {
          const metadata = await client.metadata({ topics: ['twin'] })
          return metadata.topics.get('twin')?.partitions.map(({ leader }) => leader)
        },
        { timeout: 30_000 }
      )
      .toEqual([first().nodeId, first().nodeId])
    expect(client.leaderOf('twin', 0)?.nodeId).toBe(first().nodeId)
    await expect(client.send({ node: second().nodeId }, listGroupsRequest())).rejects.toMatchObject({ retriable: true })
    await client.send('controller', listGroupsRequest())
    await second().start()
    await expect.poll(async () => (await client.metadata({ topics: [] })).brokers.size, { timeout: 20_000 }).toBe(2)
    await client.send({ node: second().nodeId }, listGroupsRequest())
  })
})
