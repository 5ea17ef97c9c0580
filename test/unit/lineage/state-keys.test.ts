import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatKey, laneKey, parseKey, type StateKey, statePartition } from '../../../src/lineage/state-keys.js'

const topicId = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('base64url'))
const lane = fc
  .record(
    { sourceTopicId: topicId, sourcePartition: fc.nat(5000), targetTopicId: topicId, targetPartition: fc.nat(5000) },
    { noNullPrototype: true }
  )
  .map(laneKey)

const identity = fc.record(
  { producerId: fc.bigInt({ min: 0n, max: 2n ** 62n }), epoch: fc.nat(32_767) },
  { noNullPrototype: true }
)

const key: fc.Arbitrary<StateKey> = fc.oneof(
  fc.constantFrom<StateKey>({ kind: 'link' }, { kind: 'producer' }, { kind: 'start' }),
  fc.record(
    {
      kind: fc.constantFrom('gaps' as const),
      lane,
      ordinal: fc.bigInt({ min: 0n, max: 2n ** 62n }),
      count: fc.integer({ min: 1, max: 20_000 }),
      identity
    },
    { noNullPrototype: true }
  ),
  fc.record(
    { kind: fc.constant('era' as const), lane, ordinal: fc.bigInt({ min: 0n, max: 2n ** 62n }), identity },
    { noNullPrototype: true }
  ),
  fc.record(
    { kind: fc.constantFrom('birth' as const, 'checkpoint' as const, 'gate' as const), lane },
    { noNullPrototype: true }
  ),
  fc.record(
    {
      kind: fc.constant('epoch' as const),
      lane,
      producerId: fc.bigInt({ min: 0n, max: 2n ** 62n }),
      epoch: fc.nat(32_767)
    },
    { noNullPrototype: true }
  ),
  fc.record(
    {
      kind: fc.constant('gaps' as const),
      lane,
      ordinal: fc.bigInt({ min: 0n, max: 2n ** 62n }),
      count: fc.integer({ min: 1, max: 20_000 })
    },
    { noNullPrototype: true }
  ),
  fc.record({ kind: fc.constant('group' as const), groupId: fc.string() }, { noNullPrototype: true }),
  fc.record({ kind: fc.constant('schema' as const), sourceId: fc.nat() }, { noNullPrototype: true })
)

describe('state keys', () => {
  it('come back from their text', () => {
    fc.assert(
      fc.property(key, given => {
        expect(parseKey(formatKey(given))).toEqual(given)
      })
    )
  })

  it('are different texts for different keys', () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(formatKey(a) === formatKey(b)).toBe(isDeepStrictEqual(a, b))
      })
    )
  })

  it('have pinned texts', () => {
    const id = laneKey({ sourceTopicId: 'AAAA', sourcePartition: 3, targetTopicId: 'BBBB', targetPartition: 4 })
    expect(id).toBe('AAAA.3.BBBB.4')
    expect(formatKey({ kind: 'birth', lane: id })).toBe('lane/AAAA.3.BBBB.4/birth')
    expect(formatKey({ kind: 'epoch', lane: id, producerId: 12n, epoch: 3 })).toBe('lane/AAAA.3.BBBB.4/epoch/12/3')
    expect(formatKey({ kind: 'gaps', lane: id, ordinal: 99n, count: 5 })).toBe('lane/AAAA.3.BBBB.4/gaps/99/5')
    const identity = { producerId: 12n, epoch: 3 }
    expect(formatKey({ kind: 'gaps', lane: id, ordinal: 99n, count: 5, identity })).toBe(
      'lane/AAAA.3.BBBB.4/gaps/99/5/12/3'
    )
    expect(formatKey({ kind: 'era', lane: id, ordinal: 99n, identity })).toBe('lane/AAAA.3.BBBB.4/era/99/12/3')
    expect(formatKey({ kind: 'start' })).toBe('start')
    expect(formatKey({ kind: 'group', groupId: 'a/b' })).toBe('group/a/b')
    expect(formatKey({ kind: 'schema', sourceId: 4711 })).toBe('schema/4711')
  })

  it.each([
    '',
    'lane',
    'lane/x',
    'lane/x/heat',
    'lane/x/heat/1/2',
    'lane/x/gaps',
    'lane/x/gaps/1',
    'lane/x/gaps/one/2',
    'lane/x/gaps/1/two',
    'lane/x/gaps/1/2/3',
    'lane/x/gaps/1/2/3/4/5',
    'lane/x/era/1',
    'lane/x/era/1/2',
    'lane/x/era/1/2/x',
    'lane/x/epoch/1/',
    'lane/x/birth/more',
    'links',
    'schema',
    'schema/x',
    'schema/1/2',
    'room/x/birth'
  ])('of a kind that is not known here (%s) are left alone', text => {
    expect(parseKey(text)).toBeUndefined()
  })

  it('stay on their partition for ever', () => {
    const at = (text: string) => statePartition(parseKey(text) as StateKey, 16)
    expect(at('link')).toBe(0)
    expect(at('producer')).toBe(0)
    expect(at('start')).toBe(0)
    expect(at('schema/4711')).toBe(0)
    const pinned = [
      'lane/a.0.b.0/birth',
      'lane/a.1.b.1/birth',
      'lane/orders.17.orders.17/birth',
      'group/billing',
      'group/grüße'
    ].map(at)
    expect(pinned).toEqual([12, 2, 8, 15, 5])
  })

  it('of one lane share a partition, so that its gaps and checkpoints are read in the order in which they were written', () => {
    fc.assert(
      fc.property(lane, fc.integer({ min: 1, max: 64 }), (id, partitions) => {
        const kinds: StateKey[] = [
          { kind: 'birth', lane: id },
          { kind: 'checkpoint', lane: id },
          { kind: 'gate', lane: id },
          { kind: 'epoch', lane: id, producerId: 1n, epoch: 2 },
          { kind: 'gaps', lane: id, ordinal: 3n, count: 4 },
          { kind: 'era', lane: id, ordinal: 3n, identity: { producerId: 1n, epoch: 2 } }
        ]
        const numbers = new Set(kinds.map(kind => statePartition(kind, partitions)))
        expect(numbers.size).toBe(1)
        expect([...numbers][0]).toBeLessThan(partitions)
      })
    )
  })

  it('spread over all partitions', () => {
    const used = new Map<number, number>()
    for (let partition = 0; partition < 1600; partition++) {
      const id = laneKey({
        sourceTopicId: 'AAAAAAAAAAAAAAAAAAAAAA',
        sourcePartition: partition,
        targetTopicId: 'BBBBBBBBBBBBBBBBBBBBBB',
        targetPartition: partition
      })
      const number = statePartition({ kind: 'birth', lane: id }, 16)
      used.set(number, (used.get(number) ?? 0) + 1)
    }
    expect(used.size).toBe(16)
    expect(Math.max(...used.values())).toBeLessThan(200)
  })
})
