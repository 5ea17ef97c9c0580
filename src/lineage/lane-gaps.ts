import { TwinlogError } from '../errors.js'
import { type Gap, GapTable } from './gap-table.js'
import { type Identity, type LaneEpochs, sameIdentity } from './lane-epochs.js'
import type { GapChunk } from './state-values.js'

/** From this row of the table on, this identity wrote the gaps. */
interface Writer {
  row: number
  identity: Identity
}

/**
 * A lane's gaps, folded chunk by chunk. They may overlap (a merged chunk repeats small ones, racing owners write the same) and come
 * from identities whose later words are void. The usual case lives in the table only, 16 bytes a gap: chunks that come in order from
 * the identity that writes now, or repeat what is known; a busy transactional source makes a million a day. What does not fit is kept
 * as chunks, which can be sorted and voided, until somebody asks for the table; and only who asks hears of a contradiction.
 */
export class LaneGaps {
  readonly #epochs: LaneEpochs
  readonly #lane: string
  #origin: bigint | undefined
  /** Empty while the table holds everything. */
  #chunks: GapChunk[] = []
  #table: GapTable | undefined
  #writers: Writer[] = []
  #handedOut = false

  constructor(lane: string, epochs: LaneEpochs) {
    this.#lane = lane
    this.#epochs = epochs
  }

  setOrigin(origin: bigint): void {
    this.#origin = origin
  }

  add(chunk: GapChunk): void {
    const fresh = this.#continuation(chunk)
    if (fresh === undefined) {
      this.#unpack()
      this.#chunks.push(chunk)
      this.#table = undefined
      return
    }
    if (fresh.length === 0) return
    const table = this.#ownTable()
    for (const gap of fresh) table.append(gap)
    const row = table.size - fresh.length
    const { producerId, epoch } = chunk
    this.#forgetWriters(row)
    const writer = this.#writers.at(-1)
    if (!writer || !sameIdentity(writer.identity, chunk)) this.#writers.push({ row, identity: { producerId, epoch } })
  }

