import { beforeEach, describe, expect, it } from 'vitest'
import type { Gap } from '../../../src/lineage/gap-table.js'
import { LinkState, stateTopicName } from '../../../src/lineage/link-state.js'
import type { Logger } from '../../../src/logger.js'
import { decodeRecords } from '../../../src/records/decode.js'
import { viewOf } from '../../../src/records/batch.js'
import { birth } from './births.js'
import { FakeCluster } from './fake-cluster.js'

const LINK = 'east-west'
const LINK_ID = 70n
const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const LANE = { sourceTopicId: 's', sourcePartition: 0, targetTopicId: 't', targetPartition: 0 }

let west: FakeCluster

async function open(): Promise<LinkState> {
  const state = await LinkState.open({ cluster: west.client, link: LINK, logger: SILENT, create: false })
  if (!state) throw new Error('no state topic')
  return state
}

/** Keys of everything in the state topic, by partition and offset. */
const keys = () =>
  (west.topics.get(stateTopicName(LINK))?.partitions ?? []).flatMap(log =>
    log.batches.flatMap(bytes =>
      decodeRecords(viewOf(bytes)).map(({ key, value }) => `${key?.toString()}${value ? '' : ' (gone)'}`)
    )
  )

beforeEach(() => {
  west = new FakeCluster('west')
  west.createTopic(stateTopicName(LINK), 16)
})

describe('the state of a link', () => {
  it('remembers the partitions that were there at its start: the first word counts, for everybody and for ever', async () => {
    const [one, other] = [await open(), await open()]
    const first = { topics: { a: 3, b: 1 } }
    expect((await one.decideStart(first)).topics).toEqual(first.topics)
    expect((await other.decideStart({ topics: { a: 9 } })).topics).toEqual(first.topics)
    const late = await open()
    expect(late.startEntry).toBeUndefined()
    await late.refresh()
    expect(late.startEntry?.topics).toEqual(first.topics)
    expect(keys()).toEqual(['start'])
  })

  it('remembers what schema ids are called on the target: the last word counts, and later readers learn all at once', async () => {
    const state = await open()
    await state.writeSchemaIds([
      { sourceId: 7, targetId: 12 },
      { sourceId: 8, targetId: 13 }
    ])
    await state.writeSchemaIds([{ sourceId: 7, targetId: 15 }])
    const ids = [
      [7, 15],
      [8, 13]
    ]
    expect([...state.schemaIds]).toEqual(ids)
    const late = await open()
    await late.refresh()
    expect([...late.schemaIds]).toEqual(ids)
    expect(keys()).toEqual(['schema/7', 'schema/8', 'schema/7'])
  })

  it('announces an identity to one owner only', async () => {
    const state = await open()
    const { key } = await state.decideBirth(LANE, birth())
    const entry = { producerId: LINK_ID, epoch: 1, base: 5n, firstSequence: 0, plan: 'p', targetEnd: 7n }
    expect(await state.decideEpoch(key, { ...entry, owner: 'a' })).toBe(true)
    expect(await state.decideEpoch(key, { ...entry, owner: 'b' })).toBe(false)
    const fresh = await open()
    await fresh.refreshLane(key)
    expect(fresh.lane(key)).toMatchObject({ owner: 'a', currentPlan: 'p' })
    expect(fresh.lane(key)?.currentEpoch).toEqual({ ...entry, owner: 'a' })
  })

  it('writes gaps as chunks, and each new history of the source as an entry of its own, in one append', async () => {
    const state = await open()
    const { key } = await state.decideBirth(LANE, birth())
    await state.decideEpoch(key, { producerId: LINK_ID, epoch: 3, base: 0n, firstSequence: 0 })
    const gaps: Gap[] = [
      { ordinal: 2n, from: 2n, length: 1n },
      { ordinal: 5n, from: 6n, length: -1n },
      { ordinal: 9n, from: 9n, length: -4n, era: 5n },
      { ordinal: 9n, from: 5n, length: 2n },
      { ordinal: 12n, from: 10n, length: 1n }
    ]
    let appends = 0
    west.before = apiName => void (appends += Number(apiName === 'Produce'))
    await state.writeGaps(key, { producerId: LINK_ID, epoch: 3, gaps })
    expect(appends).toBe(1)
    expect(keys().slice(2)).toEqual([
      `lane/${key}/gaps/2/2/70/3`,
      `lane/${key}/era/9/70/3`,
      `lane/${key}/gaps/9/2/70/3`
    ])
    const fresh = await open()
    await fresh.refreshLane(key)
    expect([...(fresh.lane(key)?.gaps().between(0n, 99n) ?? [])]).toEqual(gaps)
  })

  it('never lets the late words of a fenced owner take the place of those of his successor', async () => {
    // Symptom: chunks of two owners with one ordinal and count had one key, and compaction kept the one that did not count.
    const state = await open()
    const { key } = await state.decideBirth(LANE, birth())
    const gap = (length: bigint): Gap => ({ ordinal: 4n, from: 4n, length })
    for (const epoch of [1, 2]) await state.decideEpoch(key, { producerId: LINK_ID, epoch, base: 4n, firstSequence: 0 })
    await state.writeGaps(key, { producerId: LINK_ID, epoch: 2, gaps: [gap(7n)] })
    await state.writeGaps(key, { producerId: LINK_ID, epoch: 1, gaps: [gap(9n)] })
    await state.writeGaps(key, { producerId: LINK_ID, epoch: 0, gaps: [gap(8n)] })
    expect(new Set(keys()).size).toBe(keys().length)
    expect((await state.refreshLane(key))?.gaps().totalSkipped).toBe(7n)
  })

  it('removes the small chunks that a big one stands for', async () => {
    const state = await open()
    const { key } = await state.decideBirth(LANE, birth())
    await state.decideEpoch(key, { producerId: LINK_ID, epoch: 1, base: 0n, firstSequence: 0 })
    const gaps = [1n, 2n].map((ordinal, index) => ({ ordinal, from: ordinal + BigInt(index), length: 1n }))
    for (const epoch of [0, 1]) {
      const replaced = gaps.map(({ ordinal }) => ({ ordinal, count: 1 }))
      await state.mergeGaps(key, { producerId: LINK_ID, epoch, gaps }, replaced)
    }
    expect(keys().slice(2)).toEqual([
      `lane/${key}/gaps/1/2`,
      `lane/${key}/gaps/1/1 (gone)`,
      `lane/${key}/gaps/2/1 (gone)`,
      `lane/${key}/gaps/1/2/70/1`,
      `lane/${key}/gaps/1/1/70/1 (gone)`,
      `lane/${key}/gaps/2/1/70/1 (gone)`
    ])
  })
})
