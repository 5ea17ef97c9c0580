import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { birthEpoch, type LaneEpoch, ordinalOf, sequenceOf } from '../../../src/lineage/sequence.js'

const SPACE = 2n ** 31n
const ordinals = fc.bigInt({ min: 0n, max: 2n ** 45n })

describe('sequences', () => {
  it('are the ordinal itself on an ordinary lane, and wrap at 2^31', () => {
    const epoch = birthEpoch(7n)
    expect(sequenceOf(0n, epoch)).toBe(0)
    expect(sequenceOf(SPACE - 1n, epoch)).toBe(2 ** 31 - 1)
    expect(sequenceOf(SPACE, epoch)).toBe(0)
    expect(sequenceOf(3n * SPACE + 5n, epoch)).toBe(5)
  })

  it('begin with firstSequence at the base of an epoch', () => {
    const epoch: LaneEpoch = { producerId: 7n, epoch: 3, base: 1_000n, firstSequence: 0 }
    expect(sequenceOf(1_000n, epoch)).toBe(0)
    expect(sequenceOf(1_001n, epoch)).toBe(1)
    expect(sequenceOf(1_000n + SPACE, { ...epoch, firstSequence: 5 })).toBe(5)
  })

  it('lead back to the ordinal as long as the guess is less than 2^30 off', () => {
    fc.assert(
      fc.property(
        ordinals,
        ordinals,
        fc.integer({ min: 0, max: 2 ** 31 - 1 }),
        fc.bigInt({ min: -(2n ** 30n), max: 2n ** 30n - 1n }),
        (ordinal, base, firstSequence, off) => {
          const epoch: LaneEpoch = { producerId: 1n, epoch: 1, base, firstSequence }
          const sequence = sequenceOf(ordinal, epoch)
          expect(sequence).toBeGreaterThanOrEqual(0)
          expect(sequence).toBeLessThan(2 ** 31)
          expect(ordinalOf(sequence, epoch, ordinal - off)).toBe(ordinal)
        }
      )
    )
  })
})
