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

/** A lane with everything that can happen to its plan, told record by record. */
type Happening =
  | { kind: 'record' }
  | { kind: 'expansion' }
  | { kind: 'hole'; length: number }
  /** `back`: how far before the end of the old history the new one begins; `lead`: offsets without a record at its beginning. */
  | { kind: 'era'; back: number; lead: number; leadApart: boolean }

const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<Happening>({ kind: 'record' }) },
  { weight: 3, arbitrary: fc.constantFrom<Happening>({ kind: 'expansion' }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('hole' as const), length: fc.integer({ min: 1, max: 4 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('era' as const),
      back: fc.integer({ min: -5, max: 30 }),
      lead: fc.integer({ min: 0, max: 3 }),
      leadApart: fc.boolean()
    })
  }
)

class Told {
  readonly gaps: Gap[] = []
  readonly records: { ordinal: bigint; source: bigint; era: number }[] = []
  /** Where each history begins, the lane's first ordinal in it, and its first source offset that may hold a record. */
  readonly eras: { start: bigint; ordinal: bigint; from: bigint }[]
  /** Where the source stands, and where the table ends. */
  #source: bigint
  #known: bigint
  ordinal: bigint

  constructor(
    readonly origin: bigint,
    happenings: Happening[]
  ) {
    this.#source = this.#known = this.ordinal = origin
    this.eras = [{ start: origin, ordinal: origin, from: origin }]
    for (const one of happenings) this.#tell(one)
  }

