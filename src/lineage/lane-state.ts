import { TwinlogError } from '../errors.js'
import { type Gap, GapTable } from './gap-table.js'
import { birthEpoch, type LaneEpoch } from './sequence.js'
import type { BirthEntry, CheckpointEntry, EpochEntry, GapChunk, GateEntry } from './state-values.js'

/**
 * What the state topic says about one lane, folded record by record. Pure: feed entries in offset order, then ask.
 * Gaps arrive in chunks that may overlap (a merged chunk repeats small ones, racing owners write the same), so they are kept
 * by ordinal until somebody asks for the table.
 */
export class LaneState {
  readonly key: string
  #birth: BirthEntry | undefined
  #epochs: LaneEpoch[] = []
  #checkpoint: CheckpointEntry | undefined
  #gate: GateEntry | undefined
  #chunks: GapChunk[] = []
  #table: GapTable | undefined
  #handedOut = false

  constructor(key: string) {
    this.key = key
  }

  get birth(): BirthEntry | undefined {
    return this.#birth
  }

  get checkpoint(): CheckpointEntry | undefined {
    return this.#checkpoint
  }

  get gate(): GateEntry | undefined {
    return this.#gate
  }

  /** Identities that wrote here, oldest first; the birth's own is the first. */
  get epochs(): readonly LaneEpoch[] {
    if (!this.#birth) return this.#epochs
    return [birthEpoch(this.#birth.producerId), ...this.#epochs]
  }

  /** The identity that writes now. */
  get currentEpoch(): LaneEpoch | undefined {
    return this.epochs.at(-1)
  }

  /** First one wins. False when another birth was there before and says something else. */
  addBirth(birth: BirthEntry): boolean {
    if (!this.#birth) {
      this.#birth = birth
      return true
    }
    return (
      this.#birth.first === birth.first &&
      this.#birth.producerId === birth.producerId &&
      this.#birth.planDigest === birth.planDigest
    )
  }

  /** First one wins. False when the same identity was announced before with another base. */
  addEpoch(entry: EpochEntry): boolean {
    const known = this.#epochs.find(epoch => epoch.producerId === entry.producerId && epoch.epoch === entry.epoch)
    if (known) return known.base === entry.base
    const epoch = {
      producerId: entry.producerId,
      epoch: entry.epoch,
      base: entry.base,
      firstSequence: entry.firstSequence
    }
    // Words can come late (two owners fence at once, compaction moves a repeated one back); which epoch is later is a fact of the broker.
    const later = this.#epochs.findIndex(other => other.producerId === epoch.producerId && other.epoch > epoch.epoch)
    this.#unpack()
    this.#epochs.splice(later < 0 ? this.#epochs.length : later, 0, epoch)
    this.#table = undefined
    return true
  }

  addCheckpoint(entry: CheckpointEntry): void {
    const known = this.#checkpoint
    if (known && (known.next > entry.next || (known.next === entry.next && known.reached > entry.reached))) return
    this.#checkpoint = entry
  }

  /** Last one wins, but the late word of a move that a later one of the same service has overtaken counts no more. */
  setGate(entry: GateEntry): void {
    if (this.#gate?.service === entry.service && this.#gate.moveEpoch > entry.moveEpoch) return
    this.#gate = entry
  }

  addGaps(chunk: GapChunk): void {
    if (this.#followsOn(chunk)) {
      // A table that was handed out stays as it is.
      if (this.#handedOut) this.#table = this.#table?.clone()
      this.#handedOut = false
      for (const gap of chunk.gaps) this.#table?.append(gap)
      return
    }
    this.#unpack()
    this.#chunks.push(chunk)
    this.#table = undefined
  }

  /** The lane's plan as far as it is written down. */
  gaps(): GapTable {
    this.#table ??= this.#buildTable()
    this.#handedOut = true
    return this.#table
  }

  /**
   * The usual case: a lane that was never fenced, whose chunks come in order or repeat what is known. Such gaps live in the table
   * only, 16 bytes each; a busy transactional source makes a million a day. What does not fit is kept as a chunk, and only who asks
   * for this lane's gaps hears of it.
   */
  #followsOn(chunk: GapChunk): boolean {
    if (!this.#birth || this.#epochs.length > 0 || this.#chunks.length > 0) return false
    if (chunk.producerId !== this.#birth.producerId || chunk.epoch !== 0) return false
    this.#table ??= new GapTable(this.#birth.first)
    let skipped = this.#table.totalSkipped
    let end = this.#table.size === 0 ? this.#birth.first - 1n : this.#table.at(this.#table.size - 1).ordinal
    for (const gap of chunk.gaps) {
      if (gap.ordinal <= end && !this.#table.knows(gap)) return false
      if (gap.ordinal <= end) continue
      if (gap.length <= 0n || gap.from !== gap.ordinal + skipped) return false
      skipped += gap.length
      end = gap.ordinal
    }
    return true
  }

  /** Back to chunks, which can be sorted and voided. */
  #unpack(): void {
    if (this.#chunks.length > 0 || !this.#birth || !this.#table || this.#table.size === 0) return
    const table = this.#table
    const gaps = Array.from({ length: table.size }, (_unused, index) => table.at(index))
    this.#chunks = [{ producerId: this.#birth.producerId, epoch: 0, gaps }]
  }

  #buildTable(): GapTable {
    if (!this.#birth) {
      throw new TwinlogError(
        'TWINLOG_STATE_INVALID',
        `the state topic has entries of lane ${this.key} but not its birth`
      )
    }
    const order = new Map(this.epochs.map((epoch, index) => [`${epoch.producerId}/${epoch.epoch}`, index]))
    const byOrdinal = new Map<bigint, Gap>()
    for (const chunk of this.#chunks) {
      const voidFrom = this.#voidFrom(order.get(`${chunk.producerId}/${chunk.epoch}`) ?? 0)
      for (const gap of chunk.gaps) {
        if (voidFrom !== undefined && gap.ordinal >= voidFrom) break
        const known = byOrdinal.get(gap.ordinal)
        if (known && known.length !== gap.length) {
          throw new TwinlogError(
            'TWINLOG_STATE_INVALID',
            `lane ${this.key}: two plans disagree about the gap at ordinal ${gap.ordinal}: ${known.length} or ${gap.length} offsets`
          )
        }
        byOrdinal.set(gap.ordinal, gap)
      }
    }
    const table = new GapTable(this.#birth.first)
    for (const gap of [...byOrdinal.values()].sort((a, b) => (a.ordinal < b.ordinal ? -1 : 1))) table.append(gap)
    // Nothing to sort or void is left: from here on the table is enough.
    if (this.#epochs.length === 0) this.#chunks = []
    return table
  }

  /** What a writer planned at or beyond the base of a later identity never came to be. */
  #voidFrom(index: number): bigint | undefined {
    let lowest: bigint | undefined
    for (const later of this.epochs.slice(index + 1))
      if (lowest === undefined || later.base < lowest) lowest = later.base
    return lowest
  }
}
