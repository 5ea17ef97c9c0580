import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addPartitionsToTxnRequest } from '../../../src/kafka/requests/add-partitions-to-txn.js'
import { endTxnRequest } from '../../../src/kafka/requests/end-txn.js'
import { initProducer } from '../../../src/lineage/fence.js'
import { produceRequest } from '../../../src/kafka/requests/produce.js'
import type { LaneEpoch } from '../../../src/lineage/sequence.js'
import { TargetLog } from '../../../src/lineage/target-log.js'
import { FakeCluster } from './fake-cluster.js'
import { dataBatch } from './fake-partition.js'

const OWN_ID = 71n
const EPOCHS: LaneEpoch[] = [0, 1, 2, 3].map(epoch => ({
  producerId: OWN_ID,
  epoch,
  base: 0n,
  firstSequence: 0,
  own: true
}))

function setUp() {
  const cluster = new FakeCluster('west')
  const partition = cluster.createTopic('orders')
  return { cluster, partition, log: new TargetLog(cluster.client, 'orders', 0) }
}

const ours = (first: number, count: number, o: { epoch?: number; transactional?: boolean } = {}) =>
  dataBatch(count, {
    producerId: OWN_ID,
    producerEpoch: o.epoch ?? 0,
    baseSequence: first,
    transactional: o.transactional ?? true
  })

describe('a target partition that holds transactions of the lane', () => {
  it('shows what was committed and nothing of what was aborted or is still open', async () => {
    const { partition, log } = setUp()
    partition.append(ours(0, 3))
    partition.append(ours(3, 2))
    partition.marker(OWN_ID, 0, 'commit')
    partition.append(ours(5, 4, { transactional: false }))
    partition.append(ours(9, 5))
    partition.marker(OWN_ID, 1, 'abort')
    partition.append(ours(9, 1, { epoch: 1 }))
    const { batches } = await log.headersAt(0n, EPOCHS, 0n)
    expect(batches).toEqual([
      { ordinal: 0n, count: 3, offset: 0n },
      { ordinal: 3n, count: 2, offset: 3n },
      { ordinal: 5n, count: 4, offset: 6n }
    ])
    expect(await log.lastBatch(0n, partition.end, EPOCHS, 0n)).toMatchObject({ ordinal: 5n })
    expect(await log.firstBatch(7n, partition.end, EPOCHS, 0n)).toMatchObject({ ordinal: 5n })
    expect(await log.firstBatch(10n, partition.end, EPOCHS, 0n)).toBeUndefined()
  })

  it('tells the end of a transaction that lies behind the asked end and many reads away', async () => {
    const { partition, log } = setUp()
    partition.responseBytes = 1
    partition.append(ours(0, 3))
    const end = partition.end
    for (let index = 0; index < 20; index++) {
      partition.append(dataBatch(2, { producerId: 9n, producerEpoch: 0, baseSequence: 2 * index, transactional: true }))
      partition.marker(9n, 0, index % 2 === 0 ? 'abort' : 'commit')
    }
    expect(await log.lastBatch(0n, end, EPOCHS, 0n)).toBeUndefined()
    partition.marker(OWN_ID, 0, 'commit')
    expect(await log.lastBatch(0n, end, EPOCHS, 0n)).toEqual({ ordinal: 0n, count: 3, offset: 0n })
  })

  it('shows in any order of batches and markers what readers of committed records see', async () => {
    const step = fc.constantFrom('transactional', 'plain', 'commit', 'abort', 'foreign')
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.constantFrom(1, 300, 1 << 20), async (steps, bytes) => {
        const { partition, log } = setUp()
        partition.responseBytes = bytes
        const expected: { ordinal: bigint; count: number; offset: bigint }[] = []
        let open: typeof expected = []
        let next = 0
        for (const one of steps) {
          const batch = { ordinal: BigInt(next), count: 2, offset: partition.end }
          if (one === 'foreign') partition.append(dataBatch(1, { producerId: 9n, producerEpoch: 0, baseSequence: 0 }))
          else if (one === 'commit' || one === 'abort') {
            partition.marker(OWN_ID, 0, one)
            if (one === 'commit') expected.push(...open)
            open = []
          } else if (one === 'transactional' || open.length === 0) {
            partition.append(ours(next, 2, { transactional: one === 'transactional' }))
            const list = one === 'transactional' ? open : expected
            list.push(batch)
            next += 2
          }
        }
        const seen: typeof expected = []
        for (let position = 0n; position < partition.end; ) {
          const read = await log.headersAt(position, EPOCHS, BigInt(next))
          seen.push(...read.batches)
          position = read.next
        }
        expect(seen).toEqual(expected)
      }),
      { numRuns: 300 }
    )
  })

  it('says how many offsets compaction has taken', async () => {
    const { partition, log } = setUp()
    for (let index = 0; index < 6; index++) partition.append(ours(5 * index, 5, { transactional: false }))
    partition.responseBytes = 100
    partition.compact(new Set([5n, 20n]))
    expect(await log.holes(0n, 30n)).toBe(10n)
    expect(await log.holes(7n, 22n)).toBe(5n)
    expect(await log.holes(10n, 20n)).toBe(0n)
  })
})

