import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type Gap, GapTable } from '../../../src/lineage/gap-table.js'
import { LaneState } from '../../../src/lineage/lane-state.js'
import type { LaneEpoch } from '../../../src/lineage/sequence.js'
import type { CheckpointEntry, GapChunk } from '../../../src/lineage/state-values.js'
import { birth } from './births.js'

const LINK_ID = 70n
const OWN_ID = 71n

/** What owners of a lane do, one after the other. */
type Deed =
  | { kind: 'copy'; records: number }
  | { kind: 'gap'; length: number }
  | { kind: 'checkpoint'; resting: number }
  /** A new identity; `back`: so many records were lost on the target. */
  | { kind: 'epoch'; own: boolean; back: number; tellsEnd: boolean; era: number | undefined }
  /** The owner before this one, who does not know of the end of his time yet, plans on. */
  | { kind: 'zombie'; ahead: number; length: number }
  | { kind: 'merge' }

const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('copy' as const), records: fc.integer({ min: 1, max: 5 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('gap' as const), length: fc.constantFrom(-1, 1, 2) })
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('checkpoint' as const), resting: fc.integer({ min: 0, max: 3 }) })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('epoch' as const),
      own: fc.boolean(),
      back: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 8 })),
      tellsEnd: fc.boolean(),
      era: fc.option(fc.integer({ min: 0, max: 10 }), { nil: undefined })
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('zombie' as const),
      ahead: fc.integer({ min: 0, max: 3 }),
      length: fc.constantFrom(1, 2, 3)
    })
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'merge' as const }) }
)

type Entry = (state: LaneState) => void

/** What was written, and what counts of it, kept by hand. */
class History {
  readonly entries: Entry[] = []
  readonly epochs: LaneEpoch[]
  gaps: Gap[] = []
  checkpoint: CheckpointEntry | undefined
  resume: { next: bigint; targetEnd: bigint }
  #next = 10n
  readonly #written: { chunk: GapChunk }[] = []

  constructor(deeds: Deed[]) {
    const first = birth({ first: 10n, targetEnd: 3n })
    this.entries.push(state => state.addBirth(first))
    this.epochs = [{ producerId: LINK_ID, epoch: 0, base: 0n, firstSequence: 0 }]
    this.resume = { next: 10n, targetEnd: 3n }
    for (const one of deeds) this.#do(one)
  }

