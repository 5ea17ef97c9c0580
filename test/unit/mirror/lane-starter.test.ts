import { expect, it } from 'vitest'
import { laneKey } from '../../../src/lineage/state-keys.js'
import type { Lane } from '../../../src/mirror/lane.js'
import { LaneBirths } from '../../../src/mirror/lane-births.js'
import { LaneStarter } from '../../../src/mirror/lane-starter.js'
import { LaneTaker } from '../../../src/mirror/lane-taker.js'
import { LinkFencer } from '../../../src/mirror/link-fencer.js'
import { stampBatch } from '../../../src/records/stamp.js'
import { FakeCluster } from '../lineage/fake-cluster.js'
import { dataBatch } from '../lineage/fake-partition.js'
import { workOf } from './lane-bench.js'
import { LINK, LINK_ID, openLink, prepareTarget, SILENT } from './lane-process.js'

const troubles = () => ({
  broken: false,
  wantsOwnId: false,
  targetWasLost: false,
  settled: async () => undefined,
  forgetFindings: () => undefined
})

async function setup() {
  const [east, west] = [new FakeCluster('east'), new FakeCluster('west')]
  const source = east.createTopic('orders')
  const target = west.createTopic('orders')
  prepareTarget(west)
  const id = west.topics.get('orders')?.id ?? ''
  const key = laneKey({ sourceTopicId: id, sourcePartition: 0, targetTopicId: id, targetPartition: 0 })
  const place = { topic: 'orders', topicId: id, partition: 0 }
  const starter = async (process: string, o: { refusal?: string } = {}) => {
    const { link } = await openLink(west)
    const fencer = new LinkFencer({ target: west.client, link: LINK, logger: SILENT })
    const announce = () => Promise.resolve()
    const taker = new LaneTaker({ target: west.client, link, fencer, process, announce, logger: SILENT })
    const births = new LaneBirths({ source: east.client, target: west.client, link, taker, start: 'earliest' })
    const refusal = async () => o.refusal
    const gapsWritten = () => Promise.resolve()
    return new LaneStarter({ target: west.client, link, births, taker, ownership: { refusal }, process, gapsWritten })
  }
  const lane = (o: Partial<Record<keyof Lane, unknown>> = {}) =>
    ({
      key,
      source: place,
      target: place,
      work: workOf(),
      troubles: troubles(),
      canResumeAt: () => false,
      ...o
    }) as Lane
  return { east, west, source, target, key, place, starter, lane }
}

it('knows the gaps of another owner that went on while this one asked the target where to begin', async () => {
  // The state was read before the target was asked: a gap written in between was missing, and all later records were copied one too early.
  const { west, target, key, starter, lane } = await setup()
  const { state: other } = await openLink(west)
  let asked = 0
  west.before = async apiName => {
    if (apiName !== 'DescribeProducers' || asked++ > 0) return
    await other.writeGaps(key, { producerId: LINK_ID, epoch: 0, gaps: [{ ordinal: 0n, from: 0n, length: 2n }] })
    expect(
      target.produce(stampBatch(dataBatch(3), { producerId: LINK_ID, producerEpoch: 0, baseSequence: 0 })).errorCode
    ).toBe(0)
  }
  const start = await (await starter('me')).start(lane())
  expect(start).toMatchObject({ kind: 'go', at: { next: 3n } })
  if (start.kind === 'go') expect(start.fromState().buffer.position).toBe(5n)
})

it('stands by while another process owns the lane, and fences it when that is gone', async () => {
  const { starter, lane } = await setup()
  const exclusive = lane({ work: workOf({ compacted: true }) })
  expect(await (await starter('first')).start(exclusive)).toMatchObject({
    kind: 'go',
    at: { epoch: { owner: 'first' } }
  })
  expect(await (await starter('me', { refusal: 'it lives' })).start(exclusive)).toEqual({
    kind: 'standby',
    why: 'it lives'
  })
  expect(await (await starter('me')).start(exclusive)).toMatchObject({
    kind: 'go',
    at: { epoch: { owner: 'me', epoch: 2 } }
  })
})

it('goes on as the owner that it is with what it has in memory, or when nothing was planned behind the end', async () => {
  const { starter, lane, key, west } = await setup()
  const exclusive = lane({ work: workOf({ compacted: true }) })
  const mine = await starter('me')
  await mine.start(exclusive)
  const holding = lane({ work: workOf({ compacted: true }), canResumeAt: () => true })
  expect(await mine.start(holding)).toMatchObject({ kind: 'go', at: { epoch: { epoch: 1 } } })
  const empty = lane({ work: workOf({ compacted: true }) })
  // A lane that fails again and again uses up no epochs.
  expect(await mine.start(empty)).toMatchObject({ kind: 'go', at: { epoch: { epoch: 1 } } })
  const { state } = await openLink(west)
  await state.writeGaps(key, { producerId: LINK_ID, epoch: 1, gaps: [{ ordinal: 5n, from: 5n, length: 2n }] })
  expect(await mine.start(empty)).toMatchObject({ kind: 'go', at: { epoch: { epoch: 2 } } })
  expect(empty.troubles.broken).toBe(true)
})

it('has a lane that is routed born behind a fence, with an id of its own', async () => {
  const { starter, lane, target } = await setup()
  const routed = lane({
    work: workOf({ routed: true }),
    routed: true,
    first: 7n,
    transactionalId: 'twinlog.link.routed'
  })
  const start = await (await starter('me')).start(routed)
  expect(start).toMatchObject({ kind: 'go', at: { next: 7n, epoch: { own: true, owner: 'me', base: 7n } } })
  expect(routed.troubles.wantsOwnId).toBe(true)
  // Whoever wrote there with the link's id is refused.
  const zombie = stampBatch(dataBatch(3), { producerId: LINK_ID, producerEpoch: 0, baseSequence: 0 })
  expect(target.produce(zombie).errorCode).toBe(47)
})
