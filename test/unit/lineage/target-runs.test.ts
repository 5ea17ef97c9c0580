import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TargetRuns } from '../../../src/lineage/target-runs.js'

interface Batch {
  first: bigint
  count: number
  offset: bigint
}

/** A lane on the target: batches of ours, with foreign records between them. */
const lane: fc.Arbitrary<Batch[]> = fc
  .tuple(
    fc.bigInt({ min: 0n, max: 20n }),
    fc.bigInt({ min: 0n, max: 20n }),
    fc.array(
      fc.record({
        count: fc.integer({ min: 1, max: 6 }),
        foreign: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 4 }))
      }),
      {
        minLength: 1,
        maxLength: 12
      }
    )
  )
  .map(([origin, start, steps]) => {
    let first = origin
    let offset = start
    return steps.map(({ count, foreign }) => {
      offset += BigInt(foreign)
      const batch = { first, count, offset }
      first += BigInt(count)
      offset += BigInt(count)
      return batch
    })
  })

const truthOf = (batches: Batch[]) =>
  new Map(
    batches.flatMap(({ first, count, offset }) =>
      Array.from({ length: count }, (_unused, index) => [first + BigInt(index), offset + BigInt(index)] as const)
    )
  )

const shuffled = lane.chain(batches =>
  fc.tuple(fc.constant(batches), fc.shuffledSubarray(batches, { minLength: batches.length }))
)
const partly = lane.chain(batches => fc.tuple(fc.constant(batches), fc.shuffledSubarray(batches, { minLength: 1 })))

describe('TargetRuns', () => {
  it('learnt whole, in any order and with repetitions, answers every ordinal', () => {
    fc.assert(
      fc.property(shuffled, ([batches, order]) => {
        const runs = new TargetRuns()
        for (const { first, count, offset } of [...order, ...order]) expect(runs.learn(first, count, offset)).toBe(true)
        for (const [ordinal, offset] of truthOf(batches)) expect(runs.find(ordinal)).toBe(offset)
        const shifts = new Set(batches.map(({ first, offset }) => offset - first))
        expect(runs.runs.length).toBe(shifts.size)
      })
    )
  })

  it('learnt in part, is right wherever it answers and names the neighbours where it does not', () => {
    fc.assert(
      fc.property(partly, ([batches, known]) => {
        const runs = new TargetRuns()
        for (const { first, count, offset } of known) runs.learn(first, count, offset)
        for (const { first, count } of known)
          for (let index = 0; index < count; index++) expect(typeof runs.find(first + BigInt(index))).toBe('bigint')
        for (const [ordinal, offset] of truthOf(batches)) {
          const found = runs.find(ordinal)
          if (typeof found === 'bigint') {
            expect(found).toBe(offset)
            expect(runs.behind(ordinal + 1n)).toBe(offset + 1n)
            continue
          }
          if (found.below) expect(ordinal + found.below.shift).toBeLessThanOrEqual(offset)
          if (found.above) expect(ordinal + found.above.shift).toBeGreaterThanOrEqual(offset)
          expect(found.below !== undefined || found.above !== undefined).toBe(true)
        }
      })
    )
  })

  it('refuses what contradicts the target it knows, and stays as it was', () => {
    fc.assert(
      fc.property(
        lane,
        fc.bigInt({ min: 0n, max: 60n }),
        fc.integer({ min: 1, max: 30 }),
        fc.bigInt({ min: -6n, max: 6n }),
        (batches, first, count, off) => {
          const runs = new TargetRuns()
          for (const batch of batches) runs.learn(batch.first, batch.count, batch.offset)
          const truth = truthOf(batches)
          const last = batches.at(-1) as Batch
          const origin = (batches[0] as Batch).first
          fc.pre(first >= origin)
          const offset = (truth.get(first) ?? first + last.offset - last.first) + off
          const contradicts = Array.from({ length: count }, (_unused, index) => BigInt(index)).some(index => {
            const known = truth.get(first + index)
            return known === undefined
              ? first + index > last.first && offset - first < last.offset - last.first
              : known !== offset + index
          })
          const before = runs.runs.map(run => ({ ...run }))
          expect(runs.learn(first, count, offset)).toBe(!contradicts)
          if (contradicts) expect(runs.runs).toEqual(before)
        }
      ),
      { numRuns: 500 }
    )
  })

  it('does not put an ordinal at two offsets when a batch reaches over two runs', () => {
    const runs = new TargetRuns()
    runs.learn(0n, 5, 0n)
    runs.learn(5n, 5, 8n)
    expect(runs.learn(3n, 4, 3n)).toBe(false)
    expect(runs.runs).toEqual([
      { first: 0n, end: 5n, shift: 0n },
      { first: 5n, end: 10n, shift: 3n }
    ])
  })
})
