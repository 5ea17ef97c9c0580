import { beforeEach, describe, expect, it } from 'vitest'
import type { ApiRequest } from '../../../src/kafka/types.js'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import { initProducer, laneTransactionalId, linkTransactionalId } from '../../../src/lineage/fence.js'
import { LinkState, stateTopicName } from '../../../src/lineage/link-state.js'
import { closeLanes, openLanes } from '../../../src/lineage/promotion.js'
import type { Logger } from '../../../src/logger.js'
import { birth } from './births.js'
import { FakeCluster } from './fake-cluster.js'
import { dataBatch } from './fake-partition.js'

const LINK = 'east-west'
const LINK_ID = 70n
const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

/** Also coordinates the link's transactions: each one puts a marker of the next epoch into its partitions. */
class FencingCluster extends FakeCluster {
  /** Partitions of each fence, in order. */
  readonly fences: string[][] = []
  #epoch = 0
  #added: { topic: string; partition: number }[] = []

  override async handle<T>(request: ApiRequest<T>): Promise<T> {
    switch (request.apiName) {
      case 'InitProducerId':
        return { errorCode: 0, producerId: LINK_ID, producerEpoch: ++this.#epoch } as T
      case 'AddPartitionsToTxn': {
        this.#added = added(request)
        this.fences.push(this.#added.map(({ topic, partition }) => `${topic}-${partition}`))
        return { partitions: this.#added.map(place => ({ ...place, errorCode: 0 })) } as T
      }
      case 'EndTxn':
        for (const { topic, partition } of this.#added.splice(0))
          this.partition(topic, partition).marker(LINK_ID, this.#epoch)
        return { errorCode: 0 } as T
      default:
        return super.handle(request)
    }
  }
}

function added(request: ApiRequest<unknown>): { topic: string; partition: number }[] {
  const writer = new Writer()
  request.encode(writer, request.maxVersion)
  const reader = new Reader(writer.toBuffer())
  reader.compactString()
  reader.int64()
  reader.int16()
  const topics = reader.compactArray(() => {
    const topic = reader.compactString()
    const partitions = reader.compactInt32Array()
    reader.tags()
    return partitions.map(partition => ({ topic, partition }))
  })
  return topics.flat()
}

let west: FencingCluster
let mirror: LinkState

async function open(): Promise<LinkState> {
  const state = await LinkState.open({ cluster: west.client, link: LINK, logger: SILENT, create: false })
  if (!state) throw new Error('no state topic')
  return state
}

/** What a mirror does when it meets a new partition. */
async function bear(topic: string): Promise<string> {
  west.createTopic(topic)
  const targetTopicId = west.topics.get(topic)?.id ?? ''
  const id = { sourceTopicId: 's', sourcePartition: 0, targetTopicId, targetPartition: 0 }
  const entry = birth({ sourceTopic: topic, targetTopic: topic, targetTopicId })
  return (await mirror.decideBirth(id, entry)).key
}

const close = (epoch: number, topics: string[]) =>
  closeLanes({ target: west.client, link: LINK, topics, move: { service: 's', epoch }, logger: SILENT })

const gateOf = async (key: string) => (await (await open()).refreshLane(key))?.gate

/** Runs once, with the first fence: behind the first list of the lanes and before anybody looks again. */
function duringFence(work: () => Promise<unknown>): void {
  west.before = async apiName => {
    if (apiName !== 'InitProducerId') return
    west.before = () => undefined
    await work()
  }
}

beforeEach(async () => {
  west = new FencingCluster('west')
  west.createTopic(stateTopicName(LINK), 16)
  mirror = await open()
})

describe('closing lanes', () => {
  it('closes and fences the lanes of the topics and no others', async () => {
    const [orders, other] = [await bear('orders'), await bear('other')]
    const { lanes } = await close(1, ['orders'])
    expect(lanes.map(lane => lane.topic)).toEqual(['orders'])
    expect(west.fences).toEqual([['orders-0']])
    expect(await gateOf(orders)).toMatchObject({ state: 'closed', service: 's', moveEpoch: 1 })
    expect(await gateOf(other)).toBeUndefined()
  })

  it('closes a lane that was born after the lanes were listed', async () => {
    await bear('orders')
    let late = ''
    duringFence(async () => (late = await bear('late')))
    const { lanes } = await close(1, ['orders', 'late'])
    expect(lanes.map(lane => lane.topic)).toEqual(['orders', 'late'])
    expect(west.fences).toEqual([['orders-0'], ['late-0']])
    expect(await gateOf(late)).toMatchObject({ state: 'closed' })
  })

  it('closes a lane again that another service opened meanwhile', async () => {
    const orders = await bear('orders')
    duringFence(() => mirror.writeGate(orders, { state: 'opened', service: 'other', moveEpoch: 9 }))
    await close(1, ['orders'])
    expect(west.fences).toEqual([['orders-0'], ['orders-0']])
    expect(await gateOf(orders)).toMatchObject({ state: 'closed', service: 's', moveEpoch: 1 })
  })

  it('is not undone by a late word of an older move of the same service', async () => {
    const orders = await bear('orders')
    duringFence(() => mirror.writeGate(orders, { state: 'opened', service: 's', moveEpoch: 1 }))
    await close(2, ['orders'])
    expect(west.fences).toHaveLength(1)
    expect(await gateOf(orders)).toMatchObject({ state: 'closed', moveEpoch: 2 })
  })

  it('leaves lanes alone about which a later move has decided', async () => {
    const orders = await bear('orders')
    await mirror.writeGate(orders, { state: 'closed', service: 's', moveEpoch: 3 })
    await expect(close(2, ['orders'])).rejects.toMatchObject({ code: 'TWINLOG_MOVE_ABORTED' })
    expect(await gateOf(orders)).toMatchObject({ state: 'closed', moveEpoch: 3 })
  })

  it('gives up when somebody opens the lanes again each time', async () => {
    const orders = await bear('orders')
    west.before = async apiName => {
      if (apiName === 'InitProducerId')
        await mirror.writeGate(orders, { state: 'opened', service: 'other', moveEpoch: 9 })
    }
    await expect(close(1, ['orders'])).rejects.toMatchObject({ code: 'TWINLOG_MOVE_ABORTED', retriable: true })
  })
})

describe('closing a lane that has a producer id of its own', () => {
  it('fences it with that id as well as with the link’s, and ends it at what it has committed', async () => {
    const cluster = new FakeCluster('west')
    cluster.createTopic(stateTopicName(LINK), 16)
    const state = (await LinkState.open({
      cluster: cluster.client,
      link: LINK,
      logger: SILENT,
      create: false
    })) as LinkState
    cluster.transactions.assign(linkTransactionalId(LINK), LINK_ID, 0)
    const keys: string[] = []
    for (const topic of ['orders', 'plain']) {
      cluster.createTopic(topic)
      const targetTopicId = cluster.topics.get(topic)?.id ?? ''
      const id = { sourceTopicId: 's', sourcePartition: 0, targetTopicId, targetPartition: 0 }
      keys.push((await state.decideBirth(id, birth({ sourceTopic: topic, targetTopic: topic, targetTopicId }))).key)
    }
    const ownId = laneTransactionalId(LINK, keys[0] as string)
    const { producerId, epoch } = await initProducer(cluster.client, ownId)
    await state.decideEpoch(keys[0] as string, { producerId, epoch, base: 0n, firstSequence: 0, own: true, owner: 'a' })
    const orders = cluster.partition('orders')
    const ours = { producerId, producerEpoch: epoch }
    orders.append(dataBatch(3, { ...ours, baseSequence: 0 }))
    orders.append(dataBatch(2, { ...ours, baseSequence: 3, transactional: true }))
    orders.marker(producerId, epoch, 'commit')
    // Still open when the move comes: the fence aborts it.
    cluster.transactions.add(ownId, { producerId, epoch }, [orders])
    orders.append(dataBatch(4, { ...ours, baseSequence: 5, transactional: true }))
    const { lanes } = await closeLanes({
      target: cluster.client,
      link: LINK,
      topics: 'all',
      move: { service: 's', epoch: 1 },
      logger: SILENT
    })
    expect(lanes).toMatchObject([
      { topic: 'orders', targetEnd: 5n, reached: 5n },
      { topic: 'plain', targetEnd: 0n }
    ])
    expect(orders.produce(dataBatch(1, { ...ours, baseSequence: 9 })).errorCode).toBe(47)
    expect(orders.producers.get(LINK_ID)?.epoch).toBe(1)
    expect(cluster.partition('plain').producers.get(LINK_ID)?.epoch).toBe(1)
    expect(cluster.partition('plain').producers.size).toBe(1)
  })
})

describe('opening lanes', () => {
  const reopen = (epoch: number, link = LINK) =>
    openLanes({ target: west.client, link, move: { service: 's', epoch }, logger: SILENT })

  it('opens those that this move has closed, however often', async () => {
    const [mine, later] = [await bear('mine'), await bear('later')]
    await close(1, ['mine', 'later'])
    await close(2, ['later'])
    await reopen(1)
    await reopen(1)
    expect(await gateOf(mine)).toMatchObject({ state: 'opened', service: 's', moveEpoch: 1 })
    expect(await gateOf(later)).toMatchObject({ state: 'closed', service: 's', moveEpoch: 2 })
  })

  it('has nothing to do where the link never was', async () => {
    await expect(reopen(1, 'nowhere')).resolves.toBeUndefined()
  })
})