describe('the coordinator of the fake cluster', () => {
  const ID = 'twinlog.l.lane'

  async function begin() {
    const { cluster, partition } = setUp()
    const identity = await initProducer(cluster.client, ID)
    const producer = { transactionalId: ID, producerId: identity.producerId, producerEpoch: identity.epoch }
    const topics = [{ topic: 'orders', partitions: [0] }]
    const add = async () =>
      (await cluster.handle(addPartitionsToTxnRequest({ ...producer, topics }))).partitions[0]?.errorCode
    const end = async (commit: boolean) => (await cluster.handle(endTxnRequest({ ...producer, commit }))).errorCode
    const produce = async (first: number, o: { transactionalId?: string; transactional?: boolean } = {}) => {
      const records = dataBatch(2, {
        producerId: identity.producerId,
        producerEpoch: identity.epoch,
        baseSequence: first,
        transactional: o.transactional ?? true
      })
      const request = produceRequest({
        acks: -1,
        timeoutMs: 1,
        transactionalId: 'transactionalId' in o ? o.transactionalId : ID,
        topics: [{ topic: 'orders', topicId: '', partitions: [{ partition: 0, records }] }]
      })
      return (await cluster.handle(request)).partitions[0]?.errorCode
    }
    return { cluster, partition, add, end, produce }
  }

  it('lets records into a transaction only where the partition was added, and ends it with one marker', async () => {
    const { partition, add, end, produce } = await begin()
    expect(await end(true)).toBe(48)
    expect(await produce(0)).toBe(48)
    expect(await produce(0, { transactionalId: undefined as never })).toBe(53)
    expect(await add()).toBe(0)
    expect(await produce(0)).toBe(0)
    expect(await produce(2, { transactional: false })).toBe(48)
    expect([partition.lastStable, partition.end]).toEqual([0n, 2n])
    expect(await end(true)).toBe(0)
    expect(await end(true)).toBe(0)
    expect([partition.lastStable, partition.end]).toEqual([3n, 3n])
    expect(await produce(2, { transactional: false })).toBe(0)
    expect(await produce(4)).toBe(48)
    expect(partition.aborted).toEqual([])
  })

  it('aborts the open transaction of who is fenced, whose every request then fails', async () => {
    const { cluster, partition, add, end, produce } = await begin()
    await add()
    await produce(0)
    const next = await initProducer(cluster.client, ID)
    expect(next.epoch).toBe(2)
    expect(partition.aborted).toMatchObject([{ firstOffset: 0n, lastOffset: 2n }])
    expect(partition.describeProducers()).toMatchObject([{ producerEpoch: 1, lastSequence: -1 }])
    expect([await add(), await end(true), await produce(2)]).toEqual([90, 90, 47])
    expect(await produce(2, { transactional: false })).toBe(47)
  })
})
