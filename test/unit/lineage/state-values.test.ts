import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Gap } from '../../../src/lineage/gap-table.js'
import {
  type BirthEntry,
  type CheckpointEntry,
  decodeEntry,
  decodeGapChunk,
  encodeEntry,
  encodeGapChunk,
  type EpochEntry,
  type EraEntry,
  type GroupEntry
} from '../../../src/lineage/state-values.js'

const invalid = (text: string) =>
  expect.objectContaining({ code: 'TWINLOG_STATE_INVALID', message: expect.stringContaining(text) })

const gaps: fc.Arbitrary<Gap[]> = fc
  .tuple(
    fc.bigInt({ min: 0n, max: 2n ** 40n }),
    fc.bigInt({ min: 0n, max: 2n ** 40n }),
    fc.array(
      fc.tuple(
        fc.oneof(fc.constant(3n), fc.bigInt({ min: 1n, max: 2n ** 20n })),
        fc.oneof(fc.constant(1n), fc.bigInt({ min: 1n, max: 2n ** 33n }))
      ),
      {
        minLength: 1,
        maxLength: 30
      }
    )
  )
  .map(([origin, skipped, steps]) => {
    let ordinal = origin
    let from = origin + skipped
    return steps.map(([distance, length], index) => {
      if (index > 0) {
        ordinal += distance
        from += distance
      }
      const gap = { ordinal, from, length }
      from += length
      return gap
    })
  })

describe('chunks of gaps', () => {
  it('have pinned bytes: version, producer id, epoch, ordinal, offset, then (distance, length, repetitions)', () => {
    const chunk = {
      producerId: 300n,
      epoch: 2,
      gaps: [
        { ordinal: 5n, from: 6n, length: 1n },
        { ordinal: 8n, from: 10n, length: 1n },
        { ordinal: 11n, from: 14n, length: 1n },
        { ordinal: 12n, from: 16n, length: 200n }
      ]
    }
    const bytes = encodeGapChunk(chunk)
    expect(bytes.toString('hex')).toBe(['01', 'ac02', '02', '05', '06', '000100', '030101', '01c80100'].join(''))
    expect(decodeGapChunk(bytes, 'here')).toEqual(chunk)
  })

  it('come back as they were', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 60n }),
        fc.integer({ min: 0, max: 32_767 }),
        gaps,
        (producerId, epoch, list) => {
          const chunk = { producerId, epoch, gaps: list }
          expect(decodeGapChunk(encodeGapChunk(chunk), 'here')).toEqual(chunk)
        }
      )
    )
  })

  it('with an expansion are of version 2, in which lengths are signed', () => {
    const chunk = {
      producerId: 300n,
      epoch: 2,
      gaps: [
        { ordinal: 5n, from: 6n, length: -1n },
        { ordinal: 6n, from: 6n, length: -1n },
        { ordinal: 9n, from: 8n, length: 3n }
      ]
    }
    const bytes = encodeGapChunk(chunk)
    expect(bytes.toString('hex')).toBe(['02', 'ac02', '02', '05', '06', '000100', '010100', '030600'].join(''))
    expect(decodeGapChunk(bytes, 'here')).toEqual(chunk)
  })

  it('with expansions come back as they were', () => {
    const steps = fc.array(
      fc.tuple(fc.bigInt({ min: 1n, max: 300n }), fc.oneof(fc.constant(-1n), fc.bigInt({ min: 1n, max: 2n ** 33n }))),
      { minLength: 1, maxLength: 30 }
    )
    fc.assert(
      fc.property(steps, list => {
        let ordinal = 0n
        let skipped = 0n
        const all = list.map(([distance, length]) => {
          ordinal += distance
          const gap = { ordinal, from: ordinal + skipped, length }
          skipped += length
          return gap
        })
        const chunk = { producerId: 1n, epoch: 0, gaps: all }
        const bytes = encodeGapChunk(chunk)
        expect(bytes[0]).toBe(all.some(gap => gap.length < 0n) ? 2 : 1)
        expect(decodeGapChunk(bytes, 'here')).toEqual(chunk)
      })
    )
  })

  it('have no place for an era', () => {
    const gaps = [{ ordinal: 5n, from: 5n, length: -2n, era: 3n }]
    expect(() => encodeGapChunk({ producerId: 1n, epoch: 0, gaps })).toThrowError(
      expect.objectContaining({ code: 'TWINLOG_INTERNAL' })
    )
  })

  it('of a transactional source cost a few bytes however many they are', () => {
    const list = Array.from({ length: 10_000 }, (_unused, index) => ({
      ordinal: BigInt(index * 3),
      from: BigInt(index * 4),
      length: 1n
    }))
    expect(encodeGapChunk({ producerId: 1n, epoch: 0, gaps: list }).length).toBeLessThan(20)
  })

  it('of another version say that a newer twinlog wrote them', () => {
    const bytes = encodeGapChunk({ producerId: 1n, epoch: 0, gaps: [{ ordinal: 1n, from: 1n, length: 1n }] })
    bytes[0] = 9
    expect(() => decodeGapChunk(bytes, 'entry x')).toThrowError(invalid('entry x has version 9'))
  })

  it('that were cut short are refused, unless cut between two groups', () => {
    const bytes = encodeGapChunk({
      producerId: 300n,
      epoch: 0,
      gaps: [
        { ordinal: 5n, from: 6n, length: 1000n },
        { ordinal: 900n, from: 1901n, length: 1000n }
      ]
    })
    const header = 1 + 2 + 1 + 1 + 1
    const group = 1 + 2 + 1
    for (let length = 0; length < bytes.length; length++) {
      const cut = bytes.subarray(0, length)
      if (length === header || length === header + group) expect(decodeGapChunk(cut, 'x').gaps.length).toBeLessThan(2)
      else expect(() => decodeGapChunk(cut, 'entry x'), `${length} bytes`).toThrowError(invalid('entry x is cut short'))
    }
    expect(() => decodeGapChunk(Buffer.from([0x01, ...Array<number>(12).fill(0xff)]), 'entry x')).toThrowError(
      invalid('entry x is cut short')
    )
  })
})