  get #current(): LaneEpoch {
    return this.epochs.at(-1) as LaneEpoch
  }

  get #skipped(): bigint {
    return this.gaps.reduce((sum, gap) => sum + gap.length, 0n)
  }

  #do(one: Deed): void {
    switch (one.kind) {
      case 'copy':
        this.#next += BigInt(one.records)
        return
      case 'gap':
        return this.#gap(one.length)
      case 'checkpoint':
        return this.#note(one.resting)
      case 'epoch':
        return this.#begin(one)
      case 'zombie':
        return this.#plansOn(one)
      case 'merge':
        return this.#merge()
    }
  }

  #gap(length: number, era?: bigint): void {
    // Nothing was copied since the source had lost its end the last time.
    if (era !== undefined && this.gaps.at(-1)?.ordinal === this.#next) length += Number(this.gaps.pop()?.length)
    const last = this.gaps.at(-1)
    if (last && last.ordinal >= this.#next && !(last.era !== undefined && length > 0)) return
    if (last && last.ordinal === this.#next && last.era === undefined) return
    if (length < 0 && era === undefined && this.#next === 10n) return
    const gap: Gap = { ordinal: this.#next, from: this.#next + this.#skipped, length: BigInt(length) }
    if (era !== undefined) gap.era = era
    this.gaps.push(gap)
    this.#write(this.#current, [gap])
  }

  #write({ producerId, epoch }: LaneEpoch, gaps: Gap[]): void {
    const chunk = { producerId, epoch, gaps }
    this.#written.push({ chunk })
    this.entries.push(state => state.addGaps(chunk))
  }

  #note(resting: number): void {
    const { producerId, epoch } = this.#current
    const reached = this.#next + this.#skipped + BigInt(resting)
    const entry = { next: this.#next, targetEnd: this.#next + 5n, sourceLeaderEpoch: 0, reached, producerId, epoch }
    const known = this.checkpoint
    this.entries.push(state => state.addCheckpoint(entry))
    if (
      known?.epoch === epoch &&
      known.producerId === producerId &&
      known.next === entry.next &&
      known.reached > reached
    )
      return
    this.checkpoint = entry
    if (this.resume.next <= entry.next) this.resume = { next: entry.next, targetEnd: entry.targetEnd }
  }

  #begin(o: Extract<Deed, { kind: 'epoch' }>): void {
    const own = o.own || this.#current.own === true
    const id = own ? OWN_ID : LINK_ID
    const epoch = Math.max(-1, ...this.epochs.filter(known => known.producerId === id).map(known => known.epoch)) + 1
    const base = this.#next - BigInt(o.back) < 10n ? 10n : this.#next - BigInt(o.back)
    const entry: LaneEpoch = { producerId: id, epoch, base, firstSequence: 0 }
    if (own) entry.own = true
    if (o.tellsEnd) entry.targetEnd = base + 4n
    this.epochs.push(entry)
    this.entries.push(state => state.addEpoch(entry))
    this.gaps = this.gaps.filter(gap => gap.ordinal < base || (gap.era !== undefined && gap.ordinal === base))
    if (this.checkpoint && (base < this.checkpoint.next || o.era !== undefined)) this.checkpoint = undefined
    this.#next = base
    const places = this.epochs.flatMap(({ base: at, targetEnd }, rank) =>
      targetEnd !== undefined && this.epochs.slice(rank).every(later => later.base >= at)
        ? [{ next: at, targetEnd }]
        : []
    )
    const latest = places.at(-1) ?? { next: 10n, targetEnd: 3n }
    const { checkpoint } = this
    this.resume =
      checkpoint && (places.length === 0 || latest.next <= checkpoint.next)
        ? { next: checkpoint.next, targetEnd: checkpoint.targetEnd }
        : latest
    if (o.era === undefined) return
    const start = BigInt(o.era)
    this.#gap(Number(start + 1n - (this.#next + this.#skipped)), start)
  }

  #plansOn({ ahead, length }: Extract<Deed, { kind: 'zombie' }>): void {
    const before = this.epochs.at(-2)
    if (!before) return
    const ordinal = this.#current.base + BigInt(ahead)
    const gap = { ordinal, from: ordinal + this.#skipped, length: BigInt(length) }
    this.#write(before, [gap])
  }

  /** The chunks of the current identity that follow each other, as one. */
  #merge(): void {
    const { producerId, epoch } = this.#current
    const mine = this.#written.filter(({ chunk }) => chunk.producerId === producerId && chunk.epoch === epoch)
    const gaps = mine.flatMap(({ chunk }) => chunk.gaps)
    const living = gaps
      .slice(gaps.findLastIndex(gap => gap.era !== undefined) + 1)
      .filter(gap => this.gaps.includes(gap))
    if (living.length > 0) this.#write(this.#current, living)
  }

  check(state: LaneState): void {
    expect([...state.gaps().between(0n, 1n << 40n)]).toEqual(this.gaps)
    expect(state.epochs).toEqual(this.epochs)
    expect(state.checkpoint).toEqual(this.checkpoint)
    const { seenTo, ...place } = state.resumeFrom
    expect(place).toEqual(this.resume)
    expect(seenTo).toBeGreaterThanOrEqual(place.targetEnd)
  }
}

const history = fc.array(deed, { maxLength: 40 }).map(deeds => new History(deeds))

function fold(entries: readonly Entry[], asks: (index: number) => boolean = () => false): LaneState {
  const state = new LaneState('lane')
  entries.forEach((entry, index) => {
    entry(state)
    // Who asks in between must not change what is known.
    if (asks(index) && state.birth) {
      try {
        state.gaps()
      } catch {
        // Not everything is there yet.
      }
    }
  })
  return state
}

