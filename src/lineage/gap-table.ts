import { TwinlogError } from '../errors.js'

/** Source offsets [from, to) that carry no record of the lane, directly before the record with this ordinal. */
export interface Gap {
  ordinal: bigint
  /** Source offset where the gap begins; ordinal + everything skipped before. */
  from: bigint
  length: bigint
}

/**
 * The lane's plan: which source offset has which ordinal. Between gaps both advance by one, so only gaps are kept:
 * two doubles a gap (offsets stay far below 2^53), a million gaps take 16 MB.
 */
export class GapTable {
  /** `origin`: ordinal and source offset at which the lane begins (they are equal by definition). */
  readonly origin: bigint
  #size = 0
  #ordinals = new Float64Array(16)
  /** Sum of all gap lengths up to and including this one. */
  #skipped = new Float64Array(16)

  constructor(origin: bigint) {
    this.origin = origin
  }

  get size(): number {
    return this.#size
  }

  /** All offsets skipped so far. */
  get totalSkipped(): bigint {
    return BigInt(this.#skippedThrough(this.#size - 1))
  }

  /** Adds the next gap; a repetition of a known one is ignored, a contradiction is an error. */
  append(gap: Gap): void {
    const ordinal = Number(gap.ordinal)
    const length = Number(gap.length)
    const last = this.#size - 1
    if (last >= 0 && ordinal <= (this.#ordinals[last] as number)) {
      this.#assertKnown(gap)
      return
    }
    const before = this.#skippedThrough(last)
    if (gap.from !== gap.ordinal + BigInt(before) || length <= 0) {
      throw new TwinlogError(
        'TWINLOG_STATE_INVALID',
        `gap at ordinal ${gap.ordinal} begins at source offset ${gap.from}, but the gaps before it say ${gap.ordinal + BigInt(before)}: ` +
          'entries of the state topic are missing or belong to another plan',
        { offset: gap.from }
      )
    }
    if (this.#size === this.#ordinals.length) this.#grow()
    this.#ordinals[this.#size] = ordinal
    this.#skipped[this.#size] = before + length
    this.#size += 1
  }

  /** Ordinal of the first record at or after this source offset (inside a gap: the record behind it). */
  ordinalAt(source: bigint): bigint {
    const offset = Number(source)
    let low = 0
    let high = this.#size
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#gapStart(middle) <= offset) low = middle + 1
      else high = middle
    }
    const index = low - 1
    if (index < 0) return source
    const gapEnd = (this.#ordinals[index] as number) + (this.#skipped[index] as number)
    return BigInt(offset < gapEnd ? (this.#ordinals[index] as number) : offset - (this.#skipped[index] as number))
  }

  /** Source offset of the record with this ordinal. */
  sourceAt(ordinal: bigint): bigint {
    return ordinal + BigInt(this.#skippedThrough(this.#indexAtOrBefore(Number(ordinal))))
  }

  /**
   * Source offset directly behind the record before this ordinal: where a copier continues whose next record is this ordinal,
   * and up to where the lane is known to be complete (a gap that follows is not known yet).
   */
  sourceBehind(ordinal: bigint): bigint {
    return ordinal <= this.origin ? this.origin : this.sourceAt(ordinal - 1n) + 1n
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
    const index = this.#indexAtOrBefore(Number(gap.ordinal))
    const known = index < 0 ? undefined : this.at(index)
    return known?.ordinal === gap.ordinal && known.length === gap.length && known.from === gap.from
  }

  at(index: number): Gap {
    const before = this.#skippedThrough(index - 1)
    const ordinal = this.#ordinals[index] as number
    return {
      ordinal: BigInt(ordinal),
      from: BigInt(ordinal + before),
      length: BigInt((this.#skipped[index] as number) - before)
    }
  }

  clone(): GapTable {
    const copy = new GapTable(this.origin)
    copy.#size = this.#size
    copy.#ordinals = this.#ordinals.slice()
    copy.#skipped = this.#skipped.slice()
    return copy
  }

  /** Drops every gap at or beyond this ordinal (a later epoch began there). */
  truncate(ordinal: bigint): void {
    this.#size = this.#indexAtOrBefore(Number(ordinal) - 1) + 1
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
