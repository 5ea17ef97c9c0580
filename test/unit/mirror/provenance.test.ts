import { describe, expect, it } from 'vitest'
import type { LinkOrigin } from '../../../src/lineage/link-registry.js'
import { LinkRegistry, LINKS_TOPIC } from '../../../src/lineage/link-registry.js'
import { assertNoCycle, carriedClusters, type Forward, Provenance } from '../../../src/mirror/provenance.js'
import { FakeAdmin } from './fake-admin.js'

const cluster = (alias: string) => ({ alias, clusterId: `${alias}-cluster` })

/** A link from one cluster to another, as it registers there. */
function link(from: string, to: string, carries: string[] = [], forward: Forward = 'local'): LinkOrigin {
  return {
    link: `${from}-${to}`,
    sourceAlias: from,
    sourceClusterId: `${from}-cluster`,
    targetClusterId: `${to}-cluster`,
    carries: [from, ...carries].map(alias => `${alias}-cluster`),
    forward
  }
}

/** Links write to b; this one goes from b to c. */
function setup(forward: Forward = 'local') {
  const b = new FakeAdmin('b')
  const provenance = new Provenance({ source: b.client, target: cluster('c'), forward })
  const register = async (id: bigint, origin: LinkOrigin) => {
    if (!b.topics.has(LINKS_TOPIC)) b.topic(LINKS_TOPIC)
    await new LinkRegistry(b.client).register(id, origin)
    b.requests()
  }
  return { b, provenance, register }
}

describe('Provenance', () => {
  it('skips what links wrote; records without a producer id and those of others are local', async () => {
    const { provenance, register } = setup()
    await register(5n, link('a', 'b'))
    expect(provenance.classify(-1n)).toBe('local')
    expect(await provenance.classify(5n)).toBe('skip')
    expect(await provenance.classify(6n)).toBe('local')
  })

  it('asks nothing for ids that are known, one look for many that are not', async () => {
    const { b, provenance, register } = setup()
    await register(5n, link('a', 'b'))
    const ids = Array.from({ length: 100 }, (_, index) => BigInt(index))
    await Promise.all(ids.map(async id => provenance.classify(id)))
    const looks = b.requests().filter(request => request === `Metadata ${LINKS_TOPIC}`).length
    expect(looks).toBe(1)
    expect(ids.map(id => provenance.classify(id))).toEqual(ids.map(id => (id === 5n ? 'skip' : 'local')))
    expect(b.requests()).toEqual([])
  })

  it('a source without the registry has no links; one that appears later counts for ids that are seen later', async () => {
    const { provenance, register } = setup()
    expect(await provenance.classify(4n)).toBe('local')
    await register(5n, link('a', 'b'))
    expect(await provenance.classify(5n)).toBe('skip')
  })

  it('never answers from a look that began before the question', async () => {
    const { b, provenance, register } = setup()
    await register(4n, link('a', 'b'))
    let release: () => void = () => undefined
    let registered = false
    // The first look has read the registry but is not back yet when another link registers and writes.
    b.after = name => (name === 'ListOffsets' && !registered ? new Promise(resolve => (release = resolve)) : undefined)
    const early = provenance.classify(6n)
    while (!b.asked.includes('ListOffsets')) await new Promise(resolve => setTimeout(resolve, 1))
    registered = true
    await register(5n, link('x', 'b'))
    const late = provenance.classify(5n)
    release()
    expect(await early).toBe('local')
    expect(await late).toBe('skip')
  })

  it('a registry that cannot be read is an error, not "no links", and the next question asks again', async () => {
    const { b, provenance, register } = setup()
    await register(5n, link('a', 'b'))
    b.errors.set(LINKS_TOPIC, { metadata: 29 })
    // Nobody waits for this one: it must not end the process.
    void provenance.classify(6n)
    await expect(provenance.classify(5n)).rejects.toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', topic: LINKS_TOPIC })
    b.errors.clear()
    expect(await provenance.classify(5n)).toBe('skip')
  })

  it('a registry that was deleted is an error for new ids; created again it is read from its beginning', async () => {
    const { b, provenance, register } = setup()
    await register(4n, link('w', 'b'))
    await register(5n, link('a', 'b'))
    expect(await provenance.classify(5n)).toBe('skip')
    b.topics.delete(LINKS_TOPIC)
    await expect(provenance.classify(6n)).rejects.toMatchObject({ code: 'TWINLOG_STATE_INVALID' })
    expect(provenance.classify(5n)).toBe('skip')
    await register(6n, link('a', 'b'))
    expect(await provenance.classify(6n)).toBe('skip')
    expect(provenance.classify(5n)).toBe('skip')
  })

  it('entries of another cluster say nothing about this one: producer ids are numbers of one cluster', async () => {
    const { provenance, register } = setup()
    await register(5n, link('a', 'elsewhere'))
    expect(await provenance.classify(5n)).toBe('local')
  })

  it('all-but-target sends on what links brought, except what came from the target', async () => {
    const { provenance, register } = setup('all-but-target')
    await register(5n, link('a', 'b'))
    await register(6n, link('c', 'b', ['a']))
    expect(await provenance.classify(5n)).toBe('copy')
    expect(await provenance.classify(6n)).toBe('skip')
    expect(await provenance.classify(7n)).toBe('local')
    expect(await provenance.carries()).toEqual(['a-cluster', 'b-cluster'])
  })

  it('a link that begins to carry records of the target closes a circle: refused from then on', async () => {
    const { provenance, register } = setup('all-but-target')
    await register(5n, link('a', 'b'))
    expect(await provenance.classify(5n)).toBe('copy')
    await register(5n, link('a', 'b', ['c'], 'all-but-target'))
    await expect(provenance.carries()).rejects.toMatchObject({
      code: 'TWINLOG_INVALID_OPTION',
      retriable: false,
      message: expect.stringContaining('circle')
    })
    await expect(provenance.classify(5n)).rejects.toMatchObject({ code: 'TWINLOG_INVALID_OPTION' })
    expect(await provenance.classify(9n)).toBe('local')
  })

  it('remembers no more local ids than it has to', async () => {
    const { b, provenance } = setup()
    const ask = (from: number, count: number) =>
      Promise.all(Array.from({ length: count }, async (_, index) => provenance.classify(BigInt(from + index))))
    await ask(0, 20_000)
    b.requests()
    expect(provenance.classify(0n)).toBe('local')
    await ask(20_000, 10)
    expect(provenance.classify(9n)).toBeInstanceOf(Promise)
    expect(provenance.classify(10n)).toBe('local')
  })
})

