import { beforeEach, describe, expect, it } from 'vitest'
import { LinkRegistry, LINKS_TOPIC, type LinkOrigin } from '../../../src/lineage/link-registry.js'
import { FakeCluster } from './fake-cluster.js'

const ORIGIN: LinkOrigin = { link: 'l', sourceAlias: 'east', sourceClusterId: 'e', targetClusterId: 'w' }

let west: FakeCluster
let appends = 0

beforeEach(() => {
  west = new FakeCluster('west')
  west.createTopic(LINKS_TOPIC)
  appends = 0
  west.before = apiName => void (appends += Number(apiName === 'Produce'))
})

describe('the registry of links', () => {
  it('takes thousands of producer ids in one append, and none twice', async () => {
    const registry = new LinkRegistry(west.client)
    const ids = Array.from({ length: 3_000 }, (_unused, index) => BigInt(index))
    await registry.registerMany(ids, ORIGIN)
    await registry.registerMany([...ids, 7n, 9n], ORIGIN)
    expect(appends).toBe(1)
    await registry.registerMany([...ids, 5_000n, 5_000n], ORIGIN)
    expect([appends, west.partition(LINKS_TOPIC).end]).toEqual([2, 3_001n])
    const other = new LinkRegistry(west.client)
    await other.refresh()
    expect(other.origin(2_999n)).toMatchObject(ORIGIN)
  })

  it('writes an id again when its link carries other records than before, and only then', async () => {
    const registry = new LinkRegistry(west.client)
    await registry.register(1n, ORIGIN)
    await registry.register(1n, { ...ORIGIN, carries: ['e'], forward: 'local' })
    expect(appends).toBe(1)
    await registry.register(1n, { ...ORIGIN, carries: ['e', 'n'], forward: 'all-but-target' })
    await registry.register(1n, { ...ORIGIN, carries: ['n', 'e'], forward: 'all-but-target' })
    expect(appends).toBe(2)
    expect(registry.origin(1n)).toMatchObject({ carries: ['e', 'n'], forward: 'all-but-target' })
    await registry.register(1n, ORIGIN)
    expect(appends).toBe(3)
    expect(registry.origin(1n)?.forward).toBeUndefined()
  })
})