  /** An identity was announced; `base` is its first ordinal when it is the newest of all. */
  epochAdded(base: bigint | undefined): void {
    if (this.#chunks.length > 0) this.#table = undefined
    else if (base === undefined) this.#unpack()
    else if (this.#table && this.#table.size > 0 && this.#table.at(this.#table.size - 1).ordinal >= base) {
      const table = this.#ownTable()
      table.truncate(base)
      this.#forgetWriters(table.size)
    }
  }

  table(): GapTable {
    this.#table ??= this.#build()
    this.#handedOut = true
    return this.#table
  }

  /** The gaps of this chunk that the table lacks, when they go to its end and everything before them is known; otherwise undefined. */
  #continuation(chunk: GapChunk): Gap[] | undefined {
    const rank = this.#epochs.rank(chunk)
    if (this.#origin === undefined || this.#chunks.length > 0 || rank < 0) return undefined
    this.#table ??= new GapTable(this.#origin)
    const table = this.#table
    const voidFrom = this.#epochs.voidFrom(rank)
    const fresh: Gap[] = []
    let before: Gap | undefined
    for (const gap of chunk.gaps) {
      if (isVoid(gap, voidFrom)) break
      const row = before ? -1 : table.rowOf(gap)
      if (row >= 0) {
        // Known from somebody else: it may live longer than that word.
        if (!sameIdentity(this.#writerOf(row), chunk)) return undefined
        continue
      }
      if (rank !== this.#epochs.list.length - 1) return undefined
      if (!(before ? follows(before, gap) : table.continuedBy(gap))) return undefined
      fresh.push(gap)
      before = gap
    }
    return fresh
  }

  /** Of rows from this one on. */
  #forgetWriters(row: number): void {
    while ((this.#writers.at(-1)?.row ?? -1) >= row) this.#writers.pop()
  }

  #writerOf(row: number): Identity {
    return (this.#writers.findLast(writer => writer.row <= row) as Writer).identity
  }

  /** A table that was handed out stays as it is. */
  #ownTable(): GapTable {
    const table = this.#table as GapTable
    this.#table = this.#handedOut ? table.clone() : table
    this.#handedOut = false
    return this.#table
  }

  /** Back to chunks. */
  #unpack(): void {
    const table = this.#table
    if (this.#chunks.length > 0 || !table) return
    this.#chunks = this.#writers.map(({ row, identity }, index) => {
      const end = this.#writers[index + 1]?.row ?? table.size
      return { ...identity, gaps: Array.from({ length: end - row }, (_unused, at) => table.at(row + at)) }
    })
    this.#writers = []
    this.#table = undefined
    this.#handedOut = false
  }

  #build(): GapTable {
    if (this.#origin === undefined) {
      throw new TwinlogError(
        'TWINLOG_STATE_INVALID',
        `the state topic has entries of lane ${this.#lane} but not its birth`
      )
    }
    const table = new GapTable(this.#origin)
    const writers: Writer[] = []
    for (const { gap, rank } of this.#living()) {
      const identity = this.#epochs.list[rank]
      const writer = writers.at(-1)
      if (identity && (!writer || !sameIdentity(writer.identity, identity)))
        writers.push({ row: table.size, identity: { producerId: identity.producerId, epoch: identity.epoch } })
      table.append(gap)
    }
    this.#handedOut = false
    // Nothing to sort or void is left, unless somebody wrote whose announcement is still to come.
    if (this.#chunks.every(chunk => this.#epochs.rank(chunk) >= 0)) {
      this.#chunks = []
      this.#writers = writers
    }
    return table
  }

  /** Gaps that no later identity voided, in order; each with the last identity that told of it, which keeps it alive longest. */
  #living(): { gap: Gap; rank: number }[] {
    const known = new Map<string, { gap: Gap; rank: number }>()
    for (const chunk of this.#chunks) {
      const rank = Math.max(0, this.#epochs.rank(chunk))
      const voidFrom = this.#epochs.voidFrom(rank)
      for (const gap of chunk.gaps) {
        if (isVoid(gap, voidFrom)) break
        const key = gap.era === undefined ? `${gap.ordinal}` : `${gap.ordinal}/era`
        const other = known.get(key)
        const agree = !other || (other.gap.length === gap.length && other.gap.era === gap.era)
        // Of two eras at one ordinal the later one counts: the source lost its end twice.
        if (!agree && (gap.era === undefined || other.rank === rank)) throw this.#disagreement(other.gap, gap)
        if (!other || rank >= other.rank) known.set(key, { gap, rank })
      }
    }
    return [...known.values()].sort((a, b) => inTableOrder(a.gap, b.gap))
  }

  #disagreement(one: Gap, other: Gap): TwinlogError {
    return new TwinlogError(
      'TWINLOG_STATE_INVALID',
      `lane ${this.#lane}: two plans disagree about the gap at ordinal ${one.ordinal}: ${one.length} or ${other.length} offsets`
    )
  }
}

/** What was planned at or beyond the base of a later identity never came to be; but that one goes on in an era that begins there. */
function isVoid(gap: Gap, voidFrom: bigint | undefined): boolean {
  if (voidFrom === undefined) return false
  return gap.era === undefined ? gap.ordinal >= voidFrom : gap.ordinal > voidFrom
}

/** Whether `next` can stand directly behind `last` in a table. */
function follows(last: Gap, next: Gap): boolean {
  const skipped = last.from + last.length - last.ordinal
  return (
    next.era === undefined &&
    last.era === undefined &&
    next.ordinal > last.ordinal &&
    next.from === next.ordinal + skipped &&
    (next.length > 0n || next.length === -1n)
  )
}

/** An era stands before the first gap of its history, which has the same ordinal. */
function inTableOrder(a: Gap, b: Gap): number {
  if (a.ordinal !== b.ordinal) return a.ordinal < b.ordinal ? -1 : 1
  return a.era === undefined ? 1 : -1
}
