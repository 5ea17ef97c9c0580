import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Gap, GapTable } from '../../../src/lineage/gap-table.js'

/** The plan written out: for each source offset from the origin on, whether it is a record. */
interface Plan {
  origin: number
  records: boolean[]
}

const plan: fc.Arbitrary<Plan> = fc.record({
  origin: fc.integer({ min: 0, max: 50 }),
  records: fc.array(
    fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, { weight: 2, arbitrary: fc.constant(false) }),
    { maxLength: 80 }
  )
})

/** Gaps before a record; what trails is not known to be a gap yet. */
function gapsOf({ origin, records }: Plan): Gap[] {
  const gaps: Gap[] = []
  let ordinal = BigInt(origin)
  let from = BigInt(origin)
  records.forEach((isRecord, index) => {
    if (!isRecord) return
    const source = BigInt(origin + index)
    if (source > from) gaps.push({ ordinal, from, length: source - from })
    from = source + 1n
    ordinal += 1n
  })
  return gaps
}

function tableOf(of: Plan): GapTable {
  const table = new GapTable(BigInt(of.origin))
  for (const gap of gapsOf(of)) table.append(gap)
  return table
}

const sourcesOf = ({ origin, records }: Plan) =>
  records.flatMap((isRecord, index) => (isRecord ? [BigInt(origin + index)] : []))

describe('GapTable', () => {
  it('answers for every ordinal and every source offset what counting says', () => {
    fc.assert(
      fc.property(plan, given => {
        const table = tableOf(given)
        const origin = BigInt(given.origin)
        const sources = sourcesOf(given)
        sources.forEach((source, index) => {
          expect(table.sourceAt(origin + BigInt(index))).toBe(source)
          expect(table.sourceBehind(origin + BigInt(index) + 1n)).toBe(source + 1n)
        })
        expect(table.sourceBehind(origin)).toBe(origin)
        const end = sources.at(-1) ?? origin - 1n
        for (let source = origin; source <= end; source++) {
          const before = sources.filter(known => known < source).length
          expect(table.ordinalAt(source)).toBe(origin + BigInt(before))
        }
        // Behind the last gap ordinals go on one by one.
        expect(table.ordinalAt(end + 10n)).toBe(origin + BigInt(sources.length) + 9n)
      })
    )
  })

  it('lists gaps between ordinals as a filter would', () => {
    fc.assert(
      fc.property(plan, fc.bigInt({ min: 0n, max: 140n }), fc.bigInt({ min: 0n, max: 140n }), (given, first, end) => {
        const naive = gapsOf(given).filter(gap => gap.ordinal >= first && gap.ordinal < end)
        expect([...tableOf(given).between(first, end)]).toEqual(naive)
      })
    )
  })

  it('forgets what lies at or beyond an ordinal and takes another plan from there', () => {
    fc.assert(
      fc.property(plan, fc.bigInt({ min: 0n, max: 140n }), (given, ordinal) => {
        const table = tableOf(given)
        const copy = table.clone()
        table.truncate(ordinal)
        const kept = gapsOf(given).filter(gap => gap.ordinal < ordinal)
        expect(Array.from({ length: table.size }, (_unused, index) => table.at(index))).toEqual(kept)
        const skipped = kept.reduce((sum, gap) => sum + gap.length, 0n)
        expect(table.totalSkipped).toBe(skipped)
        const other = { ordinal: 200n, from: 200n + skipped, length: 7n }
        table.append(other)
        expect(table.at(table.size - 1)).toEqual(other)
        // The copy has not moved.
        expect(Array.from({ length: copy.size }, (_unused, index) => copy.at(index))).toEqual(gapsOf(given))
      })
    )
  })

  it('takes a repetition of a known gap in silence and refuses every other word about it', () => {
    const table = new GapTable(10n)
    const gaps = [
      { ordinal: 12n, from: 12n, length: 2n },
      { ordinal: 20n, from: 22n, length: 1n }
    ]
    for (const gap of gaps) table.append(gap)
    for (const gap of gaps) table.append(gap)
    expect(table.size).toBe(2)
    const contradictions = [
      { ordinal: 12n, from: 12n, length: 3n },
      { ordinal: 20n, from: 21n, length: 1n },
      { ordinal: 15n, from: 17n, length: 1n },
      { ordinal: 11n, from: 11n, length: 1n },
      { ordinal: 30n, from: 32n, length: 1n },
      { ordinal: 30n, from: 34n, length: 1n },
      { ordinal: 30n, from: 33n, length: 0n }
    ]
    for (const gap of contradictions) {
      expect(() => table.append(gap), JSON.stringify(gap, String)).toThrowError(
        expect.objectContaining({ code: 'TWINLOG_STATE_INVALID' })
      )
    }
    expect(table.size).toBe(2)
  })

  it('holds a million gaps in little memory and finds them fast', () => {
    const table = new GapTable(0n)
    const before = process.memoryUsage().arrayBuffers
    for (let index = 1; index <= 1_000_000; index++)
      table.append({ ordinal: BigInt(index * 100), from: BigInt(index * 101 - 1), length: 1n })
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 << 20)
    const started = performance.now()
    for (let index = 1; index <= 1_000_000; index += 10) {
      expect(table.sourceAt(BigInt(index * 100)) === BigInt(index * 101)).toBe(true)
      expect(table.ordinalAt(BigInt(index * 101 - 1)) === BigInt(index * 100)).toBe(true)
    }
    expect(performance.now() - started).toBeLessThan(5_000)
  })
})
