import { beforeEach, describe, expect, it } from 'vitest'
import { CONTROL_TOPIC } from '../../../src/control/control-records.js'
import { LinkRegistry, LINKS_TOPIC } from '../../../src/lineage/link-registry.js'
import { LinkState } from '../../../src/lineage/link-state.js'
import { consoleLogger } from '../../../src/logger.js'
import { encodeBatch } from '../../../src/records/encode.js'
import { LinkBinding } from '../../../src/mirror/link-session.js'
import type { Forward } from '../../../src/mirror/provenance.js'
import { birth } from '../lineage/births.js'
import { FakeAdmin } from './fake-admin.js'

const logger = consoleLogger()
let east: FakeAdmin
let west: FakeAdmin

beforeEach(() => {
  east = new FakeAdmin('east')
  west = new FakeAdmin('west')
})

const warnings: string[] = []

const binding = (source: FakeAdmin, target: FakeAdmin, forward: Forward = 'local') =>
  new LinkBinding({
    warn: message => void warnings.push(message),
    source: source.client,
    target: target.client,
    link: `${source.alias}-${target.alias}`,
    logger,
    forward
  })

async function open(source: FakeAdmin, target: FakeAdmin, forward: Forward = 'local') {
  const link = binding(source, target, forward)
  await link.check()
  await link.open()
  return link
}

async function registered(on: FakeAdmin, link: string) {
  const registry = new LinkRegistry(on.client)
  await registry.refresh()
  return [...registry.links].filter(origin => origin.link === link)
}

async function stateOf(on: FakeAdmin, link: string): Promise<LinkState> {
  const state = await LinkState.open({ cluster: on.client, link, logger, create: true })
  if (!state) throw new Error('no state')
  await state.refresh()
  return state
}

describe('how long the target remembers a producer', () => {
  const CONFIG = 'producer.id.expiration.ms'

  beforeEach(() => void warnings.splice(0))

  it('is asked again from time to time', async () => {
    west.brokerConfigs[CONFIG] = '5000'
    const link = await open(east, west)
    expect(link.session.producerIdExpirationMs).toBe(5_000)
    expect(await link.refreshExpiration()).toBe(false)
    west.brokerConfigs[CONFIG] = '60000'
    expect(await link.refreshExpiration()).toBe(true)
    expect([link.session.producerIdExpirationMs, warnings]).toEqual([60_000, []])
  })

  it('is taken for 24 h where it cannot be read, with one warning that says what to grant', async () => {
    const link = await open(east, west)
    expect(link.session.producerIdExpirationMs).toBe(86_400_000)
    expect(await link.refreshExpiration()).toBe(false)
    await link.open()
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/producer\.id\.expiration\.ms of west.*DescribeConfigs on the cluster.*24 h/)
    west.brokerConfigs[CONFIG] = '5000'
    expect(await link.refreshExpiration()).toBe(true)
    expect(link.session.producerIdExpirationMs).toBe(5_000)
  })

  it('is still what was read when the right to read it is taken away', async () => {
    west.brokerConfigs[CONFIG] = '5000'
    const link = await open(east, west)
    delete west.brokerConfigs[CONFIG]
    expect(await link.refreshExpiration()).toBe(false)
    expect([link.session.producerIdExpirationMs, warnings]).toEqual([5_000, []])
  })
})

describe('what existed when the link was created', () => {
  it('is decided once, for every topic of the source, and outlives the process', async () => {
    const orders = east.topic('orders', 2)
    const offsets = east.topic('__consumer_offsets', 50)
    const { session } = await open(east, west)
    expect(session.existedAtCreation(orders, 1)).toBe(true)
    expect(session.existedAtCreation(orders, 2)).toBe(false)
    expect(session.existedAtCreation(offsets, 49)).toBe(true)
    const later = east.topic('later', 1)
    east.topics.get('orders')?.partitions.push(undefined as never)
    const { session: again } = await open(east, west)
    expect(again.existedAtCreation(orders, 1)).toBe(true)
    expect(again.existedAtCreation(orders, 2)).toBe(false)
    expect(again.existedAtCreation(later, 0)).toBe(false)
    const recreated = east.topic('orders', 2)
    expect(again.existedAtCreation(recreated, 0)).toBe(false)
  })

  it('is everything for a link of a version that did not write it down', async () => {
    const state = await stateOf(west, 'east-west')
    await state.decideLink({
      link: 'east-west',
      sourceAlias: 'east',
      targetAlias: 'west',
      sourceClusterId: east.clusterId,
      targetClusterId: west.clusterId
    })
    const { session } = await open(east, west)
    expect(session.existedAtCreation(east.topic('orders'), 7)).toBe(true)
    expect((await stateOf(west, 'east-west')).startEntry).toBeUndefined()
  })

  it('is written ahead of the link itself: a crash between the two must not look like an older link', async () => {
    const orders = east.topic('orders', 1)
    const link = binding(east, west)
    let appends = 0
    west.before = name => {
      // The first append of the state topic is the start entry, the second one the link.
      if (name === 'Produce' && ++appends === 2) throw new Error('killed')
    }
    await expect(link.open()).rejects.toThrow('killed')
    west.before = () => undefined
    const later = east.topic('later')
    const { session } = await open(east, west)
    expect(session.existedAtCreation(orders, 0)).toBe(true)
    expect(session.existedAtCreation(later, 0)).toBe(false)
  })
})