  #tell(one: Happening): void {
    const last = this.records.at(-1)
    const era = this.eras.length - 1
    const resting = (last?.era ?? 0) !== era
    if (one.kind === 'hole') this.#source += BigInt(one.length)
    else if (one.kind === 'record') {
      if (this.#source > this.#known) this.#gap(this.#source - this.#known)
      this.records.push({ ordinal: this.ordinal++, source: this.#source++, era })
      this.#known = this.#source
    } else if (one.kind === 'expansion') {
      if (!last || resting || this.#source !== this.#known) return
      this.#gap(-1n)
      this.records.push({ ordinal: this.ordinal++, source: last.source, era })
      this.#known = this.#source
    } else if (!resting) this.#begin(one)
  }

  #begin({ back, lead, leadApart }: Extract<Happening, { kind: 'era' }>): void {
    const start = this.#known - BigInt(back) > 0n ? this.#known - BigInt(back) : 0n
    const from = start + (leadApart ? 0n : BigInt(lead))
    this.#gap(from - this.#known, start)
    this.eras.push({ start, ordinal: this.ordinal, from })
    this.#known = from
    this.#source = start + BigInt(lead)
  }

  #gap(length: bigint, era?: bigint): void {
    this.gaps.push({ ordinal: this.ordinal, from: this.#known, length, ...(era === undefined ? {} : { era }) })
  }

  get table(): GapTable {
    const table = new GapTable(this.origin)
    for (const gap of this.gaps) table.append(gap)
    return table
  }

  /** By looking for it. */
  ordinalAt(source: bigint): bigint {
    const era = Math.max(
      0,
      this.eras.findLastIndex(({ start }, index) => index > 0 && start <= source)
    )
    const records = this.records.filter(record => record.era === era)
    const found = records.find(record => record.source >= source)
    if (found) return found.ordinal
    const next = this.eras[era + 1]
    if (next) return next.ordinal
    const behind = (records.at(-1)?.source ?? (this.eras[era]?.from ?? 0n) - 1n) + 1n
    return this.ordinal + (source > behind ? source - behind : 0n)
  }
}

const told = fc
  .tuple(fc.bigInt({ min: 0n, max: 30n }), fc.array(happening, { maxLength: 60 }))
  .map(([origin, happenings]) => new Told(origin, happenings))

const listed = (table: GapTable) => Array.from({ length: table.size }, (_unused, index) => table.at(index))

describe('GapTable with expansions and eras', () => {
  it('answers for every ordinal and every source offset what looking for it says', () => {
    fc.assert(
      fc.property(told, given => {
        const { table } = given
        for (const { ordinal, source } of given.records) {
          expect(table.sourceAt(ordinal)).toBe(source)
          expect(table.sourceBehind(ordinal + 1n)).toBe(source + 1n)
          const era = given.eras.findLast((known, index) => index > 0 && known.ordinal === ordinal + 1n)
          expect(table.positionAt(ordinal + 1n)).toBe(era ? era.from : source + 1n)
        }
        const begin = given.eras.reduce((lowest, { start }) => (start < lowest ? start : lowest), given.origin)
        expect(table.begin).toBe(begin)
        const end = given.records.reduce((highest, { source }) => (source > highest ? source : highest), given.origin)
        for (let source = begin; source <= end + 8n; source++)
          expect(table.ordinalAt(source), `source offset ${source}`).toBe(given.ordinalAt(source))
      }),
      { numRuns: 500 }
    )
  })

  it('lists, knows, repeats, forgets and copies what it was told', () => {
    fc.assert(
      fc.property(told, fc.bigInt({ min: 0n, max: 60n }), fc.bigInt({ min: 0n, max: 60n }), (given, first, end) => {
        const { table } = given
        expect(listed(table)).toEqual(given.gaps)
        expect([...table.between(first, end)]).toEqual(
          given.gaps.filter(gap => gap.ordinal >= first && gap.ordinal < end)
        )
        for (const gap of given.gaps) {
          expect(table.knows(gap)).toBe(true)
          table.append(gap)
          for (const other of [
            { ...gap, length: gap.length + 1n },
            { ...gap, from: gap.from + 1n },
            { ...gap, era: gap.era === undefined ? 0n : undefined }
          ])
            expect(table.knows(other)).toBe(false)
        }
        expect(listed(table)).toEqual(given.gaps)
        expect(table.totalSkipped).toBe(given.gaps.reduce((sum, gap) => sum + gap.length, 0n))
        const copy = table.clone()
        table.truncate(first)
        const kept = given.gaps.filter(gap => gap.ordinal < first || (gap.era !== undefined && gap.ordinal === first))
        expect(listed(table)).toEqual(kept)
        const era = kept.findLast(gap => gap.era !== undefined)
        expect(table.newestEra).toEqual(era && { ordinal: era.ordinal, start: era.era })
        for (const gap of given.gaps.slice(kept.length)) table.append(gap)
        expect(listed(table)).toEqual(given.gaps)
        expect(listed(copy)).toEqual(given.gaps)
      })
    )
  })

  it('refuses what cannot be: an expansion of nothing, an era that does not hold its first record, a second word about either', () => {
    const table = new GapTable(10n)
    const invalid = expect.objectContaining({ code: 'TWINLOG_STATE_INVALID' })
    expect(() => table.append({ ordinal: 10n, from: 10n, length: -1n })).toThrowError(invalid)
    expect(() => table.append({ ordinal: 12n, from: 12n, length: -2n })).toThrowError(invalid)
    expect(() => table.append({ ordinal: 12n, from: 12n, length: -5n, era: 8n })).toThrowError(invalid)
    table.append({ ordinal: 12n, from: 12n, length: -5n, era: 7n })
    expect(() => table.append({ ordinal: 12n, from: 7n, length: -1n })).toThrowError(invalid)
    expect(() => table.append({ ordinal: 12n, from: 12n, length: 1n })).toThrowError(invalid)
    table.append({ ordinal: 12n, from: 7n, length: 2n })
    expect(() => table.append({ ordinal: 12n, from: 9n, length: 1n })).toThrowError(invalid)
    expect(() => table.append({ ordinal: 12n, from: 7n, length: 3n })).toThrowError(invalid)
    expect(table.size).toBe(2)
    expect([7n, 9n, 10n].map(source => table.ordinalAt(source))).toEqual([12n, 12n, 13n])
  })

  it('lets an era take the place of one of which the lane has no record yet, and keeps one that begins where it is cut', () => {
    const table = new GapTable(10n)
    const gaps = [
      { ordinal: 11n, from: 11n, length: 1n },
      { ordinal: 12n, from: 13n, length: -5n, era: 7n },
      { ordinal: 12n, from: 8n, length: 2n }
    ]
    for (const gap of gaps) table.append(gap)
    table.truncate(12n)
    expect(listed(table)).toEqual(gaps.slice(0, 2))
    table.append(gaps[2] as Gap)
    const second = { ordinal: 12n, from: 13n, length: -9n, era: 4n }
    table.append(second)
    expect(listed(table)).toEqual([gaps[0], second])
    expect([table.positionAt(12n), table.sourceBehind(12n), table.begin]).toEqual([4n, 13n, 4n])
    table.append({ ordinal: 13n, from: 5n, length: 2n })
    expect(() => table.append(gaps[1] as Gap)).toThrowError(expect.objectContaining({ code: 'TWINLOG_STATE_INVALID' }))
    table.truncate(11n)
    expect(table.size).toBe(0)
    expect(table.newestEra).toBeUndefined()
  })
})

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
    let wrong = 0
    for (let index = 1; index <= 1_000_000; index += 10) {
      if (table.sourceAt(BigInt(index * 100)) !== BigInt(index * 101)) wrong += 1
      if (table.ordinalAt(BigInt(index * 101 - 1)) !== BigInt(index * 100)) wrong += 1
    }
    expect(wrong).toBe(0)
    expect(performance.now() - started).toBeLessThan(5_000)
  })
})
