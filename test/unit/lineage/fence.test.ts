import { describe, expect, it } from 'vitest'
import type { ApiRequest } from '../../../src/kafka/types.js'
import { fencePartitions, initProducer, laneTransactionalId, linkTransactionalId } from '../../../src/lineage/fence.js'
import type { Logger } from '../../../src/logger.js'
import { FakeCluster } from './fake-cluster.js'
import { dataBatch } from './fake-partition.js'

const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const ID = laneTransactionalId('l', 'a.0.b.0')
const PARTITIONS = [0, 1].map(partition => ({ topic: 'orders', partition }))

/** Answers one kind of request by hand. */
class RefusingCluster extends FakeCluster {
  answers: Record<string, unknown> = {}

  override async handle<T>(request: ApiRequest<T>): Promise<T> {
    return request.apiName in this.answers ? (this.answers[request.apiName] as T) : super.handle(request)
  }
}

function setUp() {
  const cluster = new RefusingCluster('west')
  cluster.createTopic('orders', 3)
  const fence = () =>
    fencePartitions({ cluster: cluster.client, transactionalId: ID, partitions: PARTITIONS, logger: SILENT })
  return { cluster, fence }
}

describe('a fence', () => {
  it('is of the transactional id that it is given, and shuts out every older epoch of it where it stands', async () => {
    expect([ID, linkTransactionalId('l')]).toEqual(['twinlog.l.a.0.b.0', 'twinlog.l'])
    const { cluster, fence } = setUp()
    const { producerId, epoch } = await initProducer(cluster.client, ID)
    const write = (partition: number) =>
      cluster
        .partition('orders', partition)
        .produce(dataBatch(1, { producerId, producerEpoch: epoch, baseSequence: 0 }))
    expect(await fence()).toEqual({ producerId, epoch: epoch + 1 })
    expect([0, 1, 2].map(partition => write(partition).errorCode)).toEqual([47, 47, 0])
    expect(await fence()).toEqual({ producerId, epoch: epoch + 2 })
  })

  it('aborts a transaction that its owner has left open', async () => {
    const { cluster, fence } = setUp()
    const { producerId, epoch } = await initProducer(cluster.client, ID)
    const log = cluster.partition('orders')
    cluster.transactions.add(ID, { producerId, epoch }, [log])
    log.produce(dataBatch(2, { producerId, producerEpoch: epoch, baseSequence: 0, transactional: true }))
    expect((await fence()).epoch).toBe(epoch + 2)
    expect(log.aborted).toHaveLength(1)
    expect(log.lastStable).toBe(log.end)
  })

  it('takes the next epoch when the coordinator answers with an error of its own', async () => {
    // Symptom: a lane failed with "EndTxn of twinlog.dealt: UNKNOWN_SERVER_ERROR" while its target broker was very busy.
    const { cluster, fence } = setUp()
    const { epoch } = await initProducer(cluster.client, ID)
    cluster.answers = { EndTxn: { errorCode: -1 } }
    const fenced = fence()
    setTimeout(() => (cluster.answers = {}), 50)
    expect((await fenced).epoch).toBeGreaterThan(epoch + 1)
  })

  it.each([
    [
      'InitProducerId',
      { errorCode: 53, producerId: -1n, producerEpoch: -1 },
      /twinlog\.l\.a\.0\.b\.0.*WRITE and DESCRIBE/
    ],
    [
      'AddPartitionsToTxn',
      {
        partitions: [
          { topic: 'orders', partition: 0, errorCode: 55 },
          { topic: 'orders', partition: 1, errorCode: 29 }
        ]
      },
      /orders-1.*WRITE on the topic/
    ],
    [
      'DescribeProducers',
      { partitions: [{ topic: 'orders', partition: 0, errorCode: 29, errorMessage: null, producers: [] }] },
      /orders-0.*READ on the topic/
    ],
    ['EndTxn', { errorCode: 53 }, /EndTxn/]
  ])('that lacks a right (%s) says at once which', async (apiName, answer, message) => {
    const { cluster, fence } = setUp()
    cluster.answers = { [apiName]: answer }
    const refused = await fence().catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', retriable: false })
    expect(String(refused)).toMatch(message)
  })
})
