import { expect, it } from 'vitest'
import { LinkState, stateTopicName } from '../../../src/lineage/link-state.js'
import { laneKey } from '../../../src/lineage/state-keys.js'
import type { Logger } from '../../../src/logger.js'
import type { Lane } from '../../../src/mirror/lane.js'
import { LaneStarter } from '../../../src/mirror/lane-starter.js'
import type { LinkBinding } from '../../../src/mirror/link-session.js'
import { stampBatch } from '../../../src/records/stamp.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { dataBatch } from '../lineage/fake-partition.js'

const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

it('knows the gaps of another owner that went on while this one asked the target where to begin', async () => {
  // The state was read before the target was asked: a gap written in between was missing, and all later records were copied one too early.
  const east = new FakeCluster('east')
  const west = new FakeCluster('west')
  east.createTopic('orders')
  const target = west.createTopic('orders')
  west.createTopic(stateTopicName('l'), 16)
  const open = async () =>
    (await LinkState.open({ cluster: west.client, link: 'l', logger: SILENT, create: false })) as LinkState
  const id = west.topics.get('orders')?.id ?? ''
  const key = laneKey({ sourceTopicId: id, sourcePartition: 0, targetTopicId: id, targetPartition: 0 })
  const other = await open()
  let asked = 0
  west.before = async apiName => {
    if (apiName !== 'DescribeProducers' || asked++ > 0) return
    await other.writeGaps(key, { producerId: 70n, epoch: 0, gaps: [{ ordinal: 0n, from: 0n, length: 2n }] })
    expect(
      target.produce(stampBatch(dataBatch(3), { producerId: 70n, producerEpoch: 0, baseSequence: 0 })).errorCode
    ).toBe(0)
  }
  const session = { state: await open(), producerId: 70n, producerIdExpirationMs: 86_400_000 }
  const starter = new LaneStarter({
    source: east.client,
    target: west.client,
    link: { session } as LinkBinding,
    logger: SILENT
  })
  const place = { topic: 'orders', topicId: id, partition: 0 }
  const start = await starter.start({ key, source: place, target: place } as Lane)
  expect(start).toMatchObject({ kind: 'go', at: { next: 3n } })
  if (start.kind === 'go') expect(start.fromState().buffer.position).toBe(5n)
})