describe('forwarding', () => {
  const direction = (from: string, to: string, forward: Forward = 'all-but-target') => ({
    source: cluster(from),
    target: cluster(to),
    forward
  })

  it('local links carry their own source only, and never close a circle', () => {
    const into = [link('a', 'b', ['c'])]
    expect(() => assertNoCycle(direction('b', 'c', 'local'), into)).not.toThrow()
    expect(carriedClusters(direction('b', 'c', 'local'), into)).toEqual(['b-cluster'])
  })

  it('a chain there and back carries everything everywhere, nothing twice', () => {
    // a ⇄ b ⇄ c
    const intoB = [link('a', 'b'), link('c', 'b')]
    expect(carriedClusters(direction('b', 'c'), intoB)).toEqual(['a-cluster', 'b-cluster'])
    expect(carriedClusters(direction('b', 'a'), intoB)).toEqual(['b-cluster', 'c-cluster'])
    const intoC = [link('b', 'c', ['a'])]
    expect(() => assertNoCycle(direction('c', 'b'), intoC)).not.toThrow()
    expect(carriedClusters(direction('c', 'b'), intoC)).toEqual(['c-cluster'])
  })

  it('a ring of three or four is refused at the link that closes it; links of older versions carry their source', () => {
    expect(() => assertNoCycle(direction('c', 'a'), [link('b', 'c', ['a'])])).toThrowError('circle')
    expect(() => assertNoCycle(direction('d', 'a'), [link('x', 'd'), link('c', 'd', ['b', 'a'])])).toThrowError(
      'circle'
    )
    const { carries: _carries, forward: _forward, ...old } = link('b', 'c')
    expect(() => assertNoCycle(direction('c', 'a'), [old])).not.toThrow()
    expect(carriedClusters(direction('c', 'a'), [old])).toEqual(['b-cluster', 'c-cluster'])
  })
})
