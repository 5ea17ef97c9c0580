import { TwinlogError } from '../errors.js'

/**
 * Where source offset and ordinal stop advancing together, directly before the record with this ordinal.
 * - `length` > 0: source offsets [from, from + length) carry no record of the lane.
 * - `length` = −1: an *expansion*: this record comes from the same source offset as the one before it, and `from` is behind that offset.
 *   All records made of one are in one batch of the target, so a lane never rests between them.
 * - with `era`: the source lost its end, and a new history of it begins at source offset `era`; this record is at from + length of the
 *   new one (`length` of any sign, also 0). An era begins under a new identity of the lane, before anything else of it; when the source
 *   loses its end once more before the lane has a record of it, the next era takes its place.
 */
export interface Gap {
  ordinal: bigint
  /** Source offset where the gap begins; ordinal + everything skipped before. */
  from: bigint
  length: bigint
  era?: bigint | undefined
}

/** A history of the source that took the place of everything from source offset `start` on. */
interface Era {
  /** Its row of the table. */
  row: number
  ordinal: number
  start: number
}

const EXPANSION = -1

/**
 * The lane's plan: which source offset has which ordinal. Between gaps both advance by one, so only gaps are kept:
 * two doubles a gap (offsets stay far below 2^53), a million gaps take 16 MB. Eras are rare and known by their row.
 */
export class GapTable {
  /** `origin`: ordinal and source offset at which the lane begins (they are equal by definition). */
  readonly origin: bigint
  #size = 0
  #ordinals = new Float64Array(16)
  /** Sum of all gap lengths up to and including this one. */
  #skipped = new Float64Array(16)
  #eras: readonly Era[] = []

  constructor(origin: bigint) {
    this.origin = origin
  }

  get size(): number {
    return this.#size
  }