describe('registration', () => {
  it('says whose records the link carries, and both ways at once work', async () => {
    await open(east, west, 'all-but-target')
    await open(west, east, 'all-but-target')
    await open(east, west, 'all-but-target')
    expect(await registered(west, 'east-west')).toMatchObject([
      { carries: ['east-cluster'], forward: 'all-but-target' }
    ])
    expect(await registered(east, 'west-east')).toMatchObject([{ carries: ['west-cluster'] }])
  })

  it('grows with what other links bring, for ids of lanes too, and never shrinks', async () => {
    const north = new FakeAdmin('north')
    const there = await open(east, west, 'all-but-target')
    await there.session.registerOwn([7000n])
    await open(north, east)
    await there.review()
    const carries = ['east-cluster', 'north-cluster']
    expect(await registered(west, 'east-west')).toMatchObject([{ carries }, { carries }])
    await open(east, west, 'local')
    const origins = await registered(west, 'east-west')
    expect(origins.map(origin => origin.carries)).toEqual([carries, carries])
  })

  it('is one write for all lanes that start together', async () => {
    const { session } = await open(east, west)
    west.requests()
    await Promise.all(Array.from({ length: 200 }, (_, index) => session.registerOwn([BigInt(7000 + index)])))
    expect(west.requests().filter(request => request === 'Produce').length).toBeLessThanOrEqual(2)
    expect(await registered(west, 'east-west')).toHaveLength(201)
    west.requests()
    await session.registerOwn([7000n])
    expect(west.requests()).toEqual([])
  })

  it('that failed is tried again by the next one', async () => {
    const { session } = await open(east, west)
    west.before = name => {
      if (name === 'Produce') throw new Error('cut')
    }
    await expect(session.registerOwn([7000n])).rejects.toThrow('cut')
    west.before = () => undefined
    await session.registerOwn([7000n])
    expect(await registered(west, 'east-west')).toHaveLength(2)
  })
})

describe('circles and lost registries', () => {
  it('the third link of a ring is refused before anything is written', async () => {
    const north = new FakeAdmin('north')
    await open(east, west, 'all-but-target')
    await open(west, north, 'all-but-target')
    const third = binding(north, east, 'all-but-target')
    await expect(third.check()).rejects.toMatchObject({ code: 'TWINLOG_INVALID_OPTION', retriable: false })
    await expect(third.open()).rejects.toMatchObject({ code: 'TWINLOG_INVALID_OPTION' })
    expect([...east.topics.keys()]).toEqual([])
    await open(north, east, 'local')
  })

  it('a ring that closes while the links run is seen by a review', async () => {
    const north = new FakeAdmin('north')
    await open(north, east, 'all-but-target')
    const second = await open(west, north, 'all-but-target')
    await second.review()
    await open(east, west, 'all-but-target')
    await expect(second.review()).rejects.toMatchObject({ code: 'TWINLOG_INVALID_OPTION', retriable: false })
  })

  it('a source that links wrote to, without the registry, is refused', async () => {
    await open(west, east)
    const state = await stateOf(east, 'west-east')
    await state.decideBirth(
      { sourceTopicId: 's', sourcePartition: 0, targetTopicId: 't', targetPartition: 0 },
      birth({ sourceTopicId: 's', targetTopicId: 't' })
    )
    await expect(binding(east, west).check()).resolves.toBeUndefined()
    east.topics.delete(LINKS_TOPIC)
    await expect(binding(east, west).check()).rejects.toMatchObject({
      code: 'TWINLOG_STATE_INVALID',
      message: expect.stringContaining('west-east')
    })
  })

  it("topics of twinlog that are no link's, and links that wrote nothing, need no registry", async () => {
    // A service may be called `link`, as an entry of a link's state is.
    const record = { offset: 0n, timestamp: 0n, key: Buffer.from('link'), value: Buffer.from('{'), headers: [] }
    for (const name of [CONTROL_TOPIC, 'twinlog.presence.internal']) {
      east.topic(name)
      east.partition(name).append(encodeBatch({ records: [record] }))
    }
    const state = await stateOf(east, 'west-east')
    await state.decideLink({
      link: 'west-east',
      sourceAlias: 'west',
      targetAlias: 'east',
      sourceClusterId: west.clusterId,
      targetClusterId: east.clusterId
    })
    await expect(binding(east, west).check()).resolves.toBeUndefined()
  })
})
