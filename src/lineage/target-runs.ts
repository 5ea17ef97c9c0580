/** A stretch of the lane on the target in which offset - ordinal stays the same. */
export interface TargetRun {
  first: bigint
  /** Ordinal behind the last known one. */
  end: bigint
  /** target offset - ordinal */
  shift: bigint
}

/** What is not known yet: the ordinal lies between two known runs of different shift (or beyond them). */
export interface Unknown {
  below: TargetRun | undefined
  above: TargetRun | undefined
}

/**
 * Ordinal → target offset, learnt batch by batch in any order. Every ordinal takes exactly one offset and foreign records and
 * markers only push later ones back, so the shift never falls: two places of equal shift have nothing foreign between them
 * and are one run. A falling shift means that the target was truncated or re-created.
 */
export class TargetRuns {
  #runs: TargetRun[] = []

  get runs(): readonly TargetRun[] {
    return this.#runs
  }

  get last(): TargetRun | undefined {
    return this.#runs.at(-1)
  }

  /** Learns one batch. False when the shift falls or an ordinal gets a second offset: nothing was changed, the target is not the log it was. */
  learn(first: bigint, count: number, offset: bigint): boolean {
    const shift = offset - first
    const end = first + BigInt(count)
    const index = this.#firstEndingBehind(first)
    const below = this.#runs[index - 1]
    const above = this.#runs[index]
    for (let touched = index; (this.#runs[touched]?.first ?? end) < end; touched++) {
      if (this.#runs[touched]?.shift !== shift) return false
    }
    if (below && below.shift > shift) return false
    if (above && above.shift < shift) return false
    return this.#replace(index, { first, end, shift })
  }

  /** Target offset of an ordinal, or between which runs to look for it. */
  find(ordinal: bigint): bigint | Unknown {
    const index = this.#firstEndingBehind(ordinal)
    const above = this.#runs[index]
    if (above && above.first <= ordinal) return ordinal + above.shift
    return { below: this.#runs[index - 1], above }
  }

  /** Offset behind the last record of the lane that ends before `ordinal`: known only when that record is. */
  behind(ordinal: bigint): bigint | Unknown {
    const last = this.find(ordinal - 1n)
    return typeof last === 'bigint' ? last + 1n : last
  }

  clear(): void {
    this.#runs = []
  }

  /** Puts a run at `index`, merging all neighbours of the same shift. */
  #replace(index: number, run: TargetRun): boolean {
    let from = index
    let to = index
    let { first, end } = run
    while (from > 0 && (this.#runs[from - 1] as TargetRun).shift === run.shift) {
      from -= 1
      first = min(first, (this.#runs[from] as TargetRun).first)
      end = max(end, (this.#runs[from] as TargetRun).end)
    }
    while (to < this.#runs.length && (this.#runs[to] as TargetRun).shift === run.shift) {
      first = min(first, (this.#runs[to] as TargetRun).first)
      end = max(end, (this.#runs[to] as TargetRun).end)
      to += 1
    }
    this.#runs.splice(from, to - from, { first, end, shift: run.shift })
    return true
  }

  /** Index of the first run whose end lies behind the ordinal. */
  #firstEndingBehind(ordinal: bigint): number {
    let low = 0
    let high = this.#runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#runs[middle] as TargetRun).end > ordinal) high = middle
      else low = middle + 1
    }
    return low
  }
}

const min = (a: bigint, b: bigint) => (a < b ? a : b)
const max = (a: bigint, b: bigint) => (a > b ? a : b)