  /** All offsets skipped so far; negative where more was expanded, or the source went further back, than skipped. */
  get totalSkipped(): bigint {
    return BigInt(this.#skippedThrough(this.#size - 1))
  }

  /** Lowest source offset that the lane tells about. */
  get begin(): bigint {
    const lowest = BigInt(Math.min(Number(this.origin), ...this.#eras.map(era => era.start)))
    return lowest < this.origin ? lowest : this.origin
  }

  /** Where the newest history of the source begins, unless that is the first one. */
  get newestEra(): { ordinal: bigint; start: bigint } | undefined {
    const era = this.#eras.at(-1)
    return era && { ordinal: BigInt(era.ordinal), start: BigInt(era.start) }
  }

  /** Adds the next gap; a repetition of a known one is ignored, a contradiction is an error. */
  append(gap: Gap): void {
    const ordinal = Number(gap.ordinal)
    if (!this.continuedBy(gap)) {
      if (this.#size > 0 && ordinal <= (this.#ordinals[this.#size - 1] as number)) return this.#assertKnown(gap)
      const before = this.#skippedThrough(this.#size - 1)
      throw new TwinlogError(
        'TWINLOG_STATE_INVALID',
        `gap at ordinal ${gap.ordinal} begins at source offset ${gap.from} with length ${gap.length}, but the gaps before it say ${gap.ordinal + BigInt(before)}: ` +
          'entries of the state topic are missing or belong to another plan',
        { offset: gap.from }
      )
    }
    if (gap.era !== undefined) this.#beginEra(ordinal, Number(gap.era))
    if (this.#size === this.#ordinals.length) this.#grow()
    this.#ordinals[this.#size] = ordinal
    this.#skipped[this.#size] = this.#skippedThrough(this.#size - 1) + Number(gap.length)
    this.#size += 1
  }

  /** Whether this gap is new and can be appended to what is known. */
  continuedBy(gap: Gap): boolean {
    const row = this.#rowBehind(gap)
    if (gap.ordinal < this.origin || gap.from !== gap.ordinal + BigInt(this.#skippedThrough(row - 1))) return false
    if (row > 0 && Number(gap.ordinal) <= (this.#ordinals[row - 1] as number) && !this.#followsEra(gap)) return false
    if (gap.era !== undefined) return gap.era >= 0n && gap.from + gap.length >= gap.era && !this.knows(gap)
    return gap.length > 0n || (Number(gap.length) === EXPANSION && gap.ordinal > this.origin)
  }

  /**
   * Ordinal of the first record at or after this source offset (inside a gap: the record behind it; of several made of one: the
   * first). Offsets from the start of an era on are meant in the newest such history, lower ones in the older ones.
   */
  ordinalAt(source: bigint): bigint {
    const offset = Number(source)
    const era = this.#eras.findLastIndex(known => known.start <= offset)
    const next = this.#eras[era + 1]
    // An era begins at its start, wherever the history before it had come to: its own row needs no search.
    let low = (this.#eras[era]?.row ?? -1) + 1
    let high = next?.row ?? this.#size
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#gapStart(middle) <= offset) low = middle + 1
      else high = middle
    }
    const index = low - 1
    const found = index < 0 ? offset : this.#ordinalIn(index, offset)
    // What the older history did not get to before it ended: the newer one follows.
    return index < 0 && !next ? source : BigInt(next && found > next.ordinal ? next.ordinal : found)
  }

  /** Source offset of the record with this ordinal. */
  sourceAt(ordinal: bigint): bigint {
    return ordinal + BigInt(this.#skippedThrough(this.#indexAtOrBefore(Number(ordinal))))
  }

  /**
   * Source offset directly behind the record before this ordinal, in the history of that record: up to where the lane is known to be
   * complete (a gap that follows is not known yet).
   */
  sourceBehind(ordinal: bigint): bigint {
    return ordinal <= this.origin ? this.origin : this.sourceAt(ordinal - 1n) + 1n
  }

  /** Where a copier goes on whose next record is this ordinal: as `sourceBehind`, but in the new history where one begins. */
  positionAt(ordinal: bigint): bigint {
    const era = this.#eras.findLast(known => BigInt(known.ordinal) === ordinal)
    return era ? ordinal + BigInt(this.#skippedThrough(era.row)) : this.sourceBehind(ordinal)
  }

  /** Gaps with first <= ordinal < end, in order. */
  *between(first: bigint, end: bigint): Generator<Gap> {
    for (let index = this.#indexAtOrBefore(Number(first) - 1) + 1; index < this.#size; index++) {
      const gap = this.at(index)
      if (gap.ordinal >= end) return
      yield gap
    }
  }

  /** Whether exactly this gap is in the table. */
  knows(gap: Gap): boolean {
    return this.rowOf(gap) >= 0
  }

  /** Row of exactly this gap, or −1. */
  rowOf(gap: Gap): number {
    const last = this.#indexAtOrBefore(Number(gap.ordinal))
    // An era and the first gap of its history have one ordinal.
    for (const row of [last, last - 1]) {
      const known = row < 0 ? undefined : this.at(row)
      if (known?.ordinal !== gap.ordinal) return -1
      if (known.length === gap.length && known.from === gap.from && known.era === gap.era) return row
    }
    return -1
  }

  at(index: number): Gap {
    const before = this.#skippedThrough(index - 1)
    const ordinal = this.#ordinals[index] as number
    const gap: Gap = {
      ordinal: BigInt(ordinal),
      from: BigInt(ordinal + before),
      length: BigInt((this.#skipped[index] as number) - before)
    }
    const era = this.#eras.find(known => known.row === index)
    if (era) gap.era = BigInt(era.start)
    return gap
  }

  clone(): GapTable {
    const copy = new GapTable(this.origin)
    copy.#size = this.#size
    copy.#ordinals = this.#ordinals.slice()
    copy.#skipped = this.#skipped.slice()
    copy.#eras = this.#eras
    return copy
  }

  /** Drops every gap at or beyond this ordinal (a later epoch began there). An era that begins there stays: that epoch goes on in it. */
  truncate(ordinal: bigint): void {
    const size = this.#indexAtOrBefore(Number(ordinal) - 1) + 1
    const begins = this.#eras.some(era => era.row === size && BigInt(era.ordinal) === ordinal)
    this.#shrink(begins ? size + 1 : size)
  }

  #shrink(size: number): void {
    this.#size = size
    this.#eras = this.#eras.filter(era => era.row < size)
  }

  #beginEra(ordinal: number, start: number): void {
    const replaced = this.#eras.at(-1)
    if (replaced?.ordinal === ordinal) this.#shrink(replaced.row)
    this.#eras = [...this.#eras, { row: this.#size, ordinal, start }]
  }

  /** Where this gap would be appended: at the end, or in place of an era that begins at the same ordinal. */
  #rowBehind(gap: Gap): number {
    const era = this.#eras.at(-1)
    const last = this.#ordinals[this.#size - 1]
    const replaces = gap.era !== undefined && era?.ordinal === Number(gap.ordinal) && last === era.ordinal
    return replaces ? era.row : this.#size
  }

  /** The first gap of a new history stands at the ordinal at which that begins. */
  #followsEra(gap: Gap): boolean {
    const era = this.#eras.at(-1)
    return (
      era?.row === this.#size - 1 &&
      gap.era === undefined &&
      gap.length > 0n &&
      Number(gap.ordinal) === era.ordinal &&
      !this.knows(gap)
    )
  }

  #assertKnown(gap: Gap): void {
    if (this.knows(gap)) return
    const index = this.#indexAtOrBefore(Number(gap.ordinal))
    const known = index < 0 ? undefined : this.at(index)
    throw new TwinlogError(
      'TWINLOG_STATE_INVALID',
      `two plans disagree at ordinal ${gap.ordinal}: gap ${gap.from}+${gap.length} against ${known ? `${known.from}+${known.length} at ordinal ${known.ordinal}` : 'none'}`,
      { offset: gap.from }
    )
  }

  /** Ordinal of the first record at or after this source offset, which lies behind the beginning of this gap and before the next one. */
  #ordinalIn(index: number, offset: number): number {
    const ordinal = this.#ordinals[index] as number
    const skipped = this.#skipped[index] as number
    return offset < ordinal + skipped ? ordinal : offset - skipped
  }

  #gapStart(index: number): number {
    return (this.#ordinals[index] as number) + this.#skippedThrough(index - 1)
  }

  #skippedThrough(index: number): number {
    return index < 0 ? 0 : (this.#skipped[index] as number)
  }

  #indexAtOrBefore(ordinal: number): number {
    let low = 0
    let high = this.#size
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#ordinals[middle] as number) <= ordinal) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  #grow(): void {
    const ordinals = new Float64Array(this.#ordinals.length * 2)
    const skipped = new Float64Array(this.#skipped.length * 2)
    ordinals.set(this.#ordinals)
    skipped.set(this.#skipped)
    this.#ordinals = ordinals
    this.#skipped = skipped
  }
}