describe('entries', () => {
  it('keep offsets exact beyond 2^53', () => {
    const birth: BirthEntry = {
      sourceTopic: 'orders',
      sourceTopicId: 'a',
      sourcePartition: 1,
      targetTopic: 'orders',
      targetTopicId: 'b',
      targetPartition: 1,
      planDigest: 'd',
      first: 2n ** 60n + 1n,
      targetEnd: 0n,
      producerId: 2n ** 62n + 3n,
      epoch: 0
    }
    expect(decodeEntry<BirthEntry>(encodeEntry(birth), 'x')).toEqual({ v: 1, ...birth })
    const checkpoint: CheckpointEntry = { next: 9n, targetEnd: 2n ** 55n + 1n, sourceLeaderEpoch: -1, reached: 12n }
    expect(decodeEntry<CheckpointEntry>(encodeEntry(checkpoint), 'x')).toEqual({ v: 1, ...checkpoint })
  })

  it('of eras and epochs keep offsets apart from numbers', () => {
    const era: EraEntry = { producerId: 7n, epoch: 3, ordinal: 2n ** 55n + 1n, from: 12n, length: -5n, era: 0n }
    expect(decodeEntry<EraEntry>(encodeEntry(era), 'x')).toEqual({ v: 1, ...era })
    const epoch: EpochEntry = {
      producerId: 7n,
      epoch: 3,
      base: 9n,
      firstSequence: 0,
      plan: 'd',
      owner: 'host/1',
      own: true,
      targetEnd: 2n ** 55n + 1n
    }
    expect(decodeEntry<EpochEntry>(encodeEntry(epoch), 'x')).toEqual({ v: 1, ...epoch })
  })

  it('keep absent offsets of groups apart from 0', () => {
    const entry: GroupEntry = {
      positions: [
        {
          topic: 't',
          partition: 0,
          source: 0n,
          targetTopic: 't',
          targetPartition: 0,
          written: null,
          previous: 0n,
          writtenAtMs: 5
        },
        {
          topic: 't',
          partition: 1,
          source: 7n,
          targetTopic: 't',
          targetPartition: 1,
          written: 8n,
          previous: null,
          writtenAtMs: 6
        }
      ]
    }
    expect(decodeEntry<GroupEntry>(encodeEntry(entry), 'x').positions).toEqual(entry.positions)
  })

  it.each([
    '',
    '{',
    'null',
    '[]',
    '7',
    '"text"',
    '{"v":1,"next":"ten"}',
    '{"next":"1"}',
    '{"v":2,"next":"1"}',
    '{"v":"1"}'
  ])('that are not ours (%s) are a clear error', text => {
    expect(() => decodeEntry(Buffer.from(text), 'entry lane/x (offset 5)')).toThrowError(
      invalid('entry lane/x (offset 5)')
    )
  })

  it('of a newer twinlog say so', () => {
    expect(() => decodeEntry(Buffer.from('{"v":2}'), 'x')).toThrowError(invalid('a newer twinlog wrote it'))
  })
})