describe('what the words about a lane add up to', () => {
  it('is what its owners did, whoever asks in between', () => {
    fc.assert(
      fc.property(history, fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }), (given, asks) => {
        given.check(fold(given.entries))
        given.check(fold(given.entries, index => asks[index % 60] === true))
      }),
      { numRuns: 500 }
    )
  })

  it('does not depend on the order in which compaction left them, nor on how often they were repeated', () => {
    const shuffled = history.chain(given =>
      fc.tuple(
        fc.constant(given),
        fc.shuffledSubarray(
          [...given.entries, ...given.entries].map((_entry, index) => index),
          { minLength: given.entries.length * 2 }
        ),
        fc.integer({ min: 1, max: 9 })
      )
    )
    fc.assert(
      fc.property(shuffled, ([given, order, asks]) => {
        const entries = order.map(index => given.entries[index % given.entries.length] as Entry)
        given.check(fold(entries, index => index % asks === 0))
      }),
      { numRuns: 500 }
    )
  })

  it('keeps what is known from a later identity when the word of one in between comes late', () => {
    const state = fold([])
    const gap = { ordinal: 45n, from: 45n, length: 1n }
    const known = () => state.gaps().size
    state.addBirth(birth())
    state.addGaps({ producerId: LINK_ID, epoch: 0, gaps: [gap] })
    state.addEpoch({ producerId: LINK_ID, epoch: 2, base: 50n, firstSequence: 0 })
    expect(known()).toBe(1)
    state.addGaps({ producerId: LINK_ID, epoch: 2, gaps: [gap] })
    expect(known()).toBe(1)
    state.addEpoch({ producerId: LINK_ID, epoch: 1, base: 40n, firstSequence: 0 })
    expect(known()).toBe(1)
    state.addEpoch({ producerId: LINK_ID, epoch: 3, base: 44n, firstSequence: 0 })
    expect(known()).toBe(0)
  })

  it('voids what a late word in between voids', () => {
    const state = fold([])
    state.addBirth(birth())
    state.addGaps({ producerId: LINK_ID, epoch: 0, gaps: [{ ordinal: 45n, from: 45n, length: 1n }] })
    state.addEpoch({ producerId: LINK_ID, epoch: 2, base: 50n, firstSequence: 0 })
    state.addEpoch({ producerId: LINK_ID, epoch: 1, base: 40n, firstSequence: 0 })
    expect(state.gaps().size).toBe(0)
  })

  it('goes on in a new history of the source under a later identity that begins where it does, however late that is told', () => {
    const era = { producerId: LINK_ID, epoch: 1, gaps: [{ ordinal: 9n, from: 9n, length: -4n, era: 5n }] }
    const epochs = [1, 2].map(epoch => ({ producerId: LINK_ID, epoch, base: 9n, firstSequence: 0 }))
    for (const late of [false, true]) {
      const state = fold([])
      state.addBirth(birth())
      state.addEpoch(epochs[0] as LaneEpoch)
      if (!late) state.addGaps(era)
      state.addEpoch(epochs[1] as LaneEpoch)
      if (late) state.addGaps(era)
      expect([...state.gaps().between(0n, 99n)]).toEqual(era.gaps)
      const again = { ...era, epoch: 2, gaps: [{ ordinal: 9n, from: 9n, length: -7n, era: 2n }] }
      state.addGaps(again)
      expect([...state.gaps().between(0n, 99n)]).toEqual(again.gaps)
    }
  })

  it('puts an id of its own behind every id of the link', () => {
    const state = fold([])
    state.addBirth(birth())
    const ids = [{ producerId: OWN_ID, own: true }, { producerId: 72n }, { producerId: LINK_ID, epoch: 1 }]
    for (const id of ids) state.addEpoch({ epoch: 0, base: 0n, firstSequence: 0, ...id })
    expect(state.epochs.map(({ producerId, epoch }) => [producerId, epoch])).toEqual([
      [LINK_ID, 0],
      [LINK_ID, 1],
      [72n, 0],
      [OWN_ID, 0]
    ])
  })

  it('says which plan counts and who owns the lane', () => {
    const state = fold([])
    state.addBirth(birth({ planDigest: 'first' }))
    expect([state.currentPlan, state.owner]).toEqual(['first', undefined])
    state.addEpoch({ producerId: LINK_ID, epoch: 1, base: 5n, firstSequence: 0, plan: 'second', owner: 'a' })
    state.addEpoch({ producerId: LINK_ID, epoch: 2, base: 5n, firstSequence: 0, owner: 'b' })
    expect([state.currentPlan, state.owner]).toEqual(['second', 'b'])
    const rival = { producerId: LINK_ID, epoch: 2, base: 5n, firstSequence: 0, owner: 'c' }
    expect(state.addEpoch(rival)).toBe(false)
    expect(state.owner).toBe('b')
  })

  it('knows no identity of a lane that was born behind a fence but those that were announced', () => {
    const state = fold([])
    state.addBirth(birth({ epoch: -1, first: 4n, targetEnd: 2n }))
    expect([state.epochs, state.currentEpoch]).toEqual([[], undefined])
    expect(state.resumeFrom).toEqual({ next: 4n, targetEnd: 2n, seenTo: 2n })
    state.addEpoch({ producerId: OWN_ID, epoch: 0, base: 4n, firstSequence: 0, own: true })
    state.addGaps({ producerId: OWN_ID, epoch: 0, gaps: [{ ordinal: 4n, from: 4n, length: 2n }] })
    expect(state.currentEpoch).toMatchObject({ producerId: OWN_ID, epoch: 0 })
    expect(state.gaps().size).toBe(1)
    expect(state.addBirth(birth({ epoch: 0, first: 4n, targetEnd: 2n }))).toBe(false)
  })

  it('takes a checkpoint that names no identity for one of the oldest', () => {
    const state = fold([])
    state.addBirth(birth())
    const place = { targetEnd: 7n, sourceLeaderEpoch: 0 }
    state.addCheckpoint({ ...place, next: 7n, reached: 7n })
    state.addEpoch({ producerId: LINK_ID, epoch: 1, base: 7n, firstSequence: 0 })
    expect(state.checkpoint?.next).toBe(7n)
    state.addCheckpoint({ ...place, next: 9n, reached: 9n })
    expect(state.checkpoint).toBeUndefined()
    state.addCheckpoint({ ...place, next: 8n, reached: 8n, producerId: LINK_ID, epoch: 1 })
    expect(state.checkpoint?.next).toBe(8n)
  })
})

describe('the gaps of a lane whose owners change', () => {
  afterEach(() => void vi.restoreAllMocks())

  it('stay in one table: each of a hundred thousand is appended once, and none is made an object again', () => {
    // Fenced lanes with many gaps (transforms, compaction) are the normal case: an owner change must not rebuild what is known.
    const state = fold([])
    state.addBirth(birth())
    let ordinal = 1n
    let from = 1n
    const appended = vi.spyOn(GapTable.prototype, 'append')
    const looked = vi.spyOn(GapTable.prototype, 'at')
    const chunks: GapChunk[] = []
    for (let epoch = 0; epoch < 10; epoch++) {
      if (epoch > 0) state.addEpoch({ producerId: LINK_ID, epoch, base: ordinal, firstSequence: 0, owner: `${epoch}` })
      for (let part = 0; part < 10; part++) {
        const gaps = Array.from({ length: 1_000 }, () => {
          const gap = { ordinal: ordinal++, from, length: 1n }
          from += 2n
          return gap
        })
        const chunk = { producerId: LINK_ID, epoch, gaps }
        chunks.push(chunk)
        state.addGaps(chunk)
      }
      // Planned ahead by an owner who does not know that he is none any more.
      state.addEpoch({ producerId: LINK_ID, epoch: epoch + 1, base: ordinal, firstSequence: 0 })
      state.addGaps({ producerId: LINK_ID, epoch, gaps: [{ ordinal, from: from + 7n, length: 9n }] })
    }
    expect(appended).toHaveBeenCalledTimes(100_000)
    // A few for each change of owner, none for each gap.
    expect(looked.mock.calls.length).toBeLessThan(1_000)
    for (const chunk of chunks.slice(-3)) state.addGaps(chunk)
    expect(state.gaps().size).toBe(100_000)
    expect(state.gaps().totalSkipped).toBe(100_000n)
    expect(appended).toHaveBeenCalledTimes(100_000)
  })

  it('end where a later owner begins', () => {
    const state = fold([])
    state.addBirth(birth())
    state.addGaps({
      producerId: LINK_ID,
      epoch: 0,
      gaps: [2n, 4n, 6n].map((ordinal, index) => ({ ordinal, from: ordinal + BigInt(index), length: 1n }))
    })
    const before = state.gaps()
    const appended = vi.spyOn(GapTable.prototype, 'append')
    state.addEpoch({ producerId: LINK_ID, epoch: 1, base: 4n, firstSequence: 0 })
    expect([before.size, state.gaps().size]).toEqual([3, 1])
    state.addGaps({ producerId: LINK_ID, epoch: 1, gaps: [{ ordinal: 4n, from: 5n, length: 3n }] })
    expect(state.gaps().totalSkipped).toBe(4n)
    expect(appended).toHaveBeenCalledTimes(1)
  })
})
